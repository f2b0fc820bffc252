"""Owns what belongs to the installed service, and the steps from here to there and back.

Rules: every step is a value first, so that a dry run tells exactly what would be done; nothing is
written before it is known that everything may be; the spool, the configuration and the user of the
service are never taken away.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from ownerreportd import itself
from ownerreportd.core.errors import ConfigError, CreateError, NotAllowedError, UnreachableError
from ownerreportd.systemd.systemctl import Systemctl, perform
from ownerreportd.systemd.unit_files import (
    CONFIG,
    UnitFile,
    is_below,
    marked,
    place_in,
    shipped,
    with_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE: Final = itself.SERVICE
SOCKET: Final = "ownerreportd.socket"
HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - ProtectHome=, PrivateTmp=
STATE: Final = "/var/lib/ownerreportd"
SPOOL: Final = "var/lib/ownerreportd/pending"


@dataclass(frozen=True, slots=True)
class Write:
    """Put a file where it belongs."""

    file: UnitFile

    def __str__(self) -> str:
        return f"write {self.file.path}"

    def do(self) -> None:
        """Take the step."""
        self.file.write()


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a file of ours away."""

    file: UnitFile

    def __str__(self) -> str:
        return f"remove {self.file.path}"

    def do(self) -> None:
        """Take the step."""
        self.file.remove()


@dataclass(frozen=True, slots=True)
class Command:
    """Have systemd do something."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"run {shlex.join(self.words)}"

    def do(self) -> None:
        """Take the step."""
        perform(self.words)


Step: TypeAlias = Write | Remove | Command


@dataclass(frozen=True, slots=True)
class Installation:
    """The service of the system, or of this user; `command` is what starts the program."""

    is_user: bool
    command: tuple[str, ...]
    root: Path | None = None
    systemctl: Systemctl = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "systemctl", Systemctl(self.is_user, self.root))

    @property
    def files(self) -> list[UnitFile]:
        """Everything that is installed, in the order in which it is written."""
        if self.is_user:
            folder = itself.user_units(os.environ)
            return [self._unit(folder / name, f"user/{name}") for name in (SOCKET, SERVICE)]
        etc = (self.root or Path("/")) / "etc"
        units = etc / "systemd/system"
        config = UnitFile(etc / "ownerreportd/config.toml", shipped("system/config.toml"), True)  # noqa: FBT003 - a field
        return [
            self._unit(etc / "sysusers.d/ownerreportd.conf", "system/sysusers.conf"),
            self._unit(etc / "tmpfiles.d/ownerreportd.conf", "system/tmpfiles.conf"),
            self._unit(etc / "logrotate.d/ownerreportd", "system/logrotate.conf"),
            *([config] if CONFIG in self.command else []),
            *(self._unit(units / name, f"system/{name}") for name in (SOCKET, SERVICE)),
        ]

    def _unit(self, path: Path, name: str) -> UnitFile:
        return UnitFile(path, marked(with_command(shipped(name), self.command)))

    # --- there ------------------------------------------------------------------------------

    def install(self, *, replace: bool = False) -> list[Step]:
        """What is to be done, in this order, but for systemd's part; empty if nothing.

        Raises:
            CreateError: if a file is somebody else's, or was edited, or, without `replace`, starts
                the daemon of another configuration or spool; then nothing is to be done.
        """
        steps: list[Step] = []
        for file in self.files:
            standing = file.standing()
            if file.is_kept and standing != "absent":
                continue
            if standing in {"edited", "foreign"}:
                raise CreateError(_not_ours(file, standing), hint=_aside(file))
            if standing == "ours" and not replace:
                _check_place(file)
            if standing != "same":
                steps.append(Write(file))
        return steps

    def begin(self, written: list[Step]) -> list[Step]:
        """What systemd is to do then.

        Raises:
            UnreachableError: if it does not answer.
        """
        ctl = self.systemctl
        steps: list[Step] = []
        if not self.is_user and (written or not ((self.root or Path("/")) / SPOOL).is_dir()):
            steps += self._folders()
        if self.root is not None:
            return steps if ctl.is_enabled((SOCKET, SERVICE)) else [*steps, self._enable()]
        if written or ctl.show(SERVICE).get("LoadState") != "loaded":
            steps.append(Command(ctl.words("daemon-reload")))
        enabled = ctl.is_enabled((SOCKET, SERVICE))
        if not enabled:
            steps.append(self._enable())
        steps += self._start(written)
        return steps

    def _start(self, written: list[Step]) -> list[Step]:
        """The socket first: systemd refuses it while a daemon runs that bound its own."""
        ctl = self.systemctl
        runs, listens = (
            ctl.show(unit).get("ActiveState") == "active" for unit in (SERVICE, SOCKET)
        )
        renewed = any(isinstance(s, Write) and s.file.path.name == SOCKET for s in written)
        if listens and not renewed:
            if runs:
                return [Command(ctl.words("restart", SERVICE))] if written else []
            return [Command(ctl.words("start", SERVICE))]
        stop = [Command(ctl.words("stop", SERVICE))] if runs else []
        starts = [Command(ctl.words("restart", SOCKET)), Command(ctl.words("start", SERVICE))]
        return [*stop, *starts]

    def _enable(self) -> Command:
        return Command(self.systemctl.words("enable", SOCKET, SERVICE))

    def _folders(self) -> list[Step]:
        image = (f"--root={self.root}",) if self.root else ()
        conf = "ownerreportd.conf"
        return [
            Command(("systemd-sysusers", *image, conf)),
            Command(("systemd-tmpfiles", *image, "--create", conf)),
        ]

    def by_hand(self) -> str:
        """The commands that `begin` stands for, to be typed where systemd runs."""
        ctl = self.systemctl
        steps = [] if self.is_user else self._folders()
        lines = [*(str(step).removeprefix("run ") for step in steps)]
        lines.append(shlex.join(ctl.words("daemon-reload")))
        lines.append(shlex.join(ctl.words("enable", "--now", SOCKET, SERVICE)))
        where_none = "" if not self.is_user else "  # where there is no systemd: ownerreportd run"
        return " && ".join(lines) + where_none

    # --- and back ---------------------------------------------------------------------------

    def remove(self) -> tuple[list[Step], list[str]]:
        """What is to be taken away, and what is left alone, with the reason."""
        steps: list[Step] = []
        left = []
        for file in self.files:
            standing = file.standing()
            if standing == "absent":
                continue
            if file.is_kept:
                left.append(f"{file.path}: the configuration is yours")
            elif standing in {"same", "ours"}:
                steps.append(Remove(file))
            else:
                left.append(_not_ours(file, standing))
        return steps, left

    def end(self) -> list[Step]:
        """What systemd is to do before that: stop it, and begin it no more."""
        ctl = self.systemctl
        if self.root is not None:
            return [Command(ctl.words("disable", SERVICE, SOCKET))]
        known = ctl.show(SERVICE).get("LoadState") == "loaded"
        return [Command(ctl.words("disable", "--now", SERVICE, SOCKET))] if known else []

    def forget(self) -> list[Step]:
        """And after that."""
        return [] if self.root else [Command(self.systemctl.words("daemon-reload"))]

    # --- checks -----------------------------------------------------------------------------

    def check_may_write(self) -> None:
        """Only root installs for the system.

        Raises:
            NotAllowedError: if we are somebody else.
        """
        if not self.is_user and os.geteuid() != 0:
            raise NotAllowedError(
                f"--system needs root, and this is user {os.geteuid()}",
                hint=f"the same with sudo {self.command[0]}; or without --system, for yourself",
            )

    def check_program(self) -> None:
        """The hardened unit sees no home and no /tmp of ours.

        Raises:
            ConfigError: if the program, or its Python, lies there.
        """
        program = self.command[0]
        if not os.access(f"{self.root or ''}{program}", os.X_OK):
            raise ConfigError(
                f"there is no program {program}" + (f" below {self.root}" if self.root else ""),
                hint="--program PATH names the installed one; command -v ownerreportd finds it",
            )
        if (
            not self.is_user
            and self.root is None
            and any(is_below(p, HIDDEN) for p in _seen(program))
        ):
            raise ConfigError(
                f"{program} or its Python lies in a home or in /tmp, which the service cannot see",
                hint="install it below /opt (docs/service.md); then --program PATH",
            )

    def check_reachable(self) -> None:
        """Something must answer before it can be told to do anything.

        Raises:
            UnreachableError: if nothing does.
        """
        why = self.systemctl.why_unreachable()
        if why:
            raise UnreachableError(f"no systemd answers here: {why}", hint=self.by_hand())


def _seen(program: str) -> Iterator[str]:
    """The program, and the interpreter that its first line names."""
    yield program
    try:
        with Path(program).open("rb") as file:
            first = file.readline(256)
    except OSError:
        return
    if first.startswith(b"#!/"):
        yield os.fsdecode(first[2:].split()[0])


def _not_ours(file: UnitFile, standing: str) -> str:
    if standing == "edited":
        return f"{file.path} was edited since it was written"
    return f"{file.path} was not written by `ownerreportd service install`"


def _check_place(file: UnitFile) -> None:
    there, ours = file.place_there(), place_in(file.text)
    if there != ours:
        usual = "the usual configuration"
        raise CreateError(
            f"{file.path} is for {there or usual}, and this would be for {ours or usual}",
            hint="--replace, if that is meant; a second spool gets a unit of its own: "
            "docs/operating.md, Several spools",
        )


def _aside(file: UnitFile) -> str:
    return f"mv {file.path} {file.path}.old  # then again; changes belong into a drop-in"
