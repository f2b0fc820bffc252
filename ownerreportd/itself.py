"""Owns how this program is started again, from anywhere: by cron, systemd, another user."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def own_command() -> list[str]:
    """The console script by which we were called, else the one of this Python, else its module."""
    called, beside = Path(sys.argv[0]), Path(sys.executable).with_name("ownerreportd")
    for path in (called, beside):
        if path.name == "ownerreportd" and os.access(path, os.X_OK) and not path.is_dir():
            return [os.path.abspath(path)]  # noqa: PTH100 - links stay: they outlive an upgrade
    return [sys.executable, "-m", "ownerreportd"]


def same_as(user: str) -> str:
    """The command line that was typed, for this user (`#NUMBER` where there is no name)."""
    return shlex.join(["sudo", "-u", user, *own_command(), *sys.argv[1:]])
