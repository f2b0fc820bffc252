"""Owns the lines that the owner is to read, and where they may be parted.

Rule: the lines are the source's as `rewrite` leaves them for the dialect, in order, with nothing
added but lines that are named in `added`: the fence lines around a table, and the closing line of a
fence that has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from ownerreportd.render.blocks import find_blocks
from ownerreportd.render.rewrite import is_bold_line, rewritten
from ownerreportd.render.tables import aligned

if TYPE_CHECKING:
    from ownerreportd.render.blocks import Block
    from ownerreportd.render.dialects import Dialect


class Place(IntEnum):
    """How good a place the start of a line is to part a text; the smaller, the better."""

    HEADING = 0
    BLOCK = 1
    ITEM = 2
    SUB_ITEM = 3
    LINE = 4
    NEVER = 5


@dataclass(frozen=True, slots=True)
class Fence:
    """A code block, from its opening line to its closing line (indices into the outline's lines).

    `quotes` are the quote markers of its container, `indent` the container's spaces behind them;
    `run` is what closes it. `markup_end` is the column behind the opening line's run.
    """

    first: int
    last: int
    markup: str
    info: str
    run: str
    quotes: str
    indent: int
    markup_end: int

    def holds(self, line: int, column: int) -> bool:
        """Whether the place before that column of that line is inside the code."""
        if line == self.first:
            return column >= self.markup_end
        return self.first < line <= self.last

    @property
    def opening(self) -> str:
        """The line that opens it again at the start of a part."""
        return self.quotes + self.markup + self.info

    @property
    def closing(self) -> str:
        """The line that closes it where it was opened again."""
        return self.quotes + self.run

    def markers_end(self, line: str) -> int:
        """The column behind the container's quote markers in a line of its content."""
        return len(_quote_markers(line, self.quotes.count(">")))

    def is_closing_like(self, text: str) -> bool:
        """Whether the text, behind the quote markers, would close the code."""
        run = text.strip()
        indented = text.startswith("    ")
        return not indented and self.markup in run and set(run) == {self.markup[0]}

    def dedented(self, line: str) -> str:
        """A line of its content without the container's indentation; never longer than it was.

        A line that is no closing line for its indentation alone keeps it.
        """
        markers, rest = line[: self.markers_end(line)], line[self.markers_end(line) :]
        spaces = 0 if self.is_closing_like(rest.lstrip(" ")) else len(rest) - len(rest.lstrip(" "))
        kept = "".join(markers.split()) + (" " if markers.endswith(" ") else "")
        return kept + rest[min(spaces, self.indent) :]


@dataclass(frozen=True, slots=True)
class Outline:
    """The lines, the place that the start of each is, and the code blocks, in order."""

    lines: list[str]
    places: bytearray
    fences: list[Fence]
    added: frozenset[int]


def outline(markdown: str, dialect: Dialect) -> Outline:
    """The outline of a Markdown text as that dialect shows it."""
    source = source_lines(markdown, dialect)
    blocks = find_blocks(source)
    headings = _headings(source, blocks, dialect)
    draft = _Draft(source, _places(source, blocks, headings))
    for block in blocks:
        if block.kind == "fence":
            draft.take_fence(block)
        elif block.kind == "table" and not dialect.tables:
            draft.take_table(block)
    draft.copy(len(source))
    return Outline(draft.lines, draft.places, draft.fences, frozenset(draft.added))


def source_lines(markdown: str, dialect: Dialect) -> list[str]:
    """The text's lines, with everything rewritten that the dialect cannot show."""
    return rewritten(markdown.replace("\r\n", "\n").replace("\r", "\n").split("\n"), dialect)


def _headings(source: list[str], blocks: list[Block], dialect: Dialect) -> dict[int, int]:
    """The last line of each heading by its first; bold lines too where they stand for headings."""
    found = {block.start: block.end - 1 for block in blocks if block.kind == "heading"}
    if dialect.shows is not None:
        starts = {block.start for block in blocks if block.kind == "other" and block.level == 0}
        found |= {start: start for start in starts if is_bold_line(source[start])}
    return found


def _places(source: list[str], blocks: list[Block], headings: dict[int, int]) -> bytearray:
    places = bytearray(Place.LINE if line.strip() else Place.NEVER for line in source)
    passed: set[int] = set()
    for block in blocks:
        before = _text_before(source, block.start)
        if block.level > 0:
            place = Place.ITEM if block.kind == "item" and block.level == 1 else Place.SUB_ITEM
        elif before in passed or source[before].endswith((":", "：")):
            place = Place.LINE  # what heads or announces the block stays with it
        else:
            place = Place.HEADING if block.start in headings else Place.BLOCK
        places[block.start] = min(places[block.start], place)
        if block.start in headings:
            passed.add(headings[block.start])
    return places


def _text_before(source: list[str], number: int) -> int:
    """The last line with text before that one; that one itself where there is none."""
    for before in range(number - 1, max(number - 3, -1), -1):
        if source[before].strip():
            return before
    return number


class _Draft:
    """The outline while it is copied from the source, block by block."""

    def __init__(self, source: list[str], source_places: bytearray) -> None:
        self._source = source
        self._source_places = source_places
        self._next = 0
        self.lines: list[str] = []
        self.places = bytearray()
        self.fences: list[Fence] = []
        self.added: set[int] = set()

    def copy(self, end: int) -> None:
        """Take the source's lines up to that one."""
        self.lines += self._source[self._next : end]
        self.places += self._source_places[self._next : end]
        self._next = end

    def take_fence(self, block: Block) -> None:
        """Take a code block; a closing line that is missing is added."""
        self.copy(block.start)
        opening = self._source[block.start]
        container = opening[: opening.index(block.markup)]
        first = len(self.lines)
        run = block.markup
        self.copy(block.end - block.closed)
        if block.closed:
            run = self._source[self._next].strip(" \t>")
            self._next += 1
        else:
            self.added.add(len(self.lines))
        self._close(first, _continued(container), block.markup, run, block.info)

    def take_table(self, block: Block) -> None:
        """Take a table as a code block of its rows."""
        rows = self._source[block.start : block.end]
        container = rows[0][: len(rows[0]) - len(rows[0].lstrip(" \t>"))]
        if block.in_item or any("```" in row for row in rows):
            return  # fence lines here would end the list item, or be ended by the row
        self.copy(block.start)
        first = len(self.lines)
        self.added |= {first, first + len(rows) + 1}
        self.lines += [container + "```", *(rows if block.level else aligned(rows))]
        self.places.append(self._source_places[block.start])
        self.places += bytes([Place.NEVER, Place.NEVER]) + bytes([Place.LINE]) * (len(rows) - 2)
        self._next = block.end
        self._close(first, container, "```", "```", "")

    def _close(self, first: int, container: str, markup: str, run: str, info: str) -> None:
        """Add the closing line, indented as the opening one, and name the whole."""
        last = len(self.lines)
        space = " " if container.endswith(">") else ""  # it is then no shorter than any other form
        self.lines.append(container + space + run)
        self.places.append(Place.NEVER)
        if last > first + 1:
            self.places[first + 1] = Place.NEVER
        markers = _quote_markers(container, container.count(">"))
        quotes = ">" * container.count(">") + (" " if markers else "")
        indent = len(container) - len(markers)
        markup_end = len(container) + len(markup)
        self.fences.append(Fence(first, last, markup, info, run, quotes, indent, markup_end))


def _continued(container: str) -> str:
    """What stands before the later lines in the same container: list markers become spaces."""
    return re.sub(r"[^>\t]", " ", container)


def _quote_markers(line: str, count: int) -> str:
    """The line's first `count` quote markers, with their spaces; empty where there are fewer."""
    match = re.match(rf"(?:[ \t]*>){{{count}}}[ ]?", line) if count else None
    return match[0] if match else ""
