"""Owns the question whether a run of the old scripts is under way, and the wait for its end.

Rule: what cannot be told apart from such a run is taken for one; our own ancestors are none.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ownerreportd.app.migration.crontab import DRAINS
from ownerreportd.core.errors import SpoolHeldError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES: Final = (*DRAINS, "owner_report_driver.py")
_RUNS_SCRIPTS: Final = re.compile(r"(ba|da|z|k)?sh|busybox|python[\d.]*|uv|env|flock|timeout|nice")
_LOOK_S: Final = 0.2
_SHOWN: Final = 120


class Run(NamedTuple):
    """A process that runs one of the old scripts."""

    pid: int
    command: str


def wait_for_end(timeout_s: float) -> None:
    """Return when no old script runs.

    Raises:
        SpoolHeldError: if one still does after that time.
    """
    end = time.monotonic() + timeout_s
    while (run := next(old_runs(), None)) is not None:
        if time.monotonic() >= end:
            raise SpoolHeldError(
                f"a run of the old scripts is under way: pid {run.pid}, {run.command[:_SHOWN]}",
                hint=f"wait for its end, or end it (kill {run.pid}); then: "
                "ownerreportd migrate --write",
            )
        time.sleep(min(_LOOK_S, max(0.0, end - time.monotonic())))


def old_runs() -> Iterator[Run]:
    """The user's own processes that run one of the old scripts."""
    ours = set(_ancestors())
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in ours:
            continue
        try:
            if folder.stat().st_uid != os.geteuid():
                continue
            words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:  # it has just ended
            continue
        if _runs_old_script(words):
            yield Run(int(folder.name), " ".join(words).strip())


def _runs_old_script(words: list[str]) -> bool:
    program = Path(words[0]).name
    if program in _NAMES:
        return True
    named = any(name in word for word in words[1:] for name in _NAMES)
    return named and _RUNS_SCRIPTS.fullmatch(program) is not None


def _ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        pid = int(stat.rpartition(")")[2].split()[1])
