"""Owns `run` and `doctor`: the daemon in the foreground, and what only a person may decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ownerreportd.cli.output import tell

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place


@click.command(
    short_help="Run the daemon in the foreground.",
    epilog="Example: ownerreportd --config ~/reports.toml run",
)
@click.pass_obj
def run(place: Place) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    Without any configuration the reports go to a local Maildir below the spool.
    """
    from ownerreportd import app

    return app.run(config=place.config, spool=place.spool)


@click.command(
    short_help="Mend what only a person may decide.",
    epilog="Example: ownerreportd doctor --new-ledger",
)
@click.option(
    "--new-ledger",
    is_flag=True,
    help="Set a lost or damaged ledger aside and begin a new one; every pending report is in "
    "doubt then.",
)
@click.pass_obj
def doctor(place: Place, *, new_ledger: bool) -> None:
    """Mend what only a person may decide. The daemon must not run."""
    if not new_ledger:
        raise click.UsageError("doctor needs to be told what to do; there is --new-ledger")
    from ownerreportd import app

    tell(app.new_ledger(config=place.config, spool=place.spool))
