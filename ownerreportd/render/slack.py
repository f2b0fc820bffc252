"""Owns how a report reads in Slack: its Markdown, with everything that would call people defused.

Rule: only white space is added, so that the oracle finds the whole text again. A thin space stands
behind the character that would begin a mention, also in code: what Slack does there is not said.

Tables become code blocks. Slack's page on its markdown block said for long that it shows neither
tables nor rules nor task lists, and says now that it shows all of them; the clients in use differ,
and rows in even columns read well in every one of them. For the same reason rules and boxes of
task lists become characters, and HTML, which Slack does not show, becomes Markdown.

Source: docs.slack.dev, reference/block-kit/blocks/markdown-block and
messaging/formatting-message-text.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.render.dialects import Dialect, Shows
from ownerreportd.render.parts import render_parts

if TYPE_CHECKING:
    from ownerreportd.core.channel import Part
    from ownerreportd.core.report import Report

_THIN: Final = "\u2009"
_CALLS: Final = re.compile(
    r"<(?=[@#!])"  # <@U1>, <!channel>, <!subteam^S1>, <#C1>
    r"|(?<![\w@])@(?=(?:here|channel|everyone|group)\b)",
    re.IGNORECASE,
)
SLACK: Final = Dialect(name="slack", tables=False, shows=Shows(acts=_CALLS, gap=_THIN))


def defused(text: str) -> str:
    """The text so that Slack calls nobody for it."""
    return _CALLS.sub(lambda match: match[0] + _THIN, text)


def defused_report(report: Report) -> Report:
    """The report with every text that is shown defused."""
    shown: dict[str, Any] = {"notes": tuple(map(defused, report.notes))}
    for field in fields(report):
        value = getattr(report, field.name)
        if isinstance(value, str) and field.name != "id":
            shown[field.name] = defused(value)
    return replace(report, **shown)


def render_slack(report: Report, *, text_max: int, language: str) -> list[Part]:
    """The report as messages of at most `text_max` UTF-16 units in Slack's Markdown."""
    return render_parts(
        defused_report(report), text_max=text_max, unit="utf16", dialect=SLACK, language=language
    )
