"""Owns parting a text with spans: by a limit on its length, and by one on how many spans it has.

Rules: what is over either limit goes on in the next part, so that nothing is dropped; a span that
is parted goes on too; nothing but white space is dropped, and only at the seams.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ownerreportd.core.channel import measure
from ownerreportd.render.cut import cut, fitting
from ownerreportd.render.head import heads
from ownerreportd.render.outline import Place
from ownerreportd.render.telegram_markdown import rich_of
from ownerreportd.render.telegram_text import Rich, joined, nested
from ownerreportd.render.words import GAP, counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ownerreportd.core.channel import TextUnit
    from ownerreportd.core.report import Report
    from ownerreportd.render.telegram_text import Span

_SHARE_MIN: Final = 3


@dataclass(frozen=True, slots=True)
class RichLimit:
    """What a service shows: `text_max` in `unit`, and `spans_max` spans; with 0 none, only text."""

    text_max: int
    unit: TextUnit
    spans_max: int

    def read(self, markdown: str) -> Rich:
        """The Markdown as the service shows it."""
        rich = rich_of(markdown, has_spans=self.spans_max > 0)
        return rich if self.spans_max else Rich(rich.text, (), rich.places)

    def spans_of(self, rich: Rich) -> list[Span]:
        """The text's spans as the service counts them, which adds what it finds by itself."""
        return nested(rich) if self.spans_max else []


def rich_texts(report: Report, limit: RichLimit, language: str) -> list[Rich]:
    """The report's parts in order, with counters where there are several."""
    room = limit.text_max
    head, body = _head_and_body(report, limit, language)
    places = {0: Place.NEVER, **{at: p for at, p in body.places.items() if at}}
    whole = joined(head, GAP, Rich(body.text, body.spans, places))
    whole = Rich(whole.text.rstrip(), whole.spans, whole.places)
    size = measure(whole.text, limit.unit)
    if size <= room and len(limit.spans_of(whole)) <= limit.spans_max:
        return [whole]
    digits = len(str(size // room + 1))
    while True:
        left = room - measure(GAP + "(/)", limit.unit) - 2 * digits
        seams = _Splitter(whole, limit, left).seams()
        if len(str(len(seams))) <= digits:
            break
        digits = len(str(len(seams)))
    return [
        joined(part, GAP, Rich(counter(number, len(seams))))
        for number, part in enumerate(whole.parted(seams), start=1)
    ]


def _head_and_body(report: Report, limit: RichLimit, language: str) -> tuple[Rich, Rich]:
    """The fullest head that leaves the body half of a part, and the body."""
    has_body = bool(report.body.strip())
    body = limit.read(report.body) if has_body else Rich("")
    head_max = limit.text_max // 2 if has_body else limit.text_max
    for head in heads(report, language):
        rich = _head(head, limit)
        spans = limit.spans_of(rich)
        if measure(rich.text, limit.unit) <= head_max and len(spans) <= limit.spans_max // 2:
            return rich, body
    return Rich(""), body


def _head(head: str, limit: RichLimit) -> Rich:
    """The head's lines; each is Markdown of its own."""
    whole = Rich("")
    for line in head.split("\n"):
        whole = joined(whole, "\n", limit.read(line) if line else Rich(""))
    return Rich(whole.text, whole.spans)


class _Seam(NamedTuple):
    """Where a part begins and ends in the text."""

    start: int
    end: int


class _Splitter:
    """A text as one limit sees it."""

    def __init__(self, rich: Rich, limit: RichLimit, room: int) -> None:
        self._text = rich.text
        self._room = room
        self._unit = limit.unit
        self._spans_max = limit.spans_max
        self._places = rich.places
        spans = limit.spans_of(rich)
        self._starts = [span.start for span in spans]
        self._ends = [span.end for span in spans]
        self._reached: list[int] = []  # the ends of the spans that began before the part
        self._known = 0  # how many spans began before the part

    def seams(self) -> list[_Seam]:
        """The parts in order, with nothing but white space between them."""
        seams: list[_Seam] = []
        start = self._behind_space(0)
        while start < len(self._text):
            end = self._end(start)
            seams.append(_Seam(start, start + len(self._text[start:end].rstrip())))
            start = self._behind_space(end)
        return seams

    def _behind_space(self, at: int) -> int:
        """The next line with text, with its indentation; within a line, the next character."""
        end = at
        while end < len(self._text) and self._text[end].isspace():
            end += 1
        line = self._text.rfind("\n", at, end) + 1
        is_line_start = line > 0 or at == 0 or self._text[at - 1] == "\n"
        return (line or at) if is_line_start and end < len(self._text) else end

    def _end(self, start: int) -> int:
        """Where the part that begins there ends; always behind its start."""
        limit = self._span_limit(start, start + fitting(self._text, start, self._room, self._unit))
        if limit >= len(self._text):
            return limit
        limit = max(limit, start + 1)
        size = measure(self._text[start:limit], self._unit)
        return (
            self._line_start(start, limit, size)
            or cut(self._text, start, size, self._unit, least=size // _SHARE_MIN)
            or limit
        )

    def _span_limit(self, start: int, limit: int) -> int:
        """Where there would be a span too many, if that is before the limit."""
        first = bisect_left(self._starts, start)
        self._reached += self._ends[self._known : first]
        self._reached = [end for end in self._reached if end > start]
        self._known = first
        last = first + self._spans_max - len(self._reached)
        return min(limit, self._starts[last]) if last < len(self._starts) else limit

    def _line_start(self, start: int, limit: int, size: int) -> int | None:
        """The best start of a line that leaves the part a third full."""
        best: dict[Place, int] = {}
        at = self._text.find("\n", start, limit)
        while at >= 0:
            line = at + 1
            at = self._text.find("\n", line, limit)
            is_blank = not self._text[line : at if at >= 0 else limit + 1].strip()
            place = self._places.get(line, Place.LINE)
            if place is not Place.NEVER and not is_blank:
                best[place] = line
        for _, line in sorted(best.items()):
            if measure(self._text[start:line], self._unit) * _SHARE_MIN >= size:
                return line
        return None


def is_whole(report: Report, texts: Sequence[str], limit: RichLimit, *, language: str) -> bool:
    """Whether these parts, in order and without a mark, are all of the report and no more.

    The oracle: white space and the counters are taken away, and the rest must be head and body.
    """
    if len(texts) > 1:
        ends = [GAP + counter(number, len(texts)) for number in range(1, len(texts) + 1)]
        if not all(text.endswith(end) for text, end in zip(texts, ends, strict=True)):
            return False
        texts = [text.removesuffix(end) for text, end in zip(texts, ends, strict=True)]
    found = _squeezed("".join(texts))
    body = _squeezed(limit.read(report.body).text)
    return any(
        found == _squeezed(_head(head, limit).text) + body for head in heads(report, language)
    )


def _squeezed(text: str) -> str:
    return "".join(text.split())
