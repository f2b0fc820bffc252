"""Plays the shell blocks of `docs/operating.md` as they are printed, in a home of the harness.

Rule: what is typed is what is tested. Only the words of systemd and of an installer are played by
the harness itself, since neither belongs to this home.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.harness import Home

ROOT: Final = Path(__file__).parents[2]
MANUAL: Final = ROOT / "docs" / "operating.md"
_START: Final = re.compile(r"systemctl --user start .*|ownerreportd service install --user")
_STOP: Final = re.compile(r"systemctl --user stop .*")
_INSTALLER: Final = re.compile(r"pipx install .*")


def blocks(heading: str, kind: str = "sh") -> list[str]:
    """The blocks of that kind below a heading of the manual, up to the next heading."""
    found = re.split(r"(?m)^#+ (.+)\n", MANUAL.read_text(encoding="utf-8"))
    section = dict(zip(found[1::2], found[2::2], strict=True))[heading]
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```", section)


class Player:
    """Types blocks in a home, and is its systemd: one daemon, stopped and started."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.cwd = home.path
        home.spool = home.path / ".clawteam" / "owner-reports"
        self.environ = {
            **home.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{home.environ['PATH']}",
        }

    def play(self, block: str, *, stopped: Callable[[], None] = lambda: None) -> str:
        """Type the block; `stopped` is called whenever the daemon was stopped. What was printed."""
        told, typed = "", ""
        for line in [*block.splitlines(), "systemctl --user end"]:
            if not line.startswith("systemctl") and not _START.fullmatch(line):
                typed += "" if _INSTALLER.fullmatch(line) else f"{line}\n"
                continue
            told, typed = told + self.type(typed), ""
            if _STOP.fullmatch(line):
                assert self.home.daemons[-1].stop() == 0
                stopped()
            elif _START.fullmatch(line):
                self.home.daemon()
        return told

    def type(self, text: str) -> str:
        """Type lines into a shell that ends at the first failure."""
        done = subprocess.run(
            ["bash", "-euc", text], env=self.environ, cwd=self.cwd, check=False,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def age_ledger(self) -> None:
        """Make the ledger one of version 1, as the first program left it."""
        with closing(sqlite3.connect(self.home.spool / "state" / "ledger.sqlite3")) as db, db:
            db.execute("DROP INDEX events_gate")
            db.execute("ALTER TABLE throttles DROP COLUMN paced")
            db.execute("PRAGMA user_version = 1")
