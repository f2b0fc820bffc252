"""Owns putting text down for Telegram: lines with their containers' prefixes, and spans.

Rule: a span begins with the first character that is in it, and a container's prefix stands once at
the start of each of its lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ownerreportd.render.outline import Place
from ownerreportd.render.telegram_text import Kind, Rich, Span, cleaned


@dataclass(slots=True)
class Level:
    """A container's prefix: `first` on its first line, then as many blanks, or `first` again."""

    first: str
    is_quote: bool = False
    is_used: bool = False

    def take(self) -> str:
        """The prefix of the line that begins now."""
        if self.is_quote:
            return self.first
        used, self.is_used = self.is_used, True
        return " " * len(self.first) if used else self.first


class Opened(NamedTuple):
    """A span that is being written; `start` is -1 until there is text in it."""

    kind: Kind
    argument: str
    start: int
    tag: str


class Pen:
    """The text while it is written, line by line, with the containers and spans that are open.

    `breaks` are the new lines before what comes next, `place` how good a place it is to part at;
    `is_fresh` says that a container has just begun, so that its first block needs no new line.
    """

    def __init__(self) -> None:
        self._out: list[str] = []
        self.breaks = 0
        self.is_fresh = True
        self.place = Place.BLOCK
        self.levels: list[Level] = []
        self.opened: list[Opened] = []
        self._size = 0
        self._spans: list[Span] = []
        self._places: dict[int, Place] = {}

    def rich(self) -> Rich:
        """What was written."""
        return Rich("".join(self._out), tuple(self._spans), self._places)

    def announces(self) -> bool:
        """Whether what was written last announces what comes."""
        return bool(self._out) and self._out[-1].endswith((":", "："))

    def write(self, text: str, *, as_code: bool = False) -> None:
        """Go on with the text; its line breaks become new lines of the containers."""
        for number, line in enumerate(cleaned(text).split("\n")):
            self.breaks += bool(number)
            if line:
                self.put(line, as_code=as_code)

    def put(self, line: str, *, as_code: bool = False) -> None:
        """Go on with text without line breaks, on a new line where one is due."""
        at_start = not self._size
        if self.breaks and not at_start:
            self._emit("\n" * self.breaks)
            self._places[self._size] = self.place
            at_start = True
        self.place, self.breaks, self.is_fresh = Place.LINE, 0, False
        if at_start:
            self._begin_spans(only="blockquote")
            self._emit("".join(x.take() for x in self.levels if not (as_code and x.is_used)))
        self._begin_spans()
        self._emit(line)

    def _emit(self, text: str) -> None:
        self._out.append(text)
        self._size += len(text)

    def _begin_spans(self, only: Kind | None = None) -> None:
        for number, opened in enumerate(self.opened):
            if opened.start < 0 and only in {None, opened.kind}:
                self.opened[number] = opened._replace(start=self._size)

    def open(self, kind: Kind, argument: str = "", tag: str = "") -> None:
        """Open a span at the next character; `tag` is what may close it."""
        self.opened.append(Opened(kind, argument, -1, tag))

    def close(self) -> None:
        """Close the span that was opened last, if there is anything in it."""
        kind, argument, start, _ = self.opened.pop()
        if 0 <= start < self._size:
            self._spans.append(Span(start, self._size, kind, argument))

    def since(self, start: int) -> str:
        """What was written from that place on."""
        pieces: list[str] = []
        left = self._size - start
        for piece in reversed(self._out):
            if left <= 0:
                break
            pieces.append(piece)
            left -= len(piece)
        return "".join(reversed(pieces)).strip()
