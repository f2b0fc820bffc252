"""Owns where in a TOML text a key stands, so that a mistake can be told with its line.

Rule: tomllib itself reads every statement; nothing here parses values.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Key: TypeAlias = tuple[str | int, ...]
# A longer array or string is not searched through: each line more costs one more parse of it all.
STATEMENT_LINES_MAX = 200


def lines_of(text: str) -> dict[Key, int]:
    """The line, from 1, of every key and table of a valid TOML text; list items by number.

    A text that is not valid, or has a statement of over 200 lines, is covered up to there.
    """
    found: dict[Key, int] = {}
    arrays: dict[Key, int] = {}
    table: Key = ()
    for number, said, is_header in _statements(text):
        if is_header:
            table = _header(said, arrays)
            for length in range(1, len(table) + 1):
                found.setdefault(table[:length], number)
        else:
            for key in _keys(said, table):
                found.setdefault(key, number)
    return found


def _statements(text: str) -> Iterator[tuple[int, dict[str, Any], bool]]:
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        length, said = _statement(lines[at : at + STATEMENT_LINES_MAX])
        if not length:
            return
        if said:
            yield at + 1, said, lines[at].lstrip().startswith("[")
        at += length


def _statement(lines: list[str]) -> tuple[int, dict[str, Any]]:
    """How many lines the first statement takes, and what it says; 0 where it does not end."""
    for length in range(1, len(lines) + 1):
        try:
            return length, tomllib.loads("\n".join(lines[:length]))
        except ValueError:
            continue
    return 0, {}


def _header(said: dict[str, Any], arrays: dict[Key, int]) -> Key:
    """The table that a header opens; `arrays` counts the tables of each array."""
    key: Key = ()
    inner: Any = said
    while isinstance(inner, dict) and inner:
        name, inner = next(iter(inner.items()))
        key = (*key, name)
        if isinstance(inner, list):
            arrays[key] = arrays.get(key, -1) + 1
        if key in arrays:
            key = (*key, arrays[key])
    return key


def _keys(value: Any, key: Key) -> Iterator[Key]:
    if isinstance(value, dict):
        items: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for name, inner in items:
        yield (*key, name)
        yield from _keys(inner, (*key, name))
