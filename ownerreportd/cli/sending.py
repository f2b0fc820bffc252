"""Owns `send`: one report now, directly, past the queue."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ownerreportd.cli.output import printable, say, state_word, tell, tell_json
from ownerreportd.cli.reports import name_of, report_of
from ownerreportd.cli.submission import check_readable
from ownerreportd.client import LostAnswerError
from ownerreportd.core.errors import DoesNotApplyError, UnreachableError, UsageError
from ownerreportd.core.report import is_valid_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Client, Json

_EXITS: Final = {"confirmed": 0, "not_sent": 75, "throttled": 75, "in_doubt": 76, "rejected": 76}


@click.command(
    short_help="Send one report now, past the queue.",
    epilog="Example: ownerreportd send report.md --channel discord --target channel:123",
)
@click.argument("ref", metavar="ID|FILE")
@click.option("--to", "destination", metavar="DESTINATION", help="A configured destination.")
@click.option("--channel", metavar="TYPE", help="With --target: a channel's type, as discord.")
@click.option("--target", metavar="TARGET", help="With --channel: where to, as channel:123.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent where, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome and receipts as JSON.")
@click.pass_obj
def send(
    place: Place, *, ref: str, destination: str | None, channel: str | None, target: str | None,
    dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Send one report now, with one attempt for each part, and replace its destinations.

    ID is the id, a unique prefix of at least 4 characters, the file's name, or head; a FILE is
    submitted first. Exits with 0 when confirmed, 75 when not sent (it keeps its place), 76 when
    refused or in doubt.
    """
    if destination is not None and (channel is not None or target is not None):
        raise click.UsageError("--to cannot be given together with --channel and --target")
    if (channel is None) != (target is None):
        raise click.UsageError("--channel and --target go together")
    if dry_run:
        return _rehearsed(place, ref, (destination, channel, target))
    try:
        client = place.client()
        known, data = _meant(place, client, ref)
        call = partial(client.send, destination=destination, channel=channel, target=target)
        result = _through(call, ref, known, data)
    except LostAnswerError:
        raise
    except UnreachableError:
        result = _alone(place, ref, destination=destination, channel=channel, target=target)
    tell_json(result) if as_json else _tell(result, ref)
    return _EXITS.get(result["outcome"], 76)


def _rehearsed(place: Place, ref: str, where: tuple[str | None, str | None, str | None]) -> int:
    from ownerreportd import app

    pending = place.spool_root() / "pending"
    submitted = sorted(pending.glob(f"*-{ref}.md")) if is_valid_id(ref) else []
    file = next((f for f in (Path(ref), pending / ref, *submitted) if f.is_file()), None)
    if file is None:
        file = pending / report_of(place, ref)["name"]
    if not file.is_file():
        raise DoesNotApplyError(f"the report {ref} does not wait", hint="ownerreportd list")
    return app.rehearse_send(
        config=place.config, spool=place.spool, file=file, where=where, say=tell
    )


def _alone(
    place: Place, ref: str, *, destination: str | None, channel: str | None, target: str | None
) -> Json:
    from ownerreportd import app

    return app.send(
        config=place.config,
        spool=place.spool,
        ref=_name_in_spool(place, ref) or ref,
        destination=destination,
        channel=channel,
        target=target,
    )


def _meant(place: Place, client: Client, ref: str) -> tuple[str, bytes | None]:
    """What the daemon calls the report; with its bytes where it is a file from outside."""
    from ownerreportd.spool.submit import new_id

    name = _name_in_spool(place, ref)
    path = Path(ref)
    if name is not None or not path.is_file():
        return name or ref, None
    client.version()  # learn whether a daemon is there before the file is read
    bytes_max = place.report_bytes_max()
    with path.open("rb") as file:
        data = check_readable(file.read(bytes_max + 1), bytes_max)
    return new_id(), data


def _through(call: Callable[..., Json], ref: str, known: str, data: bytes | None) -> Json:
    """The daemon's answer. A file that it has taken, or may have, is named with its id."""
    try:
        return call(known, data=data)
    except (UsageError, UnreachableError) as error:
        if not isinstance(error, LostAnswerError):
            data = None  # it was not taken
        raise
    finally:
        if data is not None:
            say(f"note: {ref} is submitted as {known}")


def _name_in_spool(place: Place, ref: str) -> str | None:
    """The file's name, if it is one of the reports that already wait."""
    path = Path(ref)
    waits = path.is_file() and path.absolute().parent == place.spool_root() / "pending"
    return path.name if waits else None


def _tell(result: Json, ref: str) -> None:
    report = result.get("report") or {"name": ref}
    tell(f"{name_of(report)} {state_word(result['outcome'])}")
    for receipt in result.get("receipts") or ():
        shown = (receipt[key] for key in ("id", "link", "note") if receipt.get(key))
        tell(f"receipt: {', '.join(map(printable, shown))}")
    for word in ("detail", "hint"):
        if result.get(word):
            say(f"{'note' if word == 'detail' else word}: {printable(result[word])}")
