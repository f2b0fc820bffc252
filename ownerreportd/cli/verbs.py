"""Owns the list of verbs, in the order of a newcomer's day; each is loaded when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ownerreportd.cli.output import tell

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verb(NamedTuple):
    """Where a verb's command is, and what it does in one line."""

    module: str
    name: str
    summary: str


VERBS: Final = {
    "init": Verb("beginning", "init", "Write the first configuration."),
    "run": Verb("daemon", "run", "Run the daemon in the foreground."),
    "submit": Verb("submitting", "submit", "Hand over a report, durably."),
    "status": Verb("status", "status", "Say what the queue does, and why."),
    "list": Verb("reports", "list_reports", "List the reports, oldest first."),
    "show": Verb("reports", "show", "Tell one report's whole story."),
    "tail": Verb("tailing", "tail", "Show what happened, and what happens."),
    "retry": Verb("acts", "retry", "Try again now."),
    "skip": Verb("acts", "skip", "Set a report aside, with a reason."),
    "resolve": Verb("acts", "resolve", "Settle a doubt by your own word."),
    "pause": Verb("acts", "pause", "Stop sending, over restarts too."),
    "resume": Verb("acts", "resume", "Send again."),
    "reload": Verb("acts", "reload", "Take the configuration again, whole or not at all."),
    "send": Verb("sending", "send", "Send one report now, past the queue."),
    "drain": Verb("draining", "drain", "Make one pass over the queue, for cron."),
    "gate": Verb("gating", "gate", "Ask whether an agent may end its turn."),
    "config": Verb("configuring", "config", "Check and show the configuration."),
    "channels": Verb("listing_channels", "channels", "List the channels, and what each can do."),
    "migrate": Verb("migrating", "migrate", "Take over from the cron scripts."),
    "doctor": Verb("daemon", "doctor", "Look at everything that a delivery needs."),
    "service": Verb("installing", "service", "Install the daemon as a systemd service."),
    "help": Verb("help", "help_verb", "Explain a verb, or the exit codes."),
}


class UnknownVerbError(click.UsageError):
    """Raised when there is no such verb; `names` are those that there are."""

    def __init__(self, name: str, ctx: click.Context, names: Iterable[str]) -> None:
        group = ctx.command_path.split()[1:]
        super().__init__(f"there is no verb {' '.join([*group, name])!r}", ctx)
        self.name = name
        self.names = tuple(names)


def help_alone(ctx: click.Context) -> None:
    """What a group does: shows its help where no verb of it was named."""
    if ctx.invoked_subcommand is None:
        tell(ctx.get_help())


class VerbGroup(click.Group):
    """Refuses a name that is none of its verbs."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant, or the nearest ones as a proposal."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            raise UnknownVerbError(args[0], ctx, names)
        return super().resolve_command(ctx, args)


class LazyGroup(VerbGroup):
    """Knows every verb by name and summary, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs in their order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The verb's command, imported."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command = getattr(import_module(f"ownerreportd.cli.{verb.module}"), verb.name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{verb.module}.{verb.name} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The verbs with their summaries, without importing one."""
        with formatter.section("Verbs, in the order of a first day"):
            formatter.write_dl(list(_rows()))


def _rows() -> Iterable[tuple[str, str]]:
    return ((name, verb.summary) for name, verb in VERBS.items())
