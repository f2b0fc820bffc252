"""Owns where values come from, and which of two wins: flag, environment, old variables, file.

Rule: a text from the environment becomes the type that its key has, never another key; what does
not convert stays text, and is found out by the validation.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin

from ownerreportd.config.mistakes import ENVIRONMENT, Mistake, nearest
from ownerreportd.config.schema import is_model, keys_below, type_at
from ownerreportd.config.settings import OVERRIDE, Destination

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ownerreportd.config.toml_lines import Key

PREFIX = "OWNERREPORTD_"
OTHER_VARIABLES = frozenset({"OWNERREPORTD_CONFIG", "OWNERREPORTD_DEBUG"})  # no settings, but ours
OLD_CHANNEL, OLD_TARGET = "OWNER_REPORT_CHANNEL", "OWNER_REPORT_TARGET"
OLD_COUNT = "OWNER_REPORT_MAX_COUNT"
COMMAND_LINE = "command line"
_SWITCHES = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


class Entry(NamedTuple):
    """One value: under which key, and where it stands."""

    key: Key
    value: Any
    place: str


def of_file(data: dict[str, Any], lines: Mapping[Key, int], path: Path) -> Iterator[Entry]:
    """What the file says, each value with its line."""
    for key, value in _leaves(data):
        at = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), None)
        yield Entry(key, value, f"{path}:{at}" if at else str(path))


def _leaves(tree: dict[str, Any], key: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*key, name))
        else:
            yield (*key, name), value


def of_flags(flags: Mapping[str, Any]) -> Iterator[Entry]:
    """What the command line says: `{"spool.root": ...}` or nested; None means not given."""
    for dotted, given in flags.items():
        name: Key = tuple(dotted.split("."))
        for key, value in _leaves({"": given}):
            whole = (*name, *key[1:])
            if value is not None:
                yield Entry(whole, converted(value, type_at(whole)), COMMAND_LINE)


def of_environment(
    environ: Mapping[str, str], destinations: list[str]
) -> tuple[list[Entry], list[Mistake]]:
    """What `OWNERREPORTD_SECTION__KEY` variables say; a name that means no key is a mistake.

    A destination is meant by its name in upper case, `-` and `.` as `_`.
    """
    entries, mistakes = [], []
    names = {_in_a_variable(name): name for name in destinations}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        key = _key_of(variable, names)
        if key is None or type_at(key) is None or (is_model(type_at(key)) and not text):
            known = _variables(names)
            mistakes.append(
                Mistake(f"{ENVIRONMENT}{variable}: no such setting{nearest(variable, known)}")
            )
        else:
            leaves = _leaves({"": converted(text, type_at(key))})
            place = ENVIRONMENT + variable
            entries += [Entry((*key, *inner[1:]), value, place) for inner, value in leaves]
    return entries, mistakes


def _key_of(variable: str, names: Mapping[str, str]) -> Key | None:
    parts = variable.removeprefix(PREFIX).split("__")
    if variable != variable.upper() or not all(parts):
        return None
    key = [part.lower() for part in parts]
    if key[0] == "destinations":
        if len(key) < 3:
            return None
        key[1] = names.get(parts[1], key[1])
    return tuple(key)


def _in_a_variable(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _variables(names: Mapping[str, str]) -> list[str]:
    known = [PREFIX + "__".join(map(str, key)).upper() for key in keys_below()]
    known += [
        f"{PREFIX}DESTINATIONS__{name}__{key.upper()}"
        for name in names
        for key in Destination.model_fields
    ]
    return [*known, *OTHER_VARIABLES]


def of_old_variables(environ: Mapping[str, str]) -> tuple[list[Entry], list[Mistake]]:
    """What the scripts' three variables say; an empty one counts as not set.

    Channel and target make the destination `override`, which alone receives everything.
    """
    entries: list[Entry] = []
    channel, target, count = (environ.get(v) for v in (OLD_CHANNEL, OLD_TARGET, OLD_COUNT))
    if count:
        key: Key = ("delivery", "max_count")
        entries.append(Entry(key, converted(count, int), ENVIRONMENT + OLD_COUNT))
    if bool(channel) != bool(target):
        given, other = (OLD_CHANNEL, OLD_TARGET) if channel else (OLD_TARGET, OLD_CHANNEL)
        text = f"{ENVIRONMENT}{given}: is set without {other}; it needs both, or neither"
        return entries, [Mistake(text, f"set {other}, or unset {given}")]
    if channel:
        place = ENVIRONMENT + OLD_CHANNEL
        entries += [
            Entry(("destinations", OVERRIDE, "channel"), channel, place),
            Entry(("destinations", OVERRIDE, "target"), target, ENVIRONMENT + OLD_TARGET),
            Entry(("delivery", "to"), [OVERRIDE], place),
            Entry(("routes",), [], place),
        ]
    return entries, []


def unread_old_variables(environ: Mapping[str, str]) -> list[str]:
    """A warning for each variable that looks like one of the three and is none."""
    old = (OLD_CHANNEL, OLD_TARGET, OLD_COUNT)
    others = sorted(v for v in environ if v.startswith("OWNER_REPORT_") and v not in old)
    return [f"{ENVIRONMENT}{v} has no effect{nearest(v, old)}" for v in others]


def converted(value: Any, annotation: Any) -> Any:
    """A text as the type that its key has; anything else, and what does not convert, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return _converted(value.strip(), annotation, value)
    except (ValueError, RecursionError):
        return value


def _converted(text: str, annotation: Any, value: str) -> Any:
    if annotation is bool:
        return _SWITCHES.get(text.lower(), value)
    if annotation in (int, float):
        return annotation(text)
    if get_origin(annotation) in (tuple, list):
        return (
            _literal(text)
            if text.startswith("[")
            else [w.strip() for w in text.split(",") if w.strip()]
        )
    is_table = is_model(annotation) or get_origin(annotation) is dict
    return _literal(text) if is_table and text.startswith("{") else value


def _literal(text: str) -> Any:
    """An inline list or table as TOML, else as JSON."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return json.loads(text)


def merged(entries: list[Entry]) -> tuple[dict[str, Any], dict[Key, str]]:
    """The tree of values, and each one's place; a later entry wins over an earlier one."""
    tree: dict[str, Any] = {}
    origins: dict[Key, str] = {}
    for key, value, place in entries:
        table = tree
        for name in key[:-1]:
            inner = table.get(str(name))
            table[str(name)] = table = inner if isinstance(inner, dict) else {}
        table[str(key[-1])] = value
        for other in [o for o in origins if o[: len(key)] == key or key[: len(o)] == o]:
            del origins[other]
        origins[key] = place
    return tree, origins
