"""Owns `config`: is the configuration right, what counts, and what may stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ownerreportd.cli.output import as_json_text, columns, counted, printable, say, tell, tell_json
from ownerreportd.cli.verbs import VerbGroup, help_alone

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place


@click.group(
    cls=VerbGroup, invoke_without_command=True, short_help="Check and show the configuration.",
    epilog="Example: ownerreportd config check",
)  # fmt: skip
@click.pass_context
def config(ctx: click.Context) -> None:
    """Check the configuration, and show what counts."""
    help_alone(ctx)


@config.command(epilog="Example: ownerreportd --config ~/reports.toml config check")
@click.pass_obj
def check(place: Place) -> None:
    """Say every mistake at once, as the daemon's start would; exits with 0 or 78.

    Nothing is opened or sent: whether a channel lets us in is asked by the daemon.
    """
    from ownerreportd.app.configuration import check_config

    found = check_config(config=place.config, spool=place.spool)
    for text in found.warnings:
        say(f"note: {printable(text)}")
    where = printable(found.path) if found.path else "no file, the defaults"
    tell(f"ok: {where}, {counted(len(found.destinations), 'destination')}")
    for name, target in found.destinations.items():
        tell(f"  {printable(name)}: {printable(target)}")


@config.command(epilog="Example: ownerreportd config show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def show(place: Place, *, as_json: bool) -> None:
    """Show every setting that counts, and where it comes from; secrets are masked."""
    from ownerreportd.app.configuration import effective_config

    found = effective_config(config=place.config, spool=place.spool)
    if as_json:
        tell_json([each._asdict() for each in found])
        return
    rows = [(each.key, as_json_text(each.value), printable(each.origin)) for each in found]
    for line in columns(rows):
        tell(line)


@config.command(epilog="Example: ownerreportd config schema > config.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that know TOML."""
    from ownerreportd.config import json_schema

    tell_json(json_schema())
