"""Owns what a mail's headers say of a report: subject, date, any value on one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ownerreportd.core.channel import Part
    from ownerreportd.core.report import Report

SUBJECT_MAX = 200
YEAR_MIN = 1970


def subject_of(report: Report, part: Part) -> str:
    """The report's title, else its task, else its first line; with the part's number of several."""
    lines = (line.lstrip("# ") for line in report.body.splitlines())
    title = line_of(report.heading) or next((found for x in lines if (found := line_of(x))), "")
    counted = f" ({part.number}/{part.count})" if part.count > 1 else ""
    return (title[:SUBJECT_MAX] or "Report") + counted


def line_of(text: str) -> str:
    """The text as a header's value: one line of what can be seen."""
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def date_of(time: str) -> str | None:
    """A time in ISO 8601 as a header's value; None where it is none that a mail can have."""
    try:
        at = datetime.fromisoformat(time)
        seconds = (at.utcoffset() or timedelta()).total_seconds()
        # A zone has whole minutes there; the years before had no mail.
        at = at if seconds % 60 == 0 else at.astimezone(UTC)
        return format_datetime(at) if at.year >= YEAR_MIN else None
    except (OverflowError, ValueError):
        return None
