"""Owns how a report reads in ntfy: plain text, or Markdown for those who read in the web app.

Rules: most of its apps show the characters themselves, so that plain text has no marks at all: a
heading is its line, a link its words and its address, a list has bullets, a table even columns.
With Markdown, which only the web app shows, the text must read well as it stands: a table becomes
its rows in even columns, an image its words and its address, HTML the marks that people write by
hand, and an entity its character. There are no mentions in ntfy.

Source: ntfy's docs/publish.md, "Markdown formatting" (web app only) and "Limitations".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ownerreportd.core.channel import Part, measure
from ownerreportd.render.dialects import Dialect, Shows
from ownerreportd.render.parts import render_parts
from ownerreportd.render.rich_parts import RichLimit, is_whole, rich_texts
from ownerreportd.render.words import GAP, marked, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ownerreportd.core.report import Report

NTFY: Final = Dialect(name="ntfy", tables=False, shows=Shows(escape="", has_links=False))


def render_ntfy(report: Report, *, text_max: int, as_markdown: bool, language: str) -> list[Part]:
    """The report as messages of at most `text_max` bytes."""
    if as_markdown:
        return render_parts(
            report, text_max=text_max, unit="bytes", dialect=NTFY, language=language
        )
    texts = [rich.text for rich in rich_texts(report, _limit(text_max, language), language)]
    return [
        Part(number, len(texts), text.encode(), marked(text, language).encode())
        for number, text in enumerate(texts, start=1)
    ]


def is_all_of(report: Report, texts: Sequence[str], *, text_max: int, language: str) -> bool:
    """Whether these plain texts, in order and in either form, are all of the report."""
    mark = words(language).mark + GAP
    plain = [text.removeprefix(mark) for text in texts]
    return is_whole(report, plain, _limit(text_max, language), language=language)


def _limit(text_max: int, language: str) -> RichLimit:
    return RichLimit(text_max - measure(marked("", language), "bytes"), "bytes", spans_max=0)
