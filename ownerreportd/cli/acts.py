"""Owns what a person does to the queue: `retry`, `skip`, `resolve`, `pause`, `resume`, `reload`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ownerreportd.cli.completing import destinations, reports
from ownerreportd.cli.output import (
    as_json_text,
    counted,
    printable,
    say,
    state_word,
    tell,
    tell_json,
)  # fmt: skip
from ownerreportd.cli.reports import name_of

if TYPE_CHECKING:
    from ownerreportd.cli.place import Place
    from ownerreportd.client import Json

_ONE = "ID is the id, a unique prefix of at least 4 characters, the file's name, or head."
_to = click.option(
    "--to", "destination", metavar="DESTINATION", help="Only the delivery to this destination.",
    shell_complete=destinations,
)  # fmt: skip


@click.command(
    short_help="Try again now.",
    help="Try again: the blocked or waiting report, or without ID whatever waits. A held report "
    f"goes back to the tail; an edited file is read again.\n\n{_ONE}",
    epilog="Example: ownerreportd retry head",
)
@click.argument("ref", metavar="[ID]", required=False, shell_complete=reports)
@_to
@click.pass_obj
def retry(place: Place, *, ref: str | None, destination: str | None) -> None:
    """Ask the daemon to try again."""
    if ref is None:
        _tell_state(place.client().retry(None, destination=destination), destination)
    else:
        _tell_report(place.act("retry", ref=ref, destination=destination))


@click.command(
    short_help="Set a report aside, with a reason.",
    help=f"Set a report aside to held/, so that the queue goes on.\n\n{_ONE}",
    epilog="Example: ownerreportd skip head --reason 'told the owner by phone'",
)
@click.argument("ref", metavar="ID", shell_complete=reports)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with the report.")
@_to
@click.pass_obj
def skip(place: Place, *, ref: str, reason: str, destination: str | None) -> None:
    """Ask the daemon to set a report aside."""
    if not reason.strip():
        raise click.UsageError("--reason must say something")
    _tell_report(place.act("skip", ref=ref, reason=reason, destination=destination))


@click.command(
    short_help="Settle a doubt by your own word.",
    help="Settle a doubt: the owner has it (--sent), or it shall be sent again, marked as a "
    f"possible duplicate (--resend).\n\n{_ONE}",
    epilog="Example: ownerreportd resolve head --sent",
)
@click.argument("ref", metavar="ID", shell_complete=reports)
@click.option("--sent", is_flag=True, help="The owner has it; take my word.")
@click.option("--resend", is_flag=True, help="The owner has it not; send it again.")
@_to
@click.pass_obj
def resolve(place: Place, *, ref: str, sent: bool, resend: bool, destination: str | None) -> None:
    """Tell the daemon what became of a report in doubt."""
    if sent == resend:
        raise click.UsageError("say either --sent or --resend")
    how = "sent" if sent else "resend"
    _tell_report(place.act("resolve", ref=ref, how=how, destination=destination))


@click.command(
    short_help="Stop sending, over restarts too.",
    help="Stop sending; the attempt in flight ends first. It stays so over restarts.",
    epilog="Example: ownerreportd pause",
)
@_to
@click.pass_obj
def pause(place: Place, *, destination: str | None) -> None:
    """Ask the daemon to pause."""
    _tell_state(place.act("pause", destination=destination), destination)


@click.command(
    short_help="Send again.",
    help="Send again after a pause.",
    epilog="Example: ownerreportd resume",
)
@_to
@click.pass_obj
def resume(place: Place, *, destination: str | None) -> None:
    """Ask the daemon to go on."""
    _tell_state(place.act("resume", destination=destination), destination)


@click.command(
    short_help="Take the configuration again, whole or not at all.",
    help="Have the daemon read its configuration again, between two attempts. With a mistake "
    "nothing changes; what the daemon holds open (the spool, the socket) asks for a restart.",
    epilog="Example: ownerreportd config check && ownerreportd reload",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def reload(place: Place, *, as_json: bool) -> None:
    """Ask the daemon to take its configuration again."""
    found = place.client().reload()
    if as_json:
        tell_json(found)
        return
    for text in found.get("warnings", ()):
        say(f"note: {printable(text)}")
    changed = found.get("changed", ())
    tell(f"reloaded, {counted(len(changed), 'change')}")
    for each in changed:
        tell(f"  {printable(each['key'])}: {_change(each['old'], each['new'])}")


def _change(old: object, new: object) -> str:
    return "changed" if old == new else f"{as_json_text(old)} -> {as_json_text(new)}"


def _tell_report(report: Json) -> None:
    tell(f"{name_of(report)} {state_word(report['state'])}")
    if report.get("reason"):
        say(f"note: {printable(report['reason'])}")


def _tell_state(status: Json, destination: str | None) -> None:
    """The state of the lane that was meant, where there are several; else of all."""
    lanes = [lane for lane in status.get("lanes") or () if lane["name"] == destination]
    status = lanes[0] if lanes else status
    tell(f"{state_word(status['state'])}, {status.get('waiting', 0)} waiting")
    if status.get("reason"):
        say(f"note: {printable(status['reason'])}")
