"""Owns how text reaches the terminal: data to stdout, talk to stderr, nothing that a title wrote.

Rule: what came from a report or a service is shown without control characters.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATE_COLOURS: Final = {
    "idle": "green", "sending": "green", "sent": "green", "confirmed": "green",
    "waiting": "yellow", "paused": "yellow", "held": "yellow", "open": "yellow",
    "blocked": "red", "rejected": "red", "down": "red", "in_doubt": "red", "doubt": "red",
}  # fmt: skip
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def prepare_streams() -> None:
    """Let any character be printed, escaped where the terminal's encoding has none for it.

    A stream that the caller closed becomes an empty one; Python has None there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            empty = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open to the end
            setattr(sys, name, empty)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(message: str, hint: str, details: Sequence[str] = ()) -> None:
    """The two lines of an error on stderr; `details` come between them, one a line."""
    say(f"{colour('error:', 'red', sys.stderr)} {printable(message)}")
    for detail in details:
        say(f"  {printable(detail)}")
    say(f"{colour('hint:', 'cyan', sys.stderr)} {printable(hint)}")


def say(text: str) -> None:
    """Talk: one line on stderr; what nobody can read changes no outcome."""
    with suppress(OSError):
        click.echo(text, err=True, color=True)


def tell(text: str) -> None:
    """Data: one line on stdout."""
    click.echo(text, color=True)


def as_json_text(value: Any) -> str:
    """A value on one line, as JSON has it, safe for a terminal."""
    return printable(json.dumps(value, ensure_ascii=False))


def tell_json(value: Any) -> None:
    """Data as JSON, readable, in UTF-8."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2), color=True)


def colour(text: str, name: str | None, stream: TextIO | None = None) -> str:
    """The text in that colour, on a terminal that may have one."""
    stream = sys.stdout if stream is None else stream
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if name is None or plain or not stream.isatty():
        return text
    return click.style(text, fg=name)


def state_word(state: str) -> str:
    """A state in its colour."""
    return colour(state, _STATE_COLOURS.get(state))


def printable(text: object) -> str:
    """The text on one line, with everything escaped that a terminal could take for a command."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    return " " if character in "\n\t" else character.encode("unicode_escape").decode()


def age(seconds: float) -> str:
    """A length of time in its two largest units, as `3 h 20 min`."""
    left, parts = max(0, int(seconds)), list[str]()
    for size, unit in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    if not parts:
        return f"{left} s"
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def moment(text: str | None) -> str:
    """A time of the JSON in local time with its age; what is no time is shown as it is."""
    at = parsed_time(text)
    if at is None:
        return printable(text or "unknown")
    seconds = (datetime.now(UTC) - at).total_seconds()
    distance = f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"
    return f"{local(at)} ({distance})"


def local(at: datetime) -> str:
    """A moment to the second, on this machine's clock."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def parsed_time(text: str | None) -> datetime | None:
    """The moment that an RFC 3339 text names, None if it names none."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def counted(number: int, noun: str) -> str:
    """`1 report`, `2 reports`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows in columns that line up, also with Chinese titles; the last one is cut to fit.

    The terminal's width counts only where stdout is one.
    """
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if sys.stdout.isatty():
        import shutil

        taken = sum(widths[:-1]) + 2 * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(10, shutil.get_terminal_size().columns - taken))
    return [
        "  ".join(
            set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
