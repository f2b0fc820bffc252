"""Owns `tail`: the events, past ones and those to come, one line each."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli import times
from ownerreportd.cli.output import colour, parsed_time, printable, say, tell
from ownerreportd.client import Client, LostAnswerError
from ownerreportd.core import events
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

LAST: Final = 10
AGAIN_S: Final = 1.0
_FAMILIES: Final = sorted(events.KINDS | {kind.partition(".")[0] for kind in events.KINDS})
_COLOURS: Final = {
    "part.confirmed": "green", "report.sent": "green", "lane.resumed": "green",
    "part.failed": "red", "lane.blocked": "red", "report.rejected": "red",
    "report.warning": "yellow", "report.held": "yellow", "lane.waiting": "yellow", "gap": "red",
}  # fmt: skip
_FIRST: Final = ("report", "name", "destination", "part", "status", "planId", "currentTask", "lane",
                 "outcome", "code", "reason", "detail")  # fmt: skip
_KEPT_EMPTY: Final = frozenset({"planId", "currentTask"})
_HIDDEN: Final = frozenset(
    {"id", "at", "kind", "parts", "key", "attempt", "form", "reasons", "rule"}
)


@click.command(
    short_help="Show what happened, and what happens.", epilog="Example: ownerreportd tail -f"
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, over restarts too.")
@click.option("-n", "last", type=click.IntRange(0, 100_000), help="The last so many. [10]")
@click.option("--report", metavar="ID", help="Of one report alone.")
@click.option("--kind", metavar="KIND", help="Of one kind or family, as part.failed or gate.")
@click.option("--since", metavar="TIME", help="From then on: 90s, 20min, 2h, 3d, or RFC 3339.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def tail(
    place: Place, *, follow: bool, last: int | None, report: str | None, kind: str | None,
    since: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the newest events, one line each; with -f also those that come.

    Without a daemon it shows what the ledger has, and with -f waits for one.
    """
    if kind is not None and kind not in _FAMILIES:
        raise click.UsageError(f"there is no kind {kind!r}; there are {', '.join(_FAMILIES)}")
    wanted: dict[str, Any] = {"report": report, "kind": kind}
    if since is not None:
        wanted["since"] = times.since(since).isoformat()
    elif last != 0:
        wanted["last"] = LAST if last is None else last
    found = _following(place, wanted, last) if follow else _newest(_past(place, wanted), last)
    for event in found:
        tell(_as_json(event) if as_json else line(event))


def line(event: Json) -> str:
    """The event in one line, without anything that a terminal could take for a command."""
    at = parsed_time(event.get("at"))
    when = f"{at.astimezone():%m-%d %H:%M:%S}" if at else " " * 14
    kind = event["kind"]
    names: list[str] = [name for name in _FIRST if name in event]
    names += [name for name in event if name not in _FIRST and name not in _HIDDEN]
    said = " ".join(
        _said(event, name) for name in names if _tells(event[name]) or name in _KEPT_EMPTY
    )
    return f"{when}  {colour(f'{printable(kind):16}', _COLOURS.get(kind))}  {said}".rstrip()


def _tells(value: Any) -> bool:
    """Whether it is worth its place in one line; `--json` has everything."""
    return value not in ("", None, []) and not isinstance(value, bool | dict)


def _said(event: Json, name: str) -> str:
    value = event[name]
    if name == "report":
        return printable(value)[:10]
    if name == "part":
        return f"{value}/{event.get('parts', value)}"
    if value is None:
        return "-"
    return printable(value) if name in _FIRST else f"{name}={printable(value)}"


def _as_json(event: Json) -> str:
    import json

    return json.dumps(event, ensure_ascii=False)


def _past(place: Place, wanted: dict[str, Any]) -> Iterator[Json]:
    if "since" not in wanted and "last" not in wanted:
        return  # -n 0
    try:
        yield from _client(place).events(follow=0, **wanted)
    except LostAnswerError:
        raise
    except UnreachableError:
        if not place.has_ledger():
            raise
        yield from _in_ledger(place, wanted)


def _newest(found: Iterator[Json], last: int | None) -> Iterable[Json]:
    """The last so many of them, where that was said."""
    return found if last is None else deque(found, last)


def _following(place: Place, wanted: dict[str, Any], last: int | None) -> Iterator[Json]:
    """What is there and what comes; a daemon that goes away is waited for."""
    told = False
    number = _present(place)  # before the past is told: what comes meanwhile is in both or later
    with suppress(UnreachableError):
        for event in _newest(_past(place, wanted), last):
            number = max(number, event["id"])
            yield event
    while True:
        try:
            for event in _client(place).events(**{**wanted, "since": number, "last": None}):
                number, told = event["id"], False
                yield event
        except UnreachableError:
            if not told:
                say("note: the daemon is not there; waiting for it")
            told = True
        time.sleep(AGAIN_S)


def _present(place: Place) -> int:
    """The number of the newest event; 0 where nothing has happened yet."""
    newest = {"report": None, "kind": None, "last": 1}
    with suppress(UnreachableError):
        return max((event["id"] for event in _past(place, newest)), default=0)
    return 0


def _in_ledger(place: Place, wanted: dict[str, Any]) -> list[Json]:
    from ownerreportd import app
    from ownerreportd.ledger import event_log, views

    def look(db: Any) -> list[Json]:
        rid = None if wanted["report"] is None else views.find(db, wanted["report"])
        chosen = event_log.Chosen(rid, wanted["kind"])
        if "since" not in wanted:
            return event_log.newest(db, chosen, wanted.get("last", 0))
        at = datetime.fromisoformat(wanted["since"]).timestamp()
        return event_log.after(db, event_log.before_time(db, at), chosen, 1 << 40)

    return app.look(config=place.config, spool=place.spool, look=look)


def _client(place: Place) -> Client:
    return place.client()
