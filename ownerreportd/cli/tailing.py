"""Owns `tail`: the events, past ones and those to come, one line each."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli.output import colour, parsed_time, printable, say, tell
from ownerreportd.client import EventClient, LostAnswerError
from ownerreportd.core import events
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

LAST: Final = 10
AGAIN_S: Final = 1.0
_AGO: Final = re.compile(r"(\d{1,9})(s|m|min|h|d)", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_FAMILIES: Final = sorted(events.KINDS | {kind.partition(".")[0] for kind in events.KINDS})
_COLOURS: Final = {
    "part.confirmed": "green", "report.sent": "green", "lane.resumed": "green",
    "part.failed": "red", "lane.blocked": "red", "report.rejected": "red",
    "report.warning": "yellow", "report.held": "yellow", "lane.waiting": "yellow", "gap": "red",
}  # fmt: skip
_FIRST: Final = ("report", "name", "destination", "part", "status", "planId", "currentTask", "lane",
                 "outcome", "code", "reason", "detail")  # fmt: skip
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
        wanted["since"] = _moment(since).isoformat()
    elif last != 0:
        wanted["last"] = LAST if last is None else last
    found = _following(place, wanted) if follow else _past(place, wanted)
    for event in found:
        tell(_as_json(event) if as_json else line(event))


def line(event: Json) -> str:
    """The event in one line, without anything that a terminal could take for a command."""
    at = parsed_time(event.get("at"))
    when = f"{at.astimezone():%m-%d %H:%M:%S}" if at else " " * 14
    kind = event["kind"]
    names: list[str] = [name for name in _FIRST if name in event]
    names += [name for name in event if name not in _FIRST and name not in _HIDDEN]
    said = " ".join(_said(event, name) for name in names if _tells(event[name]))
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


def _following(place: Place, wanted: dict[str, Any]) -> Iterator[Json]:
    """What is there and what comes; a daemon that goes away is waited for."""
    number, told = None, False
    with suppress(UnreachableError):
        for event in _past(place, wanted):
            number = event["id"]
            yield event
    while True:
        go_on = {**wanted, "since": number, "last": None} if number is not None else wanted
        try:
            for event in _client(place).events(**go_on):
                number, told = event["id"], False
                yield event
        except UnreachableError:
            if not told:
                say("note: the daemon is not there; waiting for it")
            told = True
        time.sleep(AGAIN_S)


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


def _client(place: Place) -> EventClient:
    return EventClient(place.client().socket_paths)


def _moment(text: str) -> datetime:
    match = _AGO.fullmatch(text.strip())
    if match:
        return datetime.now(UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    at = parsed_time(text)
    if at is None:
        raise click.UsageError(f"--since {text!r} is no time; as 20min, 2h, 3d or RFC 3339")
    return at.astimezone(UTC)
