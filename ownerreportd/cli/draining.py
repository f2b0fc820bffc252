"""Owns `drain`: one pass over the queue, beside a running daemon or alone.

Rule: beside a daemon nothing is sent here; it is woken, and its reports are watched until the
first N are settled or the first fails.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from ownerreportd.cli.output import counted, parsed_time, printable, say, tell
from ownerreportd.cli.reports import heading_of, name_of
from ownerreportd.core.errors import ConfigError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Client, Json

PAGE: Final = 1000
LOOK_S: Final = 2.0
THROTTLE_WAIT_S: Final = 60.0
NOT_YET: Final = 75
NEEDS_A_PERSON: Final = 76
DISK: Final = 74
_DISK_CODES: Final = frozenset({"disk_full", "disk_error", "ledger", "spool_replaced"})
_RETRIED: Final = frozenset({"config", "channel_bug"})  # a start of `drain` alone retries these
_UNSETTLED: Final = ("blocked", "sending", "waiting")
_OVERRIDE: Final = ("OWNER_REPORT_CHANNEL", "OWNER_REPORT_TARGET")


@click.command(
    short_help="Make one pass over the queue, for cron.",
    epilog="Example: ownerreportd drain --max-count 10",
)
@click.option("--max-count", type=click.IntRange(0), metavar="N", help="At most so many; 0: all.")
@click.option("--dry-run", is_flag=True, help="Show what would go where, and change nothing.")
@click.pass_obj
def drain(place: Place, *, max_count: int | None, dry_run: bool) -> int:
    """Deliver what waits, oldest first, and stop at the first failure.

    At most OWNER_REPORT_MAX_COUNT, else [delivery] max_count, where --max-count is not given.
    Exits with 0 when all is settled, 75 when the head will be tried again or the queue is paused,
    76 when it needs a person, 74 when the disk does not let it go on.
    """
    client = place.client()
    try:
        client.version()
    except UnreachableError:
        return _alone(place, max_count, dry_run=dry_run)
    if dry_run and _override():
        return _alone(place, max_count, dry_run=True)  # nothing is sent, so nobody is overridden
    _refuse_override()
    waiting = _first(client, (place.max_count() if max_count is None else max_count) or None)
    return _show(waiting) if dry_run else _watched(client, waiting)


def _alone(place: Place, max_count: int | None, *, dry_run: bool) -> int:
    from ownerreportd import app

    return app.drain(
        config=place.config, spool=place.spool, max_count=max_count, dry_run=dry_run, say=tell
    )


def _override() -> list[str]:
    return [name for name in _OVERRIDE if os.environ.get(name)]


def _refuse_override() -> None:
    named = _override()
    if named:
        raise ConfigError(
            f"a daemon runs, and {' and '.join(named)} cannot change where it sends to",
            hint="send one report elsewhere: ownerreportd send ID --channel C --target T",
        )


def _first(client: Client, count: int | None) -> list[Json]:
    """The first unsettled reports in arrival order; all of them without a count."""
    return list(islice(_unsettled(client, count), count))


def _unsettled(client: Client, count: int | None) -> Iterator[Json]:
    """In arrival order; `waiting` is every one that is not final, the head's state included."""
    after: int | None = 0
    while after is not None:
        page = client.reports(state="waiting", limit=min(count or PAGE, PAGE), after=after)
        yield from page["reports"]
        after = page.get("next_after")


def _show(waiting: list[Json]) -> int:
    for report in waiting:
        tell(f"{name_of(report)} {heading_of(report)} -> {_destined(report)}")
    say(f"note: {counted(len(waiting), 'report')} would be sent")
    return 0


def _destined(report: Json) -> str:
    """Where it goes, as far as that is decided: a report far from the head is not read yet."""
    found = [d for d in report.get("deliveries") or () if d["state"] == "waiting"]
    shown = [f"{d['destination']} ({d['channel']} {d['target']})" for d in found]
    names = shown or report.get("to") or ()
    return ", ".join(map(printable, names)) or "decided when it is read"


def _watched(client: Client, waiting: list[Json]) -> int:
    status = client.status()
    if waiting and not (status["state"] == "blocked" and status.get("code") not in _RETRIED):
        status = client.retry()
    settled = 0
    exit_status = NOT_YET if status["state"] == "paused" else 0
    for report in waiting if exit_status == 0 else ():
        exit_status, report_now = _until_settled(client, report)
        if exit_status:
            break
        settled += 1
        tell(f"{name_of(report_now)} {report_now['state']} {heading_of(report_now)}".rstrip())
    say(f"note: {counted(settled, 'report')} settled, {len(waiting) - settled} left")
    if exit_status:
        _tell_stop(client.status())
    return exit_status


def _until_settled(client: Client, report: Json) -> tuple[int, Json]:
    """0 with the report once it is settled, or the exit status of what stopped the queue."""
    ref = report.get("id") or report["name"]
    while True:
        try:
            now = client.wait(ref, timeout_s=LOOK_S)
        except NotFoundError:
            return 0, {**report, "state": "withdrawn"}
        if now.get("settled_at") or now["state"] not in _UNSETTLED:
            return 0, now
        stopped = _stopped(client.status())
        if stopped:
            return stopped, now


def _stopped(status: Json) -> int:
    """The exit status of a queue that stands still; 0 for one that goes on."""
    if status["state"] == "paused":
        return NOT_YET
    if status["state"] == "blocked":
        return DISK if status.get("code") in _DISK_CODES else NEEDS_A_PERSON
    if status["state"] == "waiting":
        return _failed(status.get("head") or {})
    return 0


def _failed(head: Json) -> int:
    """75 for a head that failed and waits; a short throttling is waited out."""
    at = parsed_time(head.get("next_attempt_at"))
    if at is None or not head.get("last_outcome"):
        return 0
    left_s = (at - datetime.now(UTC)).total_seconds()
    most_s = THROTTLE_WAIT_S if head["last_outcome"] == "throttled" else 0.0
    if left_s <= most_s:
        return 0
    return NEEDS_A_PERSON if head["last_outcome"] == "in_doubt" else NOT_YET


def _tell_stop(status: Json) -> None:
    why = status.get("reason") or (status.get("head") or {}).get("last_error") or "no reason"
    say(f"note: the queue is {status['state']}: {printable(why)}")
    say(f"hint: {printable(status.get('hint') or 'ownerreportd status')}")
