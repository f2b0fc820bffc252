"""Owns a report's parts for Telegram: text and entities within both of its limits.

Rules: a part has at most 4,096 UTF-16 units and 100 entities, mark included; what is over either
goes on in the next part, so that nothing is dropped silently. A span that is parted goes on too.

A part's bytes are JSON: `text`, `entities`, and `stub`, the same two of one short line that can
stand for the part until it is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.core.channel import Part, measure
from ownerreportd.render.head import clipped
from ownerreportd.render.rich_parts import RichLimit, is_whole, rich_texts
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
_KEPT_FIRST: Final = ("code", "pre", "text_link", "blockquote")


def render_telegram(report: Report, *, language: str) -> list[Part]:
    """The report as parts, at least one, both forms as JSON; pure and deterministic."""
    mark = words(language).mark
    texts = rich_texts(report, _limit(language), language)
    title = report.heading or " · ".join(report.details) or report.id
    return [
        Part(number, len(texts), _encoded(text, stub), _encoded(_marked(text, mark), stub))
        for number, text in enumerate(texts, start=1)
        for stub in (_stub(title, number, len(texts)),)
    ]


def _limit(language: str) -> RichLimit:
    """Telegram's limits, with room for the mark."""
    return RichLimit(TEXT_MAX - measure(words(language).mark + GAP, _UNIT), _UNIT, _SPANS_MAX)


def text_of(payload: bytes) -> str:
    """The readable text of a part's bytes."""
    return str(json.loads(payload)["text"])


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


def same_text(report: Report, payloads: list[bytes], *, language: str) -> bool:
    """Whether these parts, in order and in either form, are all of the report and no more."""
    mark = words(language).mark + GAP
    texts = [text_of(payload).removeprefix(mark) for payload in payloads]
    return is_whole(report, texts, _limit(language), language=language)


__all__ = ["TEXT_MAX", "render_telegram", "same_text", "text_of"]
