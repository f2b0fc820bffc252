"""Owns how this program is started, from anywhere: by cron, systemd, a person, another user."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ownerreportd import locate
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE = "ownerreportd.service"
SYSTEM_UNITS = Path("/etc/systemd/system")


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


def user_units(environ: Mapping[str, str]) -> Path:
    """The folder of the user's own systemd units."""
    return locate.config_homes(environ, locate.home_of(environ))[0].parent / "systemd/user"


def start_command(environ: Mapping[str, str]) -> str:
    """What starts the daemon on this machine: its unit, where `service install` wrote one."""
    start = f"start {SERVICE.removesuffix('.service')}"
    if os.path.lexists(user_units(environ) / SERVICE):
        return f"systemctl --user {start}"
    if os.path.lexists(SYSTEM_UNITS / SERVICE) and _is_served_by_the_system(environ):
        return f"systemctl {start}"
    return "ownerreportd run"


def _is_served_by_the_system(environ: Mapping[str, str]) -> bool:
    try:
        return locate.find_config(environ) == locate.ETC / locate.FILE_NAME
    except ConfigError:  # a hint must not hide what it is the hint of
        return False
