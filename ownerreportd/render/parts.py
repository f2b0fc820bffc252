"""Owns a report's parts: head, text, counter and mark put together within a channel's limit.

Rule: room for the mark is always kept free, so that both forms have the same parts; a text that
just fills the limit becomes two parts for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ownerreportd.core.channel import Part, measure
from ownerreportd.render.head import fitting_head
from ownerreportd.render.outline import outline
from ownerreportd.render.split import Limit, split, trimmed
from ownerreportd.render.words import GAP, counter, marked

if TYPE_CHECKING:
    from ownerreportd.core.channel import TextUnit
    from ownerreportd.core.report import Report
    from ownerreportd.render.dialects import Dialect

# What must be left beside the mark: a counter of seven digits, fence lines, and some text.
ROOM_MIN = 48


def render_parts(
    report: Report,
    *,
    text_max: int | None,
    unit: TextUnit,
    dialect: Dialect,
    language: str = "en",
) -> list[Part]:
    """The report as parts of at most `text_max`, at least one, both forms in UTF-8.

    Pure and deterministic. `key` is still empty.

    Raises:
        ValueError: If the limit leaves less than `ROOM_MIN` beside the mark.
    """
    room = None if text_max is None else text_max - measure(marked("", language), unit)
    if room is not None and room < ROOM_MIN:
        raise ValueError(f"a text limit of {text_max} {unit} is too small to render a report in")
    texts = _texts(report, room, unit, dialect, language)
    return [
        Part(number, len(texts), _encoded(text), _encoded(marked(text, language)))
        for number, text in enumerate(texts, start=1)
    ]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _texts(
    report: Report, room: int | None, unit: TextUnit, dialect: Dialect, language: str
) -> list[str]:
    """The plain texts of the parts, each at most `room` long."""
    if room is None and dialect.tables and dialect.shows is None:
        return [_under(fitting_head(report, language, None, unit), trimmed(report.body))]
    head_max = None if room is None else room // 2 if report.body.strip() else room
    head = fitting_head(report, language, head_max, unit)
    markdown = outline(report.body, dialect)
    whole = _under(head, trimmed("\n".join(markdown.lines)))
    if room is None or measure(whole, unit) <= room:
        return [whole]
    digits = len(str(measure(whole, unit) // room))
    while True:
        left = room - measure(GAP + "(/)", unit) - 2 * digits
        first_max = left - measure(head + GAP, unit) if head else left
        texts = split(markdown, Limit(left, first_max, unit))
        if len(str(len(texts))) <= digits:
            return _counted(head, texts)
        digits = len(str(len(texts)))


def _under(head: str, text: str) -> str:
    """The head, and the text below it, as far as they are there."""
    return GAP.join(part for part in (head, text) if part)


def _counted(head: str, texts: list[str]) -> list[str]:
    texts = [_under(head, texts[0]), *texts[1:]]
    if len(texts) == 1:
        return texts
    count = len(texts)
    return [text + GAP + counter(number, count) for number, text in enumerate(texts, start=1)]
