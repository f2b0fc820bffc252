"""Owns how a person writes a time: how long ago, or by the calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from ownerreportd.cli.output import parsed_time

_AGO: Final = re.compile(r"(\d{1,9})(s|m|min|h|d)", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def since(text: str) -> datetime:
    """The time that `20min`, `2h`, `3d`, a date or RFC 3339 means, in UTC.

    Raises:
        UsageError: if it means none.
    """
    match = _AGO.fullmatch(text.strip())
    try:
        if match:
            return datetime.now(UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        at = parsed_time(text)
        if at is not None:
            return at.astimezone(UTC)
    except OverflowError:
        pass
    raise click.UsageError(f"--since {text!r} is no time; as 20min, 2h, 3d, or RFC 3339")
