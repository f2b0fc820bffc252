"""Owns `status`: the state word first, then since when and why, and the command that helps."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from ownerreportd.cli.output import (
    age,
    colour,
    local,
    moment,
    parsed_time,
    printable,
    state_word,
    tell,
    tell_json,
)
from ownerreportd.client import LostAnswerError
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

NEEDS_A_LOOK: Final = 3
WATCH_S: Final = 1.0
DOCTOR_HINT: Final = "ownerreportd doctor  # says what keeps a daemon from answering"
# ECMA-48: cursor to the corner; erase to the end of the line, of the screen; erase all of it.
_HOME, _TO_LINE_END, _TO_SCREEN_END, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


@click.command(
    short_help="Say what the queue does, and why.",
    epilog="Example: ownerreportd status --json | jq .oldest_age_s",
)
@click.option("--watch", is_flag=True, help="Show it anew every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON (ownerreportd.status/1).")
@click.pass_obj
def status(place: Place, *, watch: bool, as_json: bool) -> int:
    """Say what the queue does, since when and why, and what to type if it has stopped.

    Exits with 3 when the queue is blocked, paused or stale, and with 69 when no daemon answers.
    """
    if watch:
        if as_json or not sys.stdout.isatty():
            raise click.UsageError("--watch is for a terminal; programs read: tail -f --json")
        _watch(place)
    found = _found(place)
    if as_json:
        tell_json(found)
    else:
        for line in _lines(found):
            tell(line)
    return _exit_status(found)


def _found(place: Place) -> Json:
    """The daemon's status, or what the spool shows without one."""
    try:
        return place.client().status()
    except UnreachableError as error:
        return _down(place.spool_root(), error)


def _watch(place: Place) -> NoReturn:
    """Draw the status over the last one, for ever."""
    sys.stdout.write(_CLEAR)
    while True:
        lines = [f"{line}{_TO_LINE_END}\n" for line in _lines(_found(place))]
        sys.stdout.write(_HOME + "".join(lines) + _TO_SCREEN_END)
        sys.stdout.flush()
        time.sleep(WATCH_S)


def _exit_status(found: Json) -> int:
    if found["state"] == "down":
        return UnreachableError.exit_status
    return NEEDS_A_LOOK if found["state"] in {"blocked", "paused"} or found.get("stale") else 0


def _down(root: Path, error: UnreachableError) -> Json:
    """The status without a daemon: what the spool's folders show."""
    waiting, oldest = _counted(root / "pending")
    return {
        "schema": "ownerreportd.status/1",
        "state": "down",
        "code": error.code,
        "reason": str(error),
        "hint": DOCTOR_HINT if isinstance(error, LostAnswerError) else error.hint,
        "since": None,
        "stale": False,
        "waiting": waiting,
        "oldest_age_s": None if oldest is None else round(time.time() - oldest, 3),
        "head": None,
        "sent_total": _counted(root / "sent")[0],
        "rejected_total": _counted(root / "rejected")[0],
        "spool": str(root),
    }


def _counted(folder: Path) -> tuple[int, float | None]:
    """How many reports lie there, and the oldest one's mtime."""
    count, oldest = 0, None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(".md"):
                    continue
                count += 1
                mtime = entry.stat(follow_symlinks=False).st_mtime
                oldest = mtime if oldest is None else min(oldest, mtime)
    except OSError:
        return count, oldest  # not there, not ours, or moving under us: what was seen counts
    return count, oldest


def _lines(found: Json) -> Iterator[str]:
    """The status for people; a line for whatever there is to say."""
    since = parsed_time(found.get("since"))
    yield state_word(found["state"]) + (f" since {local(since)}" if since else "")
    if since and (seconds := (datetime.now(UTC) - since).total_seconds()) >= 0:
        yield f"  for: {age(seconds)}"
    code = f" ({found['code']})" if found.get("code") and found["state"] != "down" else ""
    if found.get("reason"):
        yield f"  why: {printable(found['reason'])}{code}"
    if found.get("hint"):
        yield f"  hint: {printable(found['hint'])}"
    if found.get("stale"):
        yield colour("  stale: the head has failed for too long", "red")
    yield from _head(found)
    yield _waiting(found)
    yield from _lanes(found.get("lanes") or [])
    yield from _delivered(found)
    yield from _destinations(found)
    yield f"spool: {printable(found.get('spool', ''))}"


def _head(found: Json) -> Iterator[str]:
    head = found.get("head")
    if not head:
        return
    name = " ".join(printable(head[key]) for key in ("id", "title") if head.get(key))
    yield f"head: {name}{_to(head)}"
    tried = head.get("attempts")
    if tried:
        last = ": ".join(
            printable(head[key]) for key in ("last_outcome", "last_error") if head.get(key)
        )
        yield f"  tried: {tried}, last {last}"
    if head.get("next_attempt_at"):
        yield f"  next: {moment(head['next_attempt_at'])}"


def _to(head: Json) -> str:
    return f" to {printable(head['destination'])}" if head.get("destination") else ""


def _waiting(found: Json) -> str:
    oldest = found.get("oldest_age_s")
    waited = "" if oldest is None else f", the oldest for {age(oldest)}"
    return f"waiting: {found.get('waiting', 0)}{waited}"


def _lanes(lanes: list[Json]) -> Iterator[str]:
    """Only where there are several: one lane's state is the state above."""
    if len(lanes) < 2:
        return
    yield "lanes:"
    for lane in lanes:
        why = f": {printable(lane['reason'])}" if lane.get("reason") else ""
        waiting = f", {lane.get('waiting', 0)} waiting"
        yield f"  {printable(lane['name'])} {state_word(lane['state'])}{waiting}{why}"
        if lane.get("hint"):
            yield f"    hint: {printable(lane['hint'])}"


def _delivered(found: Json) -> Iterator[str]:
    last = found.get("last_delivery")
    if last:
        link = _link(last.get("receipt"))
        yield f"last delivery: {printable(last.get('id'))} {moment(last.get('at'))}{link}"
    rejected = found.get("rejected_total") or 0
    yield f"sent: {found.get('sent_total', 0)}" + (f", rejected: {rejected}" if rejected else "")
    for each in found.get("rejected_today") or []:
        yield f"  rejected today: {printable(each['name'])} ({printable(each['reason'])})"
    for each in found.get("left_alone") or []:
        yield f"  left alone: {printable(each)}"


def _link(receipt: Any) -> str:
    if not isinstance(receipt, dict):
        return f" {printable(receipt)}" if receipt else ""
    return f" {printable(receipt.get('link') or receipt.get('id') or '')}"


def _destinations(found: Json) -> Iterator[str]:
    for each in found.get("destinations") or []:
        target = " ".join(printable(each[key]) for key in ("channel", "target") if each.get(key))
        proof = f" ({printable(each['proof'])})" if each.get("proof") else ""
        yield f"destination: {printable(each['name'])} {target}{proof}"
