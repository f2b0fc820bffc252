"""Owns `migrate`: the way over from the cron scripts, shown first and done on `--write`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ownerreportd.cli.output import printable, say, tell
from ownerreportd.core.errors import OperatorError

if TYPE_CHECKING:
    from ownerreportd.app.migration import Migration
    from ownerreportd.cli.place import Place

_EPILOG = """\b
Examples:
  ownerreportd migrate            # shows what it would do
  ownerreportd migrate --write    # does it
"""


@click.command(short_help="Take over from the cron scripts.", epilog=_EPILOG)
@click.option("--write", is_flag=True, help="Do it; without this flag nothing changes.")
@click.option(
    "--scripts", metavar="DIR", help="The old scripts' folder, where no crontab line names it."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, max=3600), default=60.0, show_default=True,
    metavar="SECONDS", help="How long to wait for an old run that is under way.",
)  # fmt: skip
@click.pass_obj
def migrate(place: Place, *, write: bool, scripts: str | None, timeout: float) -> int:
    """Take over from the cron scripts, without losing or doubling a report.

    Finds the crontab's lines with run_owner_report_watchdog.sh, the settings of the old scripts,
    pending/ and sent/. With --write: writes the configuration, keeps a copy of the crontab and of
    the old scripts, disables the lines, puts scripts of the same names in the old ones' place,
    and takes sent/ over as history and pending/ as the queue. A second run changes nothing, and
    one that was cut off is completed by the next. Exits with 0; with 73 where a daemon or an old
    run works on the spool.
    """
    from ownerreportd.app import migration

    found = migration.find(config=place.config, spool=place.spool, scripts=scripts)
    for line in found.found:
        tell(f"found: {printable(line)}")
    for line in found.notes:
        tell(f"note: {printable(line)}")
    due = found.due()
    if not due:
        tell("nothing is to be done: " + ("it is done" if found.found else "nothing old is here"))
        if found.found:
            _tell_next(place, found)
        return 0
    if not write:
        for line in due:
            tell(f"would {printable(line)}")
        where = f" --scripts {shlex.quote(scripts)}" if scripts else ""
        command = printable(f"{place.program()} migrate --write{where}")
        tell(f"nothing is changed yet; to do it: {command}")
        return 0
    found.carry_out(timeout, lambda line: tell(f"done: {printable(line)}"))
    tell(f"kept: {printable(found.keep)} has the crontab and the scripts as they were")
    _tell_next(place, found)
    return 0


def _tell_next(place: Place, found: Migration) -> None:
    for n, line in enumerate(found.needs(place.config, place.spool)):
        tell(f"{'hint' if n else 'needs'}: {printable(line)}")
    try:
        place.client().version()
    except OperatorError:
        program = printable(place.program())
        tell(f"next: {program} service install  # where there is no systemd: {program} run")
        say("note: until a daemon runs, reports wait in pending/, and nothing is lost")
