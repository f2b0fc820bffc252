"""Owns `service`: install the unit, take it away, and say how it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ownerreportd import locate
from ownerreportd.cli.output import printable, say, tell, tell_json
from ownerreportd.cli.verbs import VerbGroup, help_alone
from ownerreportd.core.errors import ConfigError, NotFoundError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ownerreportd.cli.place import Place
    from ownerreportd.systemd.installation import Installation, Step

_PREFIXES: Final = ("OWNERREPORTD_", "OWNER_REPORT_")


_ROOT: Final = click.Path(exists=True, file_okay=False, resolve_path=True)


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb here."""
    for option in (
        click.option(
            "--root", metavar="DIR", type=_ROOT,
            help="With --system: in the image below this folder, where nothing runs.",
        ),
        click.option("--system", is_flag=True, help="For the system, as a user of its own."),
        click.option("--user", is_flag=True, help="For yourself; the default."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(
    cls=VerbGroup, invoke_without_command=True,
    short_help="Install the daemon as a systemd service.",
    epilog="Example: ownerreportd service install --dry-run",
)  # fmt: skip
@click.pass_context
def service(ctx: click.Context) -> None:
    """Install the daemon as a systemd service, for yourself or for the system."""
    help_alone(ctx)


@service.command(
    short_help="Write the units, and have systemd start them.",
    epilog="Example: ownerreportd service install",
)
@_which
@click.option("--program", metavar="PATH", help="The program that the unit starts; this one, else.")
@click.option(
    "--replace", is_flag=True, help="Also a unit that is for another configuration or spool."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.pass_obj
def install(
    place: Place, *, user: bool, system: bool, root: str | None, program: str | None,
    replace: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Write the units for this program, and have systemd start them, now and at every boot.

    Says every step. A second time there is nothing to do. What somebody else wrote or edited is
    not written over, nor is the unit of another configuration or spool. Where no systemd answers,
    the files are written all the same; exits with 69 then, and tells the commands to type where
    it runs.
    """
    found = _installation(place, user=user, system=system, root=root, program=program)
    if system and place.spool:
        raise UsageError(
            "--spool and --system exclude each other: the unit could not write there",
            hint=f"sudoedit {_config(place)}  # [spool] root; then a drop-in: docs/service.md, "
            "A spool elsewhere",
        )
    if not dry_run:
        found.check_may_write()
    found.check_program()
    written = found.install(replace=replace)
    _take(written, dry_run=dry_run)
    found.check_reachable()
    begun = found.begin(written)
    _take(begun, dry_run=dry_run)
    if not (written or begun):
        tell("nothing to do: it is installed" + (", and runs" if root is None else ""))
    if user or not system:
        _say_lingering()
    elif root is None:
        _say_spool(_config(place))
    _say_environment()


@service.command(
    short_help="Stop it, and take away what `install` wrote.",
    epilog="Example: ownerreportd service uninstall --system --dry-run",
)
@_which
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.pass_obj
def uninstall(place: Place, *, user: bool, system: bool, root: str | None, dry_run: bool) -> None:
    """Stop the service, and take away what `install` wrote.

    The spool, the configuration and the service's user stay; so does a file that was edited.
    """
    found = _installation(place, user=user, system=system, root=root, program=None)
    if not dry_run:
        found.check_may_write()
    removed, left = found.remove()
    for text in left:
        tell(f"left alone: {printable(text)}")
    if not removed:
        tell("nothing to do: it is not installed")
        return
    why = found.systemctl.why_unreachable()
    if not why:
        _take(found.end(), dry_run=dry_run)
    _take(removed, dry_run=dry_run)
    if why:
        reload = " ".join(found.systemctl.words("daemon-reload"))
        raise UnreachableError(f"no systemd answers here: {why}", hint=f"where it runs: {reload}")
    _take(found.forget(), dry_run=dry_run)


@service.command(
    short_help="Say how the service is.",
    epilog="Example: ownerreportd service status --json | jq .active",
)
@_which
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status(place: Place, *, user: bool, system: bool, root: str | None, as_json: bool) -> None:
    """Say whether the service is installed, enabled and running, and what it says of itself.

    Exits with 0 when it runs, 69 when it does not, 66 when it is not installed.
    """
    from ownerreportd.systemd.systemctl import journal_hint

    found = _installation(place, user=user, system=system, root=root, program=None)
    shown = _looked_at(found)
    if as_json:
        tell_json(shown)
    else:
        for line in _lines(shown):
            tell(line)
    verb = f"ownerreportd service install{'' if found.is_user else ' --system'}"
    if not shown["installed"]:
        raise NotFoundError("the service is not installed", hint=verb)
    if shown["unreachable"]:
        raise UnreachableError(f"no systemd answers here: {shown['unreachable']}", hint=verb)
    if root is None and shown["active"] != "active":
        start = " ".join(found.systemctl.words("start", "ownerreportd.service"))
        reset = " ".join(found.systemctl.words("reset-failed", "ownerreportd.service"))
        why = f"{journal_hint(is_user=found.is_user)}; then: {reset} && {start}"
        hint = why if shown["active"] == "failed" else start
        raise UnreachableError(f"the service is {shown['active']}", hint=hint)


def _looked_at(found: Installation) -> dict[str, Any]:
    from ownerreportd.systemd.installation import SERVICE, SOCKET

    files = {str(file.path): file.standing() for file in found.files if not file.is_kept}
    ctl = found.systemctl
    why = ctl.why_unreachable()
    said = ctl.show(SERVICE) if not why and found.root is None else {}
    listens = ctl.show(SOCKET) if said else {}
    return {
        "files": files, "installed": any(each != "absent" for each in files.values()),
        "unreachable": why, "enabled": said.get("UnitFileState", ""),
        "active": said.get("ActiveState", ""), "sub": said.get("SubState", ""),
        "socket": listens.get("ActiveState", ""), "status": said.get("StatusText", ""),
        "pid": int(said.get("MainPID", 0)) or None, "restarts": int(said.get("NRestarts", 0)),
    }  # fmt: skip


def _lines(shown: dict[str, Any]) -> Iterable[str]:
    """For people: what is there, then how it is."""
    words = {"same": "as shipped", "ours": "for another program, configuration or version",
             "edited": "edited", "foreign": "somebody else's", "absent": "absent"}  # fmt: skip
    for path, standing in shown["files"].items():
        yield f"{printable(path)}: {words[standing]}"
    if not shown["active"]:
        return
    pid = f", pid {shown['pid']}" if shown["pid"] else ""
    yield f"service: {shown['active']} ({shown['sub']}){pid}, {shown['enabled'] or 'unknown'}"
    yield f"socket: {shown['socket']}"
    if shown["status"]:
        yield f"queue: {printable(shown['status'])}"
    if shown["restarts"]:
        yield f"restarts: {shown['restarts']}"


def _installation(
    place: Place, *, user: bool, system: bool, root: str | None, program: str | None
) -> Installation:
    from ownerreportd.itself import own_command
    from ownerreportd.systemd.installation import Installation
    from ownerreportd.systemd.unit_files import CONFIG

    if user and system:
        raise UsageError("--user and --system exclude each other", hint="take one of them")
    if root is not None and not system:
        raise UsageError("--root is for --system alone", hint="add --system")
    config = place.config or (CONFIG if system else os.environ.get("OWNERREPORTD_CONFIG"))
    command = [str(Path(program).absolute())] if program else own_command()
    for flag, value in (("--config", config), ("--spool", place.spool)):
        if value:
            home = locate.home_of(os.environ)
            command += [flag, str(locate.absolute(value, base=Path(), home=home))]
    return Installation(not system, tuple(command), Path(root) if root else None)


def _take(steps: Iterable[Step], *, dry_run: bool) -> None:
    for step in steps:
        tell(f"would {printable(step)}" if dry_run else printable(step))
        if not dry_run:
            step.do()


def _say_lingering() -> None:
    """A user's services end with the last session, unless that user lingers."""
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    if not Path("/var/lib/systemd/linger", name).exists():
        say(f"hint: loginctl enable-linger {name}  # else it runs only while you are logged in")


def _config(place: Place) -> str:
    """The configuration of the system's service."""
    from ownerreportd.systemd.unit_files import CONFIG

    return place.config or CONFIG


def _say_spool(config: str) -> None:
    """The hardened unit writes its own folders alone, wherever the configuration has the spool."""
    from ownerreportd.systemd.installation import STATE

    try:
        root = locate.spool_root({"HOME": STATE}, Path(config).absolute())
    except ConfigError:  # the start tells it
        return
    if not root.is_relative_to(STATE):
        remedy = "docs/service.md, A spool elsewhere"
        say(f"note: the unit cannot write {printable(str(root))} without a drop-in: {remedy}")


def _say_environment() -> None:
    """What counts in this shell does not count in the service."""
    names = sorted(
        name for name in os.environ if name.startswith(_PREFIXES) and name != "OWNERREPORTD_CONFIG"
    )
    if names:
        say(f"note: the service does not see {', '.join(names)}: put it into the configuration")
