"""Owns `init`: from nothing to a configuration that delivers, with three questions at most."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ownerreportd.cli.output import printable, say, tell
from ownerreportd.cli.place import Place
from ownerreportd.core.errors import ConfigError, OperatorError, UsageError

if TYPE_CHECKING:
    from ownerreportd.app.checkup import Finding

_TEST = "# A test report\n\nThis is what the reports of your agents will look like here.\n"


@click.command(
    short_help="Write the first configuration.",
    epilog="Example: ownerreportd init --channel discord --target channel:123",
)
@click.option("--channel", metavar="TYPE", help="The channel, as discord or inbox.")
@click.option("--target", metavar="TARGET", help="Where in the channel, as channel:123.")
@click.option(
    "--option", "options", metavar="KEY=VALUE", multiple=True,
    help="One of the channel's own keys, as host=smtp.example.org; can be repeated.",
)  # fmt: skip
@click.option("--test", "with_test", is_flag=True, help="Send one test report in the end.")
@click.option("--no-input", is_flag=True, help="Ask nothing; what is not said has its default.")
@click.pass_context
def init(
    ctx: click.Context, *, channel: str | None, target: str | None, options: tuple[str, ...],
    with_test: bool, no_input: bool,
) -> int:  # fmt: skip
    """Write a commented configuration, and check that its channel lets us in.

    Asked are, at most, channel, target and token (which is not shown, and goes into a file of its
    own, mode 600). An existing file is never written over. Exits with 0; with 73 where there is
    one; where the check fails the configuration stays, and the exit status is that of `doctor`.
    """
    from ownerreportd.app import beginning

    asking = not no_input and sys.stdin.isatty()
    place: Place = ctx.obj
    path = beginning.place_for(place.config)
    beginning.refuse_existing([path])
    channel = channel or (_ask_channel() if asking else "inbox")
    own = beginning.checked_options(channel, options)
    new = beginning.Beginning(path, channel, _target(channel, target, asking=asking), own)
    secrets = {}
    for name in new.missing_secrets():
        if not asking:
            raise ConfigError(
                f"the channel {channel} needs a {name}",
                hint=f"put it into {new.secret_path(name)} (mode 600) first, and repeat this",
            )
        secrets[name] = _ask_secret(channel, name)
    new.write(secrets)
    tell(f"written: {printable(path)}")
    for name in secrets:
        tell(f"written: {printable(new.secret_path(name))}, for you alone")
    flag = f"--config {shlex.quote(str(path))} " if place.config else ""
    ctx.obj = place = Place(config=str(path), spool=place.spool)
    status = _checked(place)
    if status:
        tell(f"then: ownerreportd {printable(flag)}doctor  # once it is mended")
        return status
    if with_test or (asking and click.confirm("send one test report now?")):
        status = _test(ctx)
    _say_next(place, flag)
    return status


def _ask_channel() -> str:
    from ownerreportd import channels

    kinds = click.Choice(sorted(channels.installed()))
    return str(click.prompt("channel", type=kinds, default="inbox"))


def _target(channel: str, target: str | None, *, asking: bool) -> str:
    """The target that was said, or is asked for until it can be meant."""
    from ownerreportd.app.beginning import checked_target

    while True:
        try:
            return checked_target(channel, target or "")
        except ConfigError as error:
            if not asking or (target is not None and not target):
                raise
            if target is not None:
                say(f"error: {printable(error)}")
            say(f"hint: {printable(error.hint)}")
        target = str(click.prompt("target"))


def _ask_secret(channel: str, name: str) -> str:
    value = str(click.prompt(f"{channel} {name} (not shown)", hide_input=True)).strip()
    if not value or not value.isprintable():
        raise UsageError(f"that is no {name}", hint="paste it again; nothing was written")
    return value


def _checked(place: Place) -> int:
    """Look at the channel, as `doctor` does; the first failure's exit status."""
    from ownerreportd.app.checkup import check_up
    from ownerreportd.cli.daemon import tell_findings

    def no_daemon() -> dict[str, str]:
        raise OperatorError("not asked", hint="")

    found = check_up(config=place.config, spool=place.spool, daemon=no_daemon)
    shown = [each for each in found if _is_ours(each)]
    tell_findings(shown)
    return next((each.exit_status for each in shown if each.mark == "failure"), 0)


def _is_ours(finding: Finding) -> bool:
    """What a first configuration is responsible for."""
    return finding.check == "configuration" or finding.check.startswith("destination")


def _test(ctx: click.Context) -> int:
    from ownerreportd.cli.sending import send

    with tempfile.TemporaryDirectory(prefix="ownerreportd-") as folder:
        report = Path(folder) / "test.md"
        report.write_text(_TEST, encoding="utf-8")
        return int(ctx.invoke(send, ref=str(report), destination="owner") or 0)


def _say_next(place: Place, flag: str) -> None:
    try:
        place.client().version()
    except OperatorError:
        program = f"ownerreportd {printable(flag)}"
        tell(f"next: {program}service install  # where there is no systemd: {program}run")
    else:
        tell("next: ownerreportd reload  # a daemon is running")
    tell(f"then: ownerreportd {printable(flag)}submit --done 'hello'")
