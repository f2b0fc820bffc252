"""Owns `run` and `doctor`: the daemon in the foreground, and a look at all that it needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from ownerreportd.cli.output import colour, printable, tell, tell_json
from ownerreportd.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ownerreportd.app.checkup import Finding
    from ownerreportd.cli.place import Place

_SIGNS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failure": ("✗", "red")}


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
    short_help="Look at everything that a delivery needs.",
    epilog="Example: ownerreportd doctor",
)
@click.option(
    "--new-ledger",
    is_flag=True,
    help="Set a lost or damaged ledger aside and begin a new one; every pending report is in "
    "doubt then. The daemon must not run.",
)
@click.option(
    "--restored",
    is_flag=True,
    help="The spool, or its ledger, came from a backup: what that does not know to be delivered "
    "is in doubt then. The daemon must not run.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def doctor(place: Place, *, new_ledger: bool, restored: bool, as_json: bool) -> int:
    """Look at everything that a delivery needs, one line each, with what helps.

    Nothing is changed or sent; each channel is asked its read-only questions. Exits with 0, or
    with the exit status of the first failure.
    """
    if new_ledger and restored:
        raise UsageError(
            "--new-ledger and --restored exclude each other",
            hint="ownerreportd doctor --restored  # if the ledger from the backup is good",
        )
    if new_ledger or restored:
        from ownerreportd import app

        act = app.new_ledger if new_ledger else app.restore
        tell(act(config=place.config, spool=place.spool))
        return 0
    from ownerreportd.app.checkup import check_up

    found = check_up(
        config=place.config, spool=place.spool, daemon=lambda: place.client().version()
    )
    tell_json([asdict(each) for each in found]) if as_json else tell_findings(found)
    return next((each.exit_status for each in found if each.mark == "failure"), 0)


def tell_findings(found: Iterable[Finding]) -> None:
    """A line for each, and its remedy below it."""
    for each in found:
        sign, tint = _SIGNS[each.mark]
        tell(f"{colour(sign, tint)} {each.check}: {printable(each.detail)}")
        if each.remedy:
            tell(f"    {printable(each.remedy)}")
