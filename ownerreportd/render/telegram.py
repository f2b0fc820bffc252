"""Owns a report's parts for Telegram: text and entities within both of its limits.

Rules: a part has at most 4,096 UTF-16 units and 100 entities, mark included; what is over either
goes on in the next part, so that nothing is dropped silently. A span that is parted goes on too.

A part's bytes are JSON: `text`, `entities`, and `stub`, the same two of one short line that can
stand for the part until it is there.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ownerreportd.core.channel import Part, measure
from ownerreportd.render.cut import cut, fitting
from ownerreportd.render.head import clipped, heads
from ownerreportd.render.outline import Place
from ownerreportd.render.telegram_markdown import rich_of
from ownerreportd.render.telegram_text import ENTITIES_MAX, Rich, entities, joined, nested
from ownerreportd.render.words import GAP, counter, words

if TYPE_CHECKING:
    from ownerreportd.core.report import Report
    from ownerreportd.render.telegram_text import Span

TEXT_MAX: Final = 4096
# Room for what cutting can add: a mention that only the cut makes one.
_SPANS_MAX: Final = ENTITIES_MAX - 4
_UNIT: Final = "utf16"
_STUB_MAX: Final = 80
_SHARE_MIN: Final = 3
_KEPT_FIRST: Final = ("code", "pre", "text_link", "blockquote")


def render_telegram(report: Report, *, language: str) -> list[Part]:
    """The report as parts, at least one, both forms as JSON; pure and deterministic."""
    mark = words(language).mark
    texts = _texts(report, TEXT_MAX - measure(mark + GAP, _UNIT), language)
    title = report.heading or " · ".join(report.details) or report.id
    return [
        Part(number, len(texts), _encoded(text, stub), _encoded(_marked(text, mark), stub))
        for number, text in enumerate(texts, start=1)
        for stub in (_stub(title, number, len(texts)),)
    ]


def text_of(payload: bytes) -> str:
    """The readable text of a part's bytes."""
    return str(json.loads(payload)["text"])


def head_and_body(report: Report, language: str, head_max: int) -> tuple[Rich, Rich]:
    """The fullest head that is at most `head_max` UTF-16 units long, and the body."""
    body = rich_of(report.body) if report.body.strip() else Rich("")
    for head in heads(report, language):
        rich = _head(head)
        if measure(rich.text, _UNIT) <= head_max and len(nested(rich)) <= _SPANS_MAX // 2:
            return rich, body
    return Rich(""), body


def _head(head: str) -> Rich:
    """The head's lines; each is Markdown of its own."""
    whole = Rich("")
    for line in head.split("\n"):
        whole = joined(whole, "\n", rich_of(line) if line else Rich(""))
    return Rich(whole.text, whole.spans)


def _texts(report: Report, room: int, language: str) -> list[Rich]:
    """The plain form of every part, at most `room` long."""
    head, body = head_and_body(report, language, room // 2 if report.body.strip() else room)
    places = {0: Place.NEVER, **{at: p for at, p in body.places.items() if at}}
    whole = joined(head, GAP, Rich(body.text, body.spans, places))
    whole = Rich(whole.text.rstrip(), whole.spans, whole.places)
    size = measure(whole.text, _UNIT)
    if size <= room and len(nested(whole)) <= _SPANS_MAX:
        return [whole]
    digits = len(str(size // room + 1))
    while True:
        seams = _Splitter(whole, room - measure(GAP + "(/)", _UNIT) - 2 * digits).seams()
        if len(str(len(seams))) <= digits:
            break
        digits = len(str(len(seams)))
    return [
        joined(part, GAP, Rich(counter(number, len(seams))))
        for number, part in enumerate(whole.parted(seams), start=1)
    ]


def _marked(text: Rich, mark: str) -> Rich:
    return joined(Rich(mark), GAP, text)


def _stub(title: str, number: int, count: int) -> Rich:
    """One line that says what is about to come."""
    line = f"⏳ {clipped(title, _STUB_MAX)}"
    return Rich(f"{line} {counter(number, count)}" if count > 1 else line)


def _encoded(text: Rich, stub: Rich) -> bytes:
    value = {**_message(text), "stub": _message(stub)}
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _message(text: Rich) -> dict[str, Any]:
    """The text with its entities: with those for file names where there is room for them."""
    spans = nested(text, with_files=True)
    if len(spans) > ENTITIES_MAX:
        spans = _most_important(nested(text))
    return {"text": text.text, "entities": entities(text.text, spans)}


def _most_important(spans: list[Span]) -> list[Span]:
    """The spans without the least important ones of those that are over the limit."""
    if len(spans) <= ENTITIES_MAX:
        return spans
    ranked = sorted(spans, key=lambda s: s.kind not in _KEPT_FIRST)
    return sorted(ranked[:ENTITIES_MAX], key=lambda s: (s.start, -s.end, s.kind))


class _Seam(NamedTuple):
    """Where a part begins and ends in the text."""

    start: int
    end: int


class _Splitter:
    """A text as one limit sees it."""

    def __init__(self, rich: Rich, room: int) -> None:
        self._text = rich.text
        self._room = room
        self._places = rich.places
        spans = nested(rich)
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
        limit = self._span_limit(start, start + fitting(self._text, start, self._room, _UNIT))
        if limit >= len(self._text):
            return limit
        limit = max(limit, start + 1)
        size = measure(self._text[start:limit], _UNIT)
        return (
            self._line_start(start, limit, size)
            or cut(self._text, start, size, _UNIT, least=size // _SHARE_MIN)
            or limit
        )

    def _span_limit(self, start: int, limit: int) -> int:
        """Where there would be a span too many, if that is before the limit."""
        first = bisect_left(self._starts, start)
        self._reached += self._ends[self._known : first]
        self._reached = [end for end in self._reached if end > start]
        self._known = first
        last = first + _SPANS_MAX - len(self._reached)
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
            if measure(self._text[start:line], _UNIT) * _SHARE_MIN >= size:
                return line
        return None


def same_text(report: Report, payloads: list[bytes], *, language: str) -> bool:
    """Whether these parts, in order and in either form, are all of the report and no more.

    The oracle of this dialect: white space, the mark and the counters are taken away, and the
    rest must be the head and the body.
    """
    texts = [text_of(payload).removeprefix(words(language).mark + GAP) for payload in payloads]
    if len(texts) > 1:
        ends = [GAP + counter(number, len(texts)) for number in range(1, len(texts) + 1)]
        if not all(text.endswith(end) for text, end in zip(texts, ends, strict=True)):
            return False
        texts = [text.removesuffix(end) for text, end in zip(texts, ends, strict=True)]
    found = _squeezed("".join(texts))
    body = _squeezed(rich_of(report.body).text)
    return any(found == _squeezed(_head(head).text) + body for head in heads(report, language))


def _squeezed(text: str) -> str:
    return "".join(text.split())


__all__ = ["TEXT_MAX", "head_and_body", "render_telegram", "same_text", "text_of"]
