"""Owns `submit`: from fields, a file or stdin to a report that survives a crash.

Rule: the standard library, click and the client only, for a report costs one start of this. Every
report goes with an id of its own, so that a lost answer never makes a second one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli.output import say, tell, tell_json
from ownerreportd.cli.submission import Composed, check_readable, from_fields, from_file
from ownerreportd.client import LostAnswerError, start_hint
from ownerreportd.core.errors import (
    InvalidReportError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from ownerreportd.core.report import is_valid_id

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

FIELDS: Final = ("team", "worker", "task_id", "progress", "done", "next", "status", "source")
_EPILOG: Final = """\b
Examples:
  ownerreportd submit --team t --worker alice --task-id build --done 'it builds' --next 'test it'
  ownerreportd submit report.md --wait
  some-command | ownerreportd submit --title 'nightly' -
"""
_FINAL: Final = {"sent": 0, "held": 76, "rejected": 76, "withdrawn": 76}
_NOT_YET: Final = 75
_NEEDS_A_PERSON: Final = 76


@click.command(short_help="Hand over a report, durably.", epilog=_EPILOG)
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option("--team", help="The team that works.")
@click.option("--worker", help="Who works.")
@click.option("--task-id", help="What is worked on.")
@click.option("--progress", help="How far it is, as 50%.")
@click.option("--done", help="What is done.")
@click.option("--next", help="What comes next.")
@click.option("--status", help="normal, attention, blocked, failed, done, or any word.")
@click.option("--source", help="What made the report.")
@click.option("--title", help="The heading; also for a FILE.")
@click.option("--to", multiple=True, metavar="DESTINATION", help="Instead of the configured one.")
@click.option("--id", "report_id", metavar="KEY", help="The same again is no second report.")
@click.option("--wait", is_flag=True, help="Wait until it is delivered.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, max=3600), default=60.0, show_default=True,
    metavar="SECONDS", help="How long --wait waits.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print an object, not the id alone.")
@click.pass_obj
def submit(
    place: Place, /, *, file: str | None, title: str | None, to: tuple[str, ...],
    report_id: str | None, wait: bool, timeout: float, as_json: bool, **given: str | None,
) -> int:  # fmt: skip
    """Hand over a report and print its id; it is on the disk then.

    The report is a finished Markdown FILE, stdin (-), or composed from fields. Through the daemon
    when it answers, else straight into the spool.
    """
    if report_id is not None and not is_valid_id(report_id):
        raise UsageError(
            f"--id {report_id!r} cannot be an id", hint="use 1 to 64 of A-Z a-z 0-9 . _ -"
        )
    fields = {name: value for name in FIELDS if (value := given[name]) is not None}
    report = _report(place, file, fields, title=title, to=to)
    taken = hand_over(place, report, report_id)
    if as_json and not wait:
        tell_json(taken)
    elif not as_json:
        tell(taken["id"])
        sys.stdout.flush()  # whoever reads it need not wait for the delivery
    return _waited(place, taken, timeout, as_json=as_json) if wait else 0


def _report(
    place: Place,
    file: str | None,
    fields: dict[str, str],
    *,
    title: str | None,
    to: tuple[str, ...],
) -> Composed:
    if file is not None and fields:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in fields)
        raise UsageError(
            f"{file} is a finished report, so {flags} cannot be given too",
            hint="give a file, or fields; --title and --to go with both",
        )
    if fields:
        titled = fields if title is None else {**fields, "title": title}
        return from_fields(titled, language=place.language(), to=to)
    if file is None and sys.stdin.isatty():
        raise UsageError("there is no report", hint="ownerreportd submit --help")
    data = _read(file, place.report_bytes_max())
    return from_file(data, title=title, to=to)


def _read(file: str | None, bytes_max: int) -> bytes:
    try:
        if file is None or file == "-":
            return check_readable(sys.stdin.buffer.read(bytes_max + 1), bytes_max)
        return check_readable(_read_file(Path(file), bytes_max), bytes_max)
    except OSError as error:
        raise NotFoundError(
            f"cannot read {file or 'stdin'}: {error.strerror or error}",
            hint=f"ls -l {file}" if file else "give a FILE",
        ) from error


def _read_file(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(bytes_max + 1)


def hand_over(place: Place, report: Composed, report_id: str | None) -> Json:
    """Give the report to the daemon, or else to the spool: `{id, name, state, via, ...}`.

    Raises:
        IdConflictError: if the daemon knows the id with other bytes.
        StorageError: if there is no daemon and the spool cannot be written.
    """
    from ownerreportd.spool.submit import new_id

    own_id = report_id or new_id()
    try:
        return {**place.client().submit(report.data, report_id=own_id), "via": "daemon"}
    except UnreachableError as error:
        # Also after a lost answer: the daemon knows the id, and takes it for the same report.
        earlier = None
        if report_id is not None:
            from ownerreportd.cli.alone import submitted_before

            earlier = submitted_before(place.spool_root(), report_id, report.data)
        _check_destinations(place, report)
        return earlier or _spooled(place, report, own_id, error)


def _check_destinations(place: Place, report: Composed) -> None:
    """Refuse unknown names as the daemon would.

    Raises:
        InvalidReportError: if the report names a destination that is not configured.
    """
    wanted = report.to()
    if not wanted:
        return
    known = place.destinations()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InvalidReportError(
            f"unknown destination {unknown[0]!r}",
            hint=f"configured are: {', '.join(sorted(known))}",
        )


def _spooled(place: Place, report: Composed, report_id: str, error: UnreachableError) -> Json:
    from ownerreportd.core.report import shown_name
    from ownerreportd.spool import submit as submit_file

    root = place.spool_root()
    written = submit_file(
        root, report.data, team=report.team(), task_id=report.task_id(), report_id=report_id
    )
    lost = isinstance(error, LostAnswerError)
    why = f"{error}" if lost else "no daemon answers"
    say(f"note: {why}; the report is in {root / 'pending'}, and goes out once a daemon runs")
    return {
        "id": written.id,
        "name": shown_name(written.name),
        "state": "waiting",
        "position": None,
        "via": "spool",
    }


def _waited(place: Place, taken: Json, timeout_s: float, *, as_json: bool) -> int:
    if taken["via"] == "spool":
        if as_json:
            tell_json(taken)
        raise UnreachableError(
            f"the report {taken['id']} is submitted, and no daemon is there to wait for",
            hint=start_hint(),
        )
    report = place.client().wait(taken["id"], timeout_s=timeout_s)
    if as_json:
        tell_json({**taken, **report})
    return _settled(report)


def _settled(report: dict[str, Any]) -> int:
    state = report["state"]
    if state == "sent":
        return 0
    why = f": {report['reason']}" if report.get("reason") else ""
    say(f"note: the report is {state}{why}")
    say(f"hint: ownerreportd show {report.get('id') or report['name']}")
    return _FINAL.get(state, _NEEDS_A_PERSON if state == "blocked" else _NOT_YET)
