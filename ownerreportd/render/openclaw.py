"""Owns what keeps OpenClaw from reading a report's text as orders.

OpenClaw sends Markdown, and takes out of it what it knows: a line `MEDIA:/path` attaches that file,
`[[reply_to:5]]` answers a message, `NO_REPLY` sends nothing, `<think>` and every other tag is left
out (with what is in it, or as `String` of `List<String>`), an image leaves only its words, a link's
definition leaves nothing. `@everyone` and `<@1>` go on to the service as they are.

Rules: HTML, images and the like become Markdown first, so that no words are left out. Then an
invisible character (U+200B) goes into each order, and nowhere else. Code blocks are left as they
are, but for what pings everywhere.

Source: openclaw 2026.9.6, measured with a Telegram channel; docs/concepts/markdown-formatting.md.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ownerreportd.render.blocks import find_blocks
from ownerreportd.render.dialects import Dialect, Shows
from ownerreportd.render.outline import source_lines

if TYPE_CHECKING:
    from ownerreportd.core.report import Report

OPENCLAW: Final = Dialect(name="openclaw", tables=False)
_AS_MARKDOWN: Final = Dialect(name="openclaw", tables=True, shows=Shows(has_rules=True))
BREAK: Final = "\u200b"
# Each match is what stands before the break. It is inside of what is broken, and needs no start of
# a line, so that a part which begins in the middle of it begins with none of them.
_PINGS: Final = r"@(?=everyone|here) | <(?=[@!][&!]?\w)"
_IN_CODE: Final = re.compile(_PINGS, re.VERBOSE)
_IN_TEXT: Final = re.compile(
    rf"""
      {_PINGS}
    | (?<!\w)@(?=\w)                             # anybody's name
    | <(?!https?://|mailto:|[\s\d=<-]|$)         # a tag, a comment, a model's own token
    | \[(?=\[) | \](?=:) | !(?=\[)               # a directive, a definition, an image
    | (?<!\w)m(?=edia[ \t]*:) | no_(?=reply)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def defused(report: Report) -> Report:
    """The report in Markdown alone, with a break in everything that OpenClaw would act on."""
    return replace(
        report,
        body=_body(source_lines(report.body, _AS_MARKDOWN)),
        team=_text(report.team),
        worker=_text(report.worker),
        task_id=_text(report.task_id),
        progress=_text(report.progress),
        status=_text(report.status),
        title=_text(report.title),
        notes=tuple(map(_text, report.notes)),
    )


def _text(text: str) -> str:
    return _IN_TEXT.sub(_broken, text)


def _broken(match: re.Match[str]) -> str:
    return match[0] + BREAK


def _body(lines: list[str]) -> str:
    is_code = bytearray(len(lines))
    for block in find_blocks(lines):
        if block.kind == "fence":
            is_code[block.start : block.end] = bytes([True]) * (block.end - block.start)
    return "\n".join(
        (_IN_CODE if code else _IN_TEXT).sub(_broken, line)
        for line, code in zip(lines, is_code, strict=True)
    )
