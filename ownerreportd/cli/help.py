"""Owns `help`: a verb's own help, and what the exit codes mean."""

from __future__ import annotations

from typing import Final

import click

from ownerreportd.cli.output import tell
from ownerreportd.cli.verbs import VERBS, UnknownVerbError

EXIT_CODES: Final = {
    0: "done",
    3: "status: blocked, paused, or stale",
    20: "the gate says no",
    64: "usage",
    65: "the input is no report, or not valid",
    66: "no such report or file",
    69: "no daemon, or no channel, to be reached",
    70: "a bug",
    73: "cannot create; another daemon holds the spool",
    74: "disk or ledger error",
    75: "not delivered yet, will be tried again (submit --wait, send, drain)",
    76: "refused or in doubt: needs a person (submit --wait, send, drain)",
    77: "not allowed",
    78: "configuration",
    130: "interrupted",
    141: "stdout was closed",
}
_TOPIC: Final = "exit-codes"


@click.command(
    "help",
    short_help="Explain a verb, or the exit codes.",
    epilog="Example: ownerreportd help exit-codes",
)
@click.argument("topic", required=False, metavar="[VERB|exit-codes]")
@click.pass_context
def help_verb(ctx: click.Context, topic: str | None) -> None:
    """Explain a verb, or what the exit codes mean."""
    root = ctx.find_root()
    if topic == _TOPIC:
        for code, meaning in EXIT_CODES.items():
            tell(f"{code:>3}  {meaning}")
        return
    tell(root.get_help() if topic is None else _help_of(root, topic))


def _help_of(root: click.Context, topic: str) -> str:
    group = root.command
    command = group.get_command(root, topic) if isinstance(group, click.Group) else None
    if command is None:
        raise UnknownVerbError(topic, root, VERBS)
    with click.Context(command, info_name=topic, parent=root) as context:
        return command.get_help(context)
