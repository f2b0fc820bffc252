"""Owns what a log line looks like, as JSON and for people.

Rule: what is logged is data. Nothing in a value can begin a new line, move the cursor, or turn
the reading direction.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

DEPTH_MAX = 8
FIRST = ("at", "level", "event")
# json.dumps escapes C0 alone; these are C1, line separators, direction marks, lone surrogates.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BARE = re.compile(r"[\w.,:;/@+*%#!?()<>~^$&|-]+")
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}


def prepared(event: MutableMapping[str, Any], redact: Callable[[Any], Any]) -> dict[str, Any]:
    """The record as JSON values without secrets: `at`, `level`, `event`, fields, `exception`."""
    given = dict(event)
    trace = given.pop("exception", None)
    head = {name: str(given.pop(name, "")) for name in FIRST}
    head["event"] = redact(head["event"])
    fields = redact({str(name): plain(value) for name, value in given.items()})
    fields = {name: value for name, value in fields.items() if name not in head}
    return {**head, **fields, **({"exception": redact(str(trace))} if trace else {})}


def plain(value: Any, depth: int = 0) -> Any:
    """The value in what JSON has; anything else as its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if depth < DEPTH_MAX and isinstance(value, Mapping):
        return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
    if depth < DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, depth + 1) for inner in value]
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a foreign __str__ may raise anything; the line is to be kept
        return f"<{type(value).__name__} that cannot be shown>"


def as_json(record: dict[str, Any]) -> str:
    """One line of JSON."""
    text = json.dumps(record, ensure_ascii=False, default=str)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def as_text(record: dict[str, Any], *, colours: bool) -> str:
    """One line for people, and below it, indented, the traceback if there is one."""
    level = record["level"]
    word = f"{level:<7}"
    if colours:
        word = f"\x1b[{_COLOURS.get(level, '0')}m{word}\x1b[0m"
    fields = [
        f"{_printable(name)}={_shown(value)}"
        for name, value in record.items()
        if name not in (*FIRST, "exception")
    ]
    line = " ".join([record["at"], word, _printable(record["event"]), *fields])
    trace = record.get("exception", "").splitlines()
    return "\n".join([line, *(f"    {_printable(inner)}" for inner in trace)])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return (
            value if _BARE.fullmatch(value) else _printable(json.dumps(value, ensure_ascii=False))
        )
    return _printable(json.dumps(value, ensure_ascii=False, default=str))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
