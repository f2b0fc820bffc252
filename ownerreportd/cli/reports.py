"""Owns `list` and `show`: the reports, and one report's whole story."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ownerreportd.cli import times
from ownerreportd.cli.completing import reports
from ownerreportd.cli.output import (
    age,
    columns,
    moment,
    parsed_time,
    printable,
    say,
    state_word,
    tell,
    tell_json,
)
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

STATES: Final = ("waiting", "sending", "blocked", "sent", "held", "withdrawn", "rejected")
_FIELDS: Final = ("title", "team", "worker", "task_id", "progress", "status")


@click.command(
    "list", short_help="List the reports.", epilog="Example: ownerreportd list --state waiting"
)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--team", metavar="TEAM", help="Only those of this team.")
@click.option("--since", metavar="TIME", help="Only those that came since: 20min, 2h, a date.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="SEQ", help="From behind this one on."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON: {reports, next_after}.")
@click.pass_obj
def list_reports(
    place: Place, *, state: str | None, team: str | None, since: str | None, limit: int,
    after: int, as_json: bool,
) -> None:  # fmt: skip
    """List the reports, oldest first: id, state, age, title."""
    at = None if since is None else times.since(since)
    page = _page(place, _Which(state, team, at), limit, after)
    if as_json:
        tell_json(page)
        return
    rows = [_row(report) for report in page["reports"]]
    for line in columns(rows) if rows else ():
        tell(line)
    if not rows:
        said = state or team or since
        say("note: there is no such report" if said else "note: there is no report")
    if page.get("next_after") is not None:
        say(f"note: there are more: ownerreportd list --after {page['next_after']}")


@click.command(
    short_help="Tell one report's whole story.", epilog="Example: ownerreportd show head"
)
@click.argument("ref", metavar="ID", shell_complete=reports)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def show(place: Place, *, ref: str, as_json: bool) -> None:
    """Tell one report's whole story: every part, attempt, answer and receipt.

    ID is the id, a unique prefix of at least 4 characters, the file's name, or head; gate-N is
    the gate's decision of that number.
    """
    if re.fullmatch(r"gate-\d{1,18}", ref, re.ASCII):
        _tell_decision(place, int(ref[5:]), as_json=as_json)
        return
    report = report_of(place, ref)
    if as_json:
        tell_json(report)
        return
    for line in _story(report):
        tell(line)


def _tell_decision(place: Place, number: int, *, as_json: bool) -> None:

    found = place.client().decision(number)
    if as_json:
        tell_json(found)
        return
    for name, value in found.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        tell(f"{name}: {printable(shown)}")


class _Which(NamedTuple):
    """Which reports are wanted."""

    state: str | None
    team: str | None
    since: datetime | None


def _page(place: Place, which: _Which, limit: int, after: int) -> Json:
    since = which.since
    try:
        return place.client().reports(
            state=which.state, team=which.team, since=since.isoformat() if since else None,
            limit=limit, after=after,
        )  # fmt: skip
    except UnreachableError:
        if not place.has_ledger():
            raise
        from ownerreportd import app
        from ownerreportd.ledger import views

        wanted = views.Wanted(which.state, which.team, since.timestamp() if since else None)
        found = app.look(
            config=place.config, spool=place.spool,
            look=lambda db: views.list_reports(db, wanted, limit, after),
        )  # fmt: skip
        return {"reports": found, "next_after": found[-1]["seq"] if len(found) == limit else None}


def report_of(place: Place, ref: str) -> Json:
    """One report, from the daemon or else from the ledger."""
    try:
        return place.client().report(ref)
    except UnreachableError:
        if not place.has_ledger():
            raise
        from ownerreportd import app
        from ownerreportd.ledger import views

        return app.look(
            config=place.config, spool=place.spool,
            look=lambda db: views.one_report(db, views.find(db, ref)),
        )  # fmt: skip


def name_of(report: Json) -> str:
    """What to call a report: its id, or the file's name before it was read."""
    return printable(report.get("id") or report.get("name") or "unknown")


def heading_of(report: Json) -> str:
    """Title, else task id, else the file's name."""
    return printable(report.get("title") or report.get("task_id") or report.get("name") or "")


def _row(report: Json) -> tuple[str, str, str, str]:
    from datetime import UTC, datetime

    at = parsed_time(report.get("admitted_at"))
    waited = "" if at is None else age((datetime.now(UTC) - at).total_seconds())
    return name_of(report), report["state"], waited, heading_of(report)


def _story(report: Json) -> Iterator[str]:
    yield f"{name_of(report)} {state_word(report['state'])}"
    if report.get("reason"):
        yield f"why: {printable(report['reason'])}"
    for name in _FIELDS:
        if report.get(name):
            yield f"{name.replace('_', ' ')}: {printable(report[name])}"
    yield f"file: {printable(report['name'])}, {report.get('size')} bytes"
    if report.get("sha256"):
        yield f"sha256: {report['sha256']}"
    if report.get("submitted_by"):
        yield f"submitted by: {printable(report['submitted_by'])}"
    yield f"arrived: {moment(report.get('admitted_at'))}"
    if report.get("settled_at"):
        yield f"settled: {moment(report['settled_at'])}"
    elif report.get("position"):
        yield f"place in the queue: {report['position']}"
    for text in report.get("warnings") or ():
        yield f"warning: {printable(text)}"
    for delivery in report.get("deliveries") or ():
        yield from _delivery(delivery)


def _delivery(delivery: Json) -> Iterator[str]:
    to = " ".join(printable(delivery[key]) for key in ("channel", "target") if delivery.get(key))
    again = delivery.get("generation") or 0
    generation = f", sent again {again}x" if again else ""
    yield ""
    name = printable(delivery["destination"])
    parts = delivery.get("parts") or ()
    weak = any(_is_weak(part) for part in parts)
    yield f"to {name} ({to}): {_proven(delivery['state'], weak=weak)}{generation}"
    for part in parts:
        yield from _part(part)


def _is_weak(part: Json) -> bool:
    return (part.get("receipt") or {}).get("proof") == "accepted"


def _proven(state: str, *, weak: bool) -> str:
    """The state in words that claim no more than the receipt does."""
    return state_word("accepted") if weak and state == "confirmed" else state_word(state)


def _part(part: Json) -> Iterator[str]:
    marked = ", marked as a possible duplicate" if part.get("form") == "marked" else ""
    weak = _is_weak(part)
    yield f"  part {part['number']}/{part['count']}: {_proven(part['state'], weak=weak)}{marked}"
    if part.get("doubt_since"):
        yield f"    in doubt since {moment(part['doubt_since'])}"
    for number, attempt in enumerate(part.get("attempts") or (), 1):
        yield f"    attempt {number}: {_attempt(attempt, weak=weak)}"
    receipt = part.get("receipt")
    if receipt:
        words = ("id", "link", "proof", "note")
        told = ", ".join(printable(receipt[word]) for word in words if receipt.get(word))
        yield f"    receipt: {told}"


def _attempt(attempt: Json, *, weak: bool) -> str:
    outcome = attempt.get("outcome")
    duration = attempt.get("duration_s")
    took = "" if duration is None else f" after {duration:.2f} s"
    detail = ": ".join(printable(attempt[key]) for key in ("code", "detail") if attempt.get(key))
    answer = f"{_proven(outcome, weak=weak)}{took}" if outcome else "open, no answer yet"
    return f"{moment(attempt.get('started_at'))} {answer}" + (f": {detail}" if detail else "")
