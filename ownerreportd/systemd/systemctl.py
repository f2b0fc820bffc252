"""Owns how systemd is asked: the one place that runs its programs.

Rule: what it says is told as it said it; a systemd that is not there is no failure of ours, but
one with the commands to type where it is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATIENCE_S: Final = 180.0  # longer than systemd waits for a start or a stop
_SHOWN: Final = (
    "LoadState", "UnitFileState", "ActiveState", "SubState", "StatusText", "MainPID", "NRestarts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Systemctl:
    """The system's manager, or this user's; with `root` the units of an image that does not run."""

    is_user: bool
    root: Path | None = None

    def words(self, *words: str) -> tuple[str, ...]:
        """The command line of that verb."""
        where = ("--user",) if self.is_user else ()
        image = (f"--root={self.root}",) if self.root else ()
        return ("systemctl", *where, *image, *words)

    def why_unreachable(self) -> str:
        """Why no manager answers here; empty if one does, or an image needs none."""
        if self.root is not None:
            return "" if shutil.which("systemctl") else "there is no systemctl on PATH"
        try:
            done = _run(self.words("show", "--property=Version"))
        except UnreachableError as error:
            return str(error)
        return "" if done.returncode == 0 else _said(done.stderr) or "systemctl failed"

    def show(self, unit: str) -> dict[str, str]:
        """What the manager says of the unit; empty where it says nothing."""
        done = _run(self.words("show", f"--property={','.join(_SHOWN)}", unit))
        pairs = (line.partition("=") for line in done.stdout.splitlines())
        return {key: value for key, equals, value in pairs if equals}

    def is_enabled(self, units: Iterable[str]) -> bool:
        """Whether all of these are begun by themselves."""
        done = _run(self.words("is-enabled", *units))
        return done.returncode == 0 and set(done.stdout.split()) == {"enabled"}


def perform(words: Sequence[str]) -> None:
    """Run one of systemd's programs.

    Raises:
        UnreachableError: if it cannot be run or fails; with what it said.
    """
    done = _run(words)
    if done.returncode:
        said = _said(done.stderr) or f"exit status {done.returncode}"
        raise UnreachableError(f"{shlex.join(words)} failed: {said}", hint=_hint(words))


def _hint(words: Sequence[str]) -> str:
    if words[0] == "systemctl" and {"start", "restart", "enable"} & set(words):
        return journal_hint(is_user="--user" in words)
    return f"mend what it says, then again: {shlex.join(words)}"


def journal_hint(*, is_user: bool) -> str:
    """The command that shows why the service does not run."""
    return f"journalctl {'--user ' if is_user else ''}-u ownerreportd -n 20  # says why"


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SYSTEMD_COLORS": "0"}
    runtime = Path(f"/run/user/{os.getuid()}")
    if "XDG_RUNTIME_DIR" not in environ and runtime.is_dir():
        environ["XDG_RUNTIME_DIR"] = str(runtime)  # after `su`, nobody has set it
    try:
        return subprocess.run(  # noqa: S603 - systemd's own programs, and paths of ours
            words, capture_output=True, text=True, errors="replace", check=False, env=environ,
            stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
        )  # fmt: skip
    except FileNotFoundError:
        text = f"there is no {words[0]} on PATH"
        raise UnreachableError(text, hint="apt install systemd") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{shlex.join(words)}: {error}", hint=_hint(words)) from None


def _said(text: str) -> str:
    """What it said first; where to read on is our own hint."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("See ")), "")
