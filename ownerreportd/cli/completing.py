"""Owns what the shell proposes for an argument: ids of reports, names of destinations.

Rule: silent and quick; where no daemon answers, nothing is proposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ownerreportd.cli.place import Place
from ownerreportd.core.errors import OperatorError

if TYPE_CHECKING:
    import click

PROPOSED_MAX: Final = 200
PATIENCE_S: Final = 1.0


def reports(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """`head`, and the ids of what waits or is held."""
    client = _place(ctx).client()
    client.timeout_s = PATIENCE_S
    try:
        found: list[Any] = [
            each["id"]
            for state in ("waiting", "held")
            for each in client.reports(state=state, limit=PROPOSED_MAX)["reports"]
        ]
    except OperatorError:
        return []
    return [each for each in ("head", *found) if each and each.startswith(typed)]


def destinations(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """The configured ones."""
    try:
        found = _place(ctx).destinations()
    except OperatorError:
        return []
    return sorted(name for name in found if name.startswith(typed))


def _place(ctx: click.Context) -> Place:
    """What the words before say; the shell's question does not go through the program's frame."""
    said = ctx.find_root().params
    return Place(config=said.get("config"), spool=said.get("spool"))
