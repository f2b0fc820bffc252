"""Owns `gate`: ask whether an agent may end its turn, and keep the receipts that answer it.

Rule: a fast verb. What needs the rules themselves, or the configuration, imports it when it runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli import times
from ownerreportd.cli.output import parsed_time, printable, say, tell, tell_json
from ownerreportd.cli.verbs import HelpfulGroup
from ownerreportd.client import GateClient, LostAnswerError
from ownerreportd.core.errors import (
    ConfigError,
    InvalidGateInputError,
    NotFoundError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

REFUSED: Final = 20
ADAPTERS: Final = ("generic-preflight", "manual", "force-recall")
FILE_BYTES_MAX: Final = 65_536


_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_file = click.argument("file", required=False, default="-", metavar="[FILE|-]")


@click.group(
    cls=HelpfulGroup,
    invoke_without_command=True,
    short_help="Ask whether an agent may end its turn.",
    epilog="Example: ownerreportd gate check --adapter manual --input input.json",
)
def gate() -> None:
    """Ask whether an agent may end its turn, or must dispatch the plan's next step first."""


@gate.command(
    epilog="Example: ownerreportd gate check --adapter manual --input input.json",
)
@click.option(
    "--adapter", type=click.Choice(ADAPTERS), default=ADAPTERS[0], show_default=True,
    help="The shape of the input.",
)  # fmt: skip
@click.option("--input", "given", default="-", metavar="FILE|-", help="The input; - is stdin.")
@click.option("--config", "own", metavar="FILE", help="A configuration of the gate, as JSON.")
@click.option("--local", is_flag=True, help="Decide here, without a daemon; recorded nowhere.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole contract.")
@click.pass_obj
def check(
    place: Place, *, adapter: str, given: str, own: str | None, local: bool, as_json: bool
) -> int:
    """Print the block for the agent's next prompt, or nothing where it may end its turn.

    Exits with 0 for pass or skip, 20 for fail, 65 for bad input, 66 for a file that is not there,
    69 without a daemon, 78 for a bad configuration.
    """
    config = None if own is None else _config_in(own)
    request = _json_in(given, _bad_input)
    if config is not None and isinstance(request, dict):
        request = {**request, "config": config}
    if local:
        contract = _checked_here(place, adapter, request, config)
    else:
        contract = _client(place).check(adapter, _object(request))
    result = contract["result"]
    if as_json:
        tell_json(contract)
        return 0 if result["ok"] else REFUSED
    for text in contract["evaluation"]["warnings"]:
        say(f"note: {printable(text)}")
    if contract["block"]:
        tell(contract["block"])
    else:
        say(f"note: {result['status']}: {result['reason']}")
    return 0 if result["ok"] else REFUSED


@gate.command(epilog="Example: ownerreportd gate decisions --plan approved-plan-1")
@click.option("--plan", metavar="ID", help="Those of this plan alone.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@_as_json
@click.pass_obj
def decisions(place: Place, *, plan: str | None, limit: int, as_json: bool) -> None:
    """List what the gate decided, newest first."""
    found = _client(place).decisions(planId=plan, limit=limit)
    if as_json:
        tell_json(found)
        return
    for each in found["decisions"]:
        where = printable(f"{each['planId'] or '-'} {each['currentTask'] or '-'}")
        at = parsed_time(each["at"])
        when = f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else each["at"]
        tell(f"gate-{each['id']} {when} {each['status']} {each['reason']} {where}")


# --- receipts ------------------------------------------------------------------------------------


@gate.group(
    cls=HelpfulGroup, invoke_without_command=True, short_help="Write, list and check receipts."
)
def receipt() -> None:
    """The proof that the next step was handed on."""


@receipt.command(epilog="Example: ownerreportd gate receipt write receipt.json")
@_file
@_as_json
@click.pass_obj
def write(place: Place, *, file: str, as_json: bool) -> None:
    """Keep a receipt durably, and print its path; the same one again is the same file."""
    given = _object(_json_in(file, _bad_input))
    try:
        found = _client(place).write_receipt(given)
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
        found = _client(place).receipts(**wanted)
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

    found = validate_receipt(_json_in(file, _bad_input), datetime.now(UTC))
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
    return 0 if found.real else REFUSED


# --- configuration -------------------------------------------------------------------------------


@gate.group(
    cls=HelpfulGroup, invoke_without_command=True, short_help="Check a configuration of the gate."
)
def config() -> None:
    """The gate's configuration as JSON, in the shape of the JavaScript plugin."""


@config.command("check", epilog="Example: ownerreportd gate config check continuity.json")
@click.argument("file", metavar="FILE|-")
@_as_json
def check_config(*, file: str, as_json: bool) -> int:
    """Say every mistake in a configuration of JSON; exits with 0 or 78, 66 where there is no file.

    The table [gate] of the TOML file is checked by each start of the daemon.
    """
    from ownerreportd.gate import validate_config

    found = validate_config(_json_in(file, _bad_config))
    if as_json:
        tell_json(found.to_json())
    for each in () if as_json else found.errors:
        tell(f"{each['path'] or '/'}: {printable(each['message'])}")
    for text in () if as_json else found.warnings:
        say(f"note: {printable(text)}")
    return 0 if found.ok else ConfigError.exit_status


def _config_in(file: str) -> Any:
    """The configuration in this file, which is complete by its defaults.

    Raises:
        ConfigError: with every mistake.
    """
    from ownerreportd.gate import validate_config

    given = _json_in(file, _bad_config)
    found = validate_config(given)
    if found.ok:
        return given
    mistakes = tuple(f"{each['path'] or '/'}: {each['message']}" for each in found.errors)
    raise ConfigError(
        f"{file}: {len(mistakes)} mistakes" if len(mistakes) > 1 else f"{file}: {mistakes[0]}",
        hint=f"ownerreportd gate config check {file}",
        mistakes=mistakes if len(mistakes) > 1 else (),
    )


# --- without a daemon ----------------------------------------------------------------------------


def _checked_here(place: Place, adapter: str, request: Any, own: Any) -> Json:
    from ownerreportd.gate import GateInputError, evaluate, validate_config
    from ownerreportd.receipts import ReceiptStore

    values, folder = place.gate()
    if isinstance(own, dict) and "receiptDir" in own:
        named = validate_config(own).config
        folder = place.spool_root() / named.receipt_dir if named else folder
    store = ReceiptStore(folder)

    def find(wanted: Any) -> Json | None:
        from datetime import UTC, datetime

        return store.newest(wanted, datetime.now(UTC))

    try:
        return evaluate(adapter, request, config=values, find=find)
    except GateInputError as error:
        raise _wrong(error.errors) from None


def _written_here(place: Place, given: Json) -> Json:
    from datetime import UTC, datetime

    from ownerreportd.gate import validate_receipt
    from ownerreportd.receipts import ReceiptStore

    found = validate_receipt(given, datetime.now(UTC))
    if not found.valid:
        raise _wrong(found.problems())
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


# --- small things --------------------------------------------------------------------------------


def _client(place: Place) -> GateClient:
    return GateClient(place.client().socket_paths)


def _json_in(file: str, bad: Callable[[str], Exception]) -> Any:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {file!r}", hint="ls -l, and - for stdin") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise bad(f"{file}: cannot be read: {reason}") from None
    if len(data) > FILE_BYTES_MAX:
        raise bad(f"{file}: it has over {FILE_BYTES_MAX:,} bytes")
    name = "stdin" if file == "-" else file
    if not data.strip():
        raise bad(f"{name}: it is empty")
    try:
        return json.loads(data)
    except RecursionError:
        raise bad(f"{name}: it is nested too deeply") from None
    except ValueError as error:
        raise bad(f"{name}: it is no valid JSON: {error}") from None


def _object(value: Any) -> Json:
    if isinstance(value, dict):
        return value
    raise _bad_input("the input must be a JSON object")


def _bad_input(message: str) -> InvalidGateInputError:
    return InvalidGateInputError(message, hint="ownerreportd gate --help, and docs/gate.md")


def _bad_config(message: str) -> ConfigError:
    return ConfigError(message, hint="JSON is taken here; docs/gate.md explains every key")


def _wrong(errors: Any) -> InvalidGateInputError:
    detail = "; ".join(f"{each['pointer'] or '/'} {each['message']}" for each in errors)
    return InvalidGateInputError(
        detail, hint="correct that, and ask again; docs/gate.md has every field",
        mistakes=tuple(errors),
    )  # fmt: skip
