"""Owns how the old scripts' names reach the program that took their place.

Rules: the standard library only, so that any Python 3.8 or newer can run it; the program replaces
this process, so that its exit code is the caller's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

PROGRAM: list[str] = []
USAGE = 64
UNAVAILABLE = 69
NAME = "ownerreportd"
CHANNEL, TARGET = "OWNER_REPORT_CHANNEL", "OWNER_REPORT_TARGET"
# cron's PATH has none of them: of uv and pipx, of an administrator, of a venv in /opt
USUAL = ("~/.local/bin", "/usr/local/bin", "/opt/ownerreportd/bin")


class Flags(argparse.ArgumentParser):
    """The flags of one of the old scripts; a mistake is told as the program tells it."""

    def error(self, message: str) -> None:  # type: ignore[override] # it does not return
        """Two lines, and the exit code for usage."""
        fail(message, f"{self.prog} --help", USAGE)


def fail(message: str, hint: str, status: int) -> None:
    """End with an error and what helps."""
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    sys.exit(status)


def become(words: list[str]) -> None:
    """Go on as the program with these words; does not return."""
    sys.stdout.flush()
    command = program()
    try:
        os.execv(command[0], [*command, *words])  # noqa: S606 - no shell reads it
    except OSError as error:
        fail(f"{command[0]} cannot be run: {error.strerror}", f"ls -l {command[0]}", UNAVAILABLE)


def program() -> list[str]:
    """The program: $OWNERREPORTD, what `migrate` wrote here, PATH, the usual places."""
    named = os.environ.get("OWNERREPORTD")
    if named:
        return [named]
    if PROGRAM and os.access(PROGRAM[0], os.X_OK):
        return PROGRAM
    places = [str(Path(sys.executable).parent), *map(os.path.expanduser, USUAL)]
    found = shutil.which(NAME) or shutil.which(NAME, path=os.pathsep.join(places))
    if found is None:
        hint = f"in its folder: uv tool install .  # or set OWNERREPORTD=/path/of/{NAME}"
        fail(f"{NAME} is not in PATH, nor in {', '.join(places)}", hint, UNAVAILABLE)
    return [str(found)]


def destination(channel: str | None, target: str | None) -> list[str]:
    """The flags for another destination than the configured one: as said, else by the environment.

    A target alone is Discord's, as it was.
    """
    channel = channel or os.environ.get(CHANNEL)
    target = target or os.environ.get(TARGET)
    if target and not channel:
        channel = "discord"
    flags = [("--channel", channel), ("--target", target)]
    return [f"{flag}={value}" for flag, value in flags if value]


def drain(prog: str) -> None:
    """One pass over the queue, under an old name."""
    flags = Flags(prog=prog, description="One pass over the queue: this is `ownerreportd drain`.")
    flags.add_argument("--max-count", metavar="N", help="at most so many; 0: all")
    flags.add_argument(
        "--dry-run", action="store_true", help="show what would go where, and change nothing"
    )
    given = flags.parse_args()
    words = ["drain"]
    if given.max_count is not None:
        words.append(f"--max-count={given.max_count}")
    become([*words, "--dry-run"] if given.dry_run else words)
