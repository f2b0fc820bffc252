"""Owns the look at a configuration without a daemon: is it right, what counts, and since where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from pydantic import SecretStr

from ownerreportd.app.assembly import make_outlets, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ownerreportd.config import Settings

MASK = "********"


class Checked(NamedTuple):
    """A configuration that can be used: its file, what is to be said of it, where reports go."""

    path: Path | None
    warnings: tuple[str, ...]
    destinations: dict[str, str]


class Value(NamedTuple):
    """One setting that counts, and where it comes from."""

    key: str
    value: Any
    origin: str


def check_config(*, config: str | None, spool: str | None) -> Checked:
    """Check the configuration as the daemon's start does; nothing is opened or sent.

    Raises:
        ConfigError: with every mistake.
    """
    plan = read_plan(config, spool)
    outlets = make_outlets(plan)
    found = {b.destination: f"{b.channel} {b.target}".strip() for b in outlets.bounds.values()}
    anyio.run(outlets.aclose)
    return Checked(plan.loaded.path, plan.loaded.warnings, found)


def effective_config(*, config: str | None, spool: str | None) -> list[Value]:
    """Every setting with its value, secrets masked, and the place that said it.

    Raises:
        ConfigError: with every mistake.
    """
    loaded = read_plan(config, spool).loaded  # which knows every secret, also a misspelt one
    return [
        Value(key, value, _origin(loaded.origins, key))
        for key, value in flat_values(loaded.settings).items()
    ]


def flat_values(settings: Settings) -> dict[str, Any]:
    """Every setting by its dotted key, as JSON has it, secrets masked."""
    return dict(_flat(settings.model_dump()))


def _flat(table: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{key}.")
        else:
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    """The value as JSON has it; without secrets, and without what was left empty in a list."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item not in ((), {})}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _origin(origins: Any, key: str) -> str:
    """The place of the key, or of the nearest table above it that somebody wrote."""
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return str(origins.get(key, "default"))
