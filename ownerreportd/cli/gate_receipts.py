"""Owns `gate receipt`: write, list and check the proofs that a next step was handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli import times
from ownerreportd.cli.gate_files import an_object, bad_input, json_in, wrong_input
from ownerreportd.cli.output import printable, say, tell, tell_json
from ownerreportd.cli.verbs import VerbGroup, help_alone
from ownerreportd.client import LostAnswerError
from ownerreportd.core.errors import InvalidGateInputError, UnreachableError

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

REHEARSED: Final = 20

_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_file = click.argument("file", required=False, default="-", metavar="[FILE|-]")


@click.group(
    cls=VerbGroup, invoke_without_command=True, short_help="Write, list and check receipts."
)
@click.pass_context
def receipt(ctx: click.Context) -> None:
    """The proof that the next step was handed on."""
    help_alone(ctx)


@receipt.command(epilog="Example: ownerreportd gate receipt write receipt.json")
@_file
@_as_json
@click.pass_obj
def write(place: Place, *, file: str, as_json: bool) -> None:
    """Keep a receipt durably, and print its path; the same one again is the same file."""
    given = an_object(json_in(file, bad_input))
    try:
        found = place.client().write_receipt(given)
    except LostAnswerError:
        raise
    except UnreachableError:
        found = _written_here(place, given)
    for text in _doubts(found["receipt"]):
        say(f"note: {printable(text)}")
    tell_json(found) if as_json else tell(found["path"])


def _doubts(given: Json) -> list[str]:
    """What is to be said of a valid receipt."""
    from datetime import UTC, datetime

    from ownerreportd.gate import validate_receipt

    found = validate_receipt(given, datetime.now(UTC))
    unreal = [f"it tells of a rehearsal ({code}), and proves nothing" for code in found.unreal]
    return [*unreal, *found.warnings]


@receipt.command("list", epilog="Example: ownerreportd gate receipt list --plan approved-plan-1")
@click.option("--plan", metavar="ID", help="Those of this plan.")
@click.option("--task", metavar="ID", help="Those of this current task.")
@click.option("--run", metavar="ID", help="Those of this dispatchRunId.")
@click.option("--since", metavar="TIME", help="Dispatched then or later: 2h, 3d, or RFC 3339.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@_as_json
@click.pass_obj
def list_receipts(
    place: Place, *, plan: str | None, task: str | None, run: str | None, since: str | None,
    limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List the stored receipts, newest first."""
    wanted: dict[str, str | int | None] = {
        "planId": plan, "currentTask": task, "dispatchRunId": run, "limit": limit,
        "since": None if since is None else times.since(since).isoformat(),
    }  # fmt: skip
    try:
        found = place.client().receipts(**wanted)
    except LostAnswerError:
        raise
    except UnreachableError:
        found = _listed_here(place, wanted)
    if as_json:
        tell_json(found)
        return
    for each in found["receipts"]:
        kept = each["receipt"]
        names = ("dispatchedAt", "planId", "currentTask", "dispatchRunId", "childSessionKey")
        doubts = "".join(f"  [{text}]" for text in _doubts(kept))
        tell(printable(" ".join(str(kept[name]) for name in names) + doubts))
    for each in found["invalid"]:
        say(f"note: {printable(each['file'])} is left alone: {printable(each['reason'])}")


@receipt.command("check", epilog="Example: ownerreportd gate receipt check receipt.json")
@_file
@_as_json
def check_receipt(*, file: str, as_json: bool) -> int:
    """Say whether a receipt would count, without keeping it.

    Exits with 0 where it would, 20 where it tells of a rehearsal, 65 where it is not valid.
    """
    from datetime import UTC, datetime

    from ownerreportd.gate import validate_receipt

    found = validate_receipt(json_in(file, bad_input), datetime.now(UTC))
    if as_json:
        tell_json(found.to_json())
    else:
        for each in found.problems():
            tell(f"{each['pointer'] or '/'} {printable(each['message'])}")
        for code in found.unreal:
            tell(f"not real: {code}")
        for text in found.warnings:
            say(f"note: {text}")
    if not found.valid:
        return InvalidGateInputError.exit_status
    return 0 if found.real else REHEARSED


# --- without a daemon ----------------------------------------------------------------------------


def _written_here(place: Place, given: Json) -> Json:
    from datetime import UTC, datetime

    from ownerreportd.gate import validate_receipt
    from ownerreportd.receipts import ReceiptStore

    found = validate_receipt(given, datetime.now(UTC))
    if not found.valid:
        raise wrong_input(found.problems())
    path, _ = ReceiptStore(place.gate()[1]).write(found.receipt)
    say("note: there is no daemon; the receipt is written, and counts when one runs")
    warnings = list(found.warnings)
    return {"receipt": found.receipt, "path": str(path), "errors": [], "warnings": warnings}


def _listed_here(place: Place, wanted: dict[str, Any]) -> Json:
    from datetime import UTC, datetime

    from ownerreportd.gate import parse_time
    from ownerreportd.receipts import Filter, ReceiptStore

    since, now = parse_time(wanted["since"]), datetime.now(UTC)
    chosen = Filter(wanted["planId"], wanted["currentTask"], wanted["dispatchRunId"], since)
    store = ReceiptStore(place.gate()[1])
    return {"receipts": store.listed(chosen, wanted["limit"], now), "invalid": store.invalid(now)}
