"""Owns the reading of JSON values: nothing is guessed at, and every mistake is told with its place.

Rule: what is kept of an input is a copy, of JSON's types alone, and not nested without end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json: TypeAlias = dict[str, Any]

DEPTH_MAX: Final = 32
NUMBER_MAX: Final = 10**300
_KINDS: Final = {
    bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list",
    tuple: "a list", dict: "an object", type(None): "null",
}  # fmt: skip


class NotJsonError(ValueError):
    """Raised when a value cannot stand in JSON; the text says why."""


def kind_of(value: object) -> str:
    """What a value is, in JSON's words; with the value itself where that is short."""
    kind = _KINDS.get(type(value), type(value).__name__)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value[:40]!a}"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= NUMBER_MAX):
        return f"the number {value!r:.40}"
    return kind


def copied(value: Any, depth: int = 0) -> Any:
    """A deep copy of a JSON value.

    Raises:
        NotJsonError: if it is none, or nested too deeply.
    """
    if value is None or (type(value) is str and value.isascii()):
        return value  # most are
    if depth > DEPTH_MAX:
        raise NotJsonError(f"is nested over {DEPTH_MAX} levels deep")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotJsonError("has a name that is no string")
        return {_whole(key): copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotJsonError(f"holds {value}, which JSON does not know")
    if isinstance(value, int) and abs(value) > NUMBER_MAX:
        raise NotJsonError("holds a number beyond 1e300")
    if type(value) not in _KINDS:
        raise NotJsonError(f"holds {kind_of(value)}")
    return value


def _whole(text: str) -> str:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise NotJsonError("holds half a surrogate pair")
    return text


def camelized(value: Any) -> Any:
    """The value with the names of the wire in place of Python's, all the way down."""
    if isinstance(value, dict):
        return {_camel(key): camelized(item) for key, item in value.items()}
    return [camelized(item) for item in value] if isinstance(value, list | tuple) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def in_words(mistakes: Iterable[Mapping[str, str]]) -> str:
    """Mistakes `{pointer, message}` in one line."""
    return "; ".join(f"{each['pointer'] or '/'} {each['message']}" for each in mistakes)


class Reader:
    """Reads the fields of one object; collects mistakes `{pointer, message}` and warnings."""

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.mistakes: list[dict[str, str]] = []
        self.warnings: list[str] = []

    def wrong(self, name: str, message: str) -> None:
        """Note a mistake in a field, or with `""` in the whole."""
        self.mistakes.append(
            {"pointer": f"{self.at}/{name}" if name else self.at, "message": message}
        )

    def text(self, fields: Mapping[str, Any], name: str) -> str | None:
        """An optional string; a blank one counts as null."""
        value = fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(name, f"must be a string, and is {kind_of(value)}")
            return None
        try:
            return _whole(value) if value.strip() else None
        except NotJsonError as error:
            self.wrong(name, str(error))
            return None

    def flag(self, fields: Mapping[str, Any], name: str) -> bool | None:
        """An optional boolean; None where it is not there."""
        value = fields.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(name, f"must be true or false, and is {kind_of(value)}")
        return None

    def object(self, fields: Mapping[str, Any], name: str) -> Json | None:
        """An optional object, as a copy."""
        value = fields.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(name, f"must be an object, and is {kind_of(value)}")
            return None
        try:
            found: Json = copied(value)
        except NotJsonError as error:
            self.wrong(name, str(error))
            return None
        return found

    def action(self, fields: Mapping[str, Any], name: str) -> Json | None:
        """An optional action: `{"type": string, ...}`; a string is read as its type."""
        value = fields.get(name)
        if value is None or isinstance(value, str):
            text = self.text(fields, name)
            return None if text is None else {"type": text}
        found = self.object(fields, name)
        if not found:
            return None
        kind = found.get("type")
        if not isinstance(kind, str) or not kind.strip():
            self.wrong(name, "must have a `type` that is a string, and not blank")
            return None
        return found
