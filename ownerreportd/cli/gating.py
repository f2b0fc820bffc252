"""Owns `gate`: ask whether an agent may end its turn, and keep the receipts that answer it.

Rule: a fast verb. What needs the rules themselves, or the configuration, imports it when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd.cli.gate_files import an_object, bad_config, bad_input, json_in, wrong_input
from ownerreportd.cli.gate_receipts import receipt
from ownerreportd.cli.output import parsed_time, printable, say, tell, tell_json
from ownerreportd.cli.verbs import VerbGroup, help_alone
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

REFUSED: Final = 20
ADAPTERS: Final = ("generic-preflight", "manual", "force-recall")

_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    short_help="Ask whether an agent may end its turn.",
    epilog="Example: ownerreportd gate check --adapter manual --input input.json",
)
@click.pass_context
def gate(ctx: click.Context) -> None:
    """Ask whether an agent may end its turn, or must dispatch the plan's next step first."""
    help_alone(ctx)


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
    request = json_in(given, bad_input)
    if config is not None and isinstance(request, dict):
        request = {**request, "config": config}
    if local:
        contract = _checked_here(place, adapter, request, config)
    else:
        contract = place.client().gate(adapter, an_object(request))
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
    found = place.client().decisions(planId=plan, limit=limit)
    if as_json:
        tell_json(found)
        return
    for each in found["decisions"]:
        where = printable(f"{each['planId'] or '-'} {each['currentTask'] or '-'}")
        at = parsed_time(each["at"])
        when = f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else each["at"]
        tell(f"gate-{each['id']} {when} {each['status']} {each['reason']} {where}")


gate.add_command(receipt)


# --- configuration -------------------------------------------------------------------------------


@gate.group(invoke_without_command=True, short_help="Check a configuration of the gate.")
@click.pass_context
def config(ctx: click.Context) -> None:
    """The gate's configuration as JSON, in the shape of the JavaScript plugin."""
    help_alone(ctx)


@config.command("check", epilog="Example: ownerreportd gate config check continuity.json")
@click.argument("file", metavar="FILE|-")
@_as_json
def check_config(*, file: str, as_json: bool) -> int:
    """Say every mistake in a configuration of JSON; exits with 0 or 78, 66 where there is no file.

    The table [gate] of the TOML file is checked by each start of the daemon.
    """
    from ownerreportd.gate import validate_config

    found = validate_config(json_in(file, bad_config))
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

    given = json_in(file, bad_config)
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
        raise wrong_input(error.errors) from None
