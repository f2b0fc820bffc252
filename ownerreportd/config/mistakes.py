"""Owns how a mistake in the configuration is told: place, key, value, what would be right.

Rule: a value under a key that is unknown, or sounds like a secret, is never shown.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ownerreportd import locate
from ownerreportd.config.schema import field_at, names_at
from ownerreportd.config.settings import Destination, Settings, sounds_secret
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from ownerreportd.config.toml_lines import Key

ENVIRONMENT = "environment "
VALUE_LENGTH_MAX = 80
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "path_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "too_short": "must name at least one",
}
_BOUNDS = {"greater_than_equal", "less_than_equal", "finite_number"}


class Mistake(NamedTuple):
    """One mistake in one line, and what to type to mend it where that is known."""

    text: str
    hint: str = ""


class Places(NamedTuple):
    """Where every value came from: by key, and for tables by line of the file."""

    origins: Mapping[Key, str]
    lines: Mapping[Key, int]
    file: Path | None

    def of(self, key: Key) -> str:
        """The place of the value, else of the nearest thing around it."""
        for length in range(len(key), 0, -1):
            near = key[:length]
            if near in self.origins:
                return self.origins[near]
            if near in self.lines:
                return f"{self.file}:{self.lines[near]}"
            inside = [place for other, place in self.origins.items() if other[:length] == near]
            if inside:
                return inside[0]
        return str(self.file) if self.file else "configuration"


def dotted(key: Key) -> str:
    """The key as the operator would write it: `routes[0].match.team`."""
    text = ""
    for name in key:
        text += f"[{name}]" if isinstance(name, int) else f".{_quoted(name)}"
    return text.removeprefix(".")


def _quoted(name: str) -> str:
    plain = name.isascii() and name.replace("-", "_").isidentifier()
    return name if plain or name.isalnum() else json.dumps(name, ensure_ascii=False)


def shown(key: Key, value: object) -> str:
    """` = VALUE`, cut; nothing for a secret, a table or a list."""
    if any(isinstance(name, str) and sounds_secret(name) for name in key):
        return ""
    if not isinstance(value, str | int | float):
        return ""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value)
    return " = " + (text if len(text) <= VALUE_LENGTH_MAX else text[:VALUE_LENGTH_MAX] + "…")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def mistake(places: Places, key: Key, value: object, what: str, hint: str = "") -> Mistake:
    """The mistake with its place, key and value."""
    return Mistake(f"{places.of(key)}: {dotted(key)}{shown(key, value)}: {what}", hint)


def unknown(place: str, key: Key, known: Iterable[str]) -> Mistake:
    """A key that does not exist, with the nearest that does, and all of them."""
    names = sorted(known)
    listed = f" (known: {', '.join(names)})" if names else ""
    return Mistake(f"{place}: unknown key {dotted(key)}{nearest(str(key[-1]), names)}{listed}")


def of_validation(
    error: ValidationError, places: Places, *, prefix: Key = (), root: Any = Settings
) -> list[Mistake]:
    """Each of pydantic's errors as a mistake; `prefix` is where the model `root` stands."""
    found = []
    for detail in error.errors(include_url=False):
        loc: Key = tuple(detail["loc"])
        key = (*prefix, *loc)
        if detail["type"] == "extra_forbidden":
            names = list(names_at(loc[:-1], root))
            if prefix[:1] == ("destinations",):  # beside its channel's own keys it has the common
                names += [name for name in Destination.model_fields if name != "options"]
            found.append(unknown(places.of(key), key, names))
        else:
            key = (*prefix, *_as_written(loc, root))
            value = None if detail["type"] == "missing" else detail["input"]
            found.append(mistake(places, key, value, _what(detail, loc, root)))
    return found


def _as_written(loc: Key, root: Any) -> Key:
    """A field that was left out is named by pydantic as in the code, not as in the file."""
    field = getattr(root, "model_fields", {}).get(loc[0]) if loc else None
    return (field.alias, *loc[1:]) if field is not None and field.alias else loc


def _what(detail: ErrorDetails, loc: Key, root: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    field = field_at(loc, root)
    why = f" ({field.description})" if field and field.description else ""
    if kind in _BOUNDS and field:
        return f"must be {_range(field.metadata)}{why}"
    if kind == "literal_error":
        return f"must be {context['expected']}{_near_literal(detail)}"
    if kind == "value_error":
        return str(context["error"])
    return _WORDS.get(kind, detail["msg"]) + why


def _near_literal(detail: ErrorDetails) -> str:
    allowed = str(detail.get("ctx", {})["expected"]).replace(" or ", ", ").split(", ")
    return nearest(str(detail["input"]), [word.strip("'") for word in allowed])


def _range(metadata: list[Any]) -> str:
    words = {"ge": "at least", "le": "at most"}
    bounds = (
        (word, getattr(item, name, None)) for item in metadata for name, word in words.items()
    )
    return " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)


def config_error(mistakes: Iterable[Mistake]) -> ConfigError:
    """The one error that tells all of them, each once."""
    each = list(dict.fromkeys(mistakes))
    if len(each) == 1:
        return ConfigError(each[0].text, hint=each[0].hint or locate.HINT, mistakes=(each[0].text,))
    return ConfigError(
        f"the configuration has {len(each)} mistakes",
        hint=locate.HINT,
        mistakes=tuple(one.text for one in each),
    )
