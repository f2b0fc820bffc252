"""Owns the look at a program's file: whether it can be run, and who could change it.

Rule: the file, and every folder on the way to it, belongs to root or to us, and others cannot
write there; what runs with our rights is nobody else's to choose.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import PurePath

from anyio import to_thread

from ownerreportd.core.channel import Problem
from ownerreportd.core.errors import ConfigError


def absolute(path: str) -> str:
    """The path of a program in its normal form, with `~` resolved.

    Raises:
        ConfigError: if it is not absolute.
    """
    found = os.path.expanduser(path)  # noqa: PTH111  pathlib raises where there is no such user
    if not found.startswith("/") or "\0" in found or found.endswith("/"):
        raise ConfigError(
            f"{path!r} is no absolute path of a program",
            hint="use the whole path, as /usr/local/bin/my-program; no shell, no search",
        )
    return os.path.normpath(found)


async def problem(program: str, prefix: str, *, key: str) -> Problem | None:
    """What is wrong with the program's file: absent, not executable, or in others' hands.

    The codes begin with `prefix` and a dot; `key` is the setting that names the program.
    """
    return await to_thread.run_sync(_problem, program, prefix, key)


def _problem(program: str, prefix: str, key: str) -> Problem | None:
    remedy = f"put the program there, or set {key} to where it is"
    try:
        real = os.path.realpath(program, strict=True)
        mode = os.stat(real).st_mode  # noqa: PTH116  like its neighbours
    except OSError as error:
        code = f"{prefix}.{errno.errorcode.get(error.errno or 0, 'OSError')}"
        if error.errno == errno.EACCES:
            remedy = f"let the daemon's user into every folder on the way: namei -l {program}"
        return Problem(code, f"{program}: {error.strerror}", remedy)
    if not stat.S_ISREG(mode):
        what = "is a folder" if stat.S_ISDIR(mode) else "is no file"
        return Problem(f"{prefix}.no_program", f"{program} {what}", remedy)
    if not os.access(real, os.X_OK):
        detail = f"{program} is not executable by this user"
        return Problem(f"{prefix}.EACCES", detail, f"chmod +x {program}")
    return _hands(program, real, prefix)


def _hands(program: str, real: str, prefix: str) -> Problem | None:
    """Whether anybody but root and us could put something else into its place."""
    for path in dict.fromkeys((real, *_folders(real), *_folders(program))):
        found = os.stat(path)  # noqa: PTH116  like its neighbours
        if found.st_uid not in {0, os.geteuid()}:
            return Problem(
                f"{prefix}.owner",
                f"{path} belongs to user {found.st_uid}, who could change what runs",
                f"chown root {path}, or give it to the daemon's user",
            )
        if _is_open(found):
            return Problem(
                f"{prefix}.writable",
                f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: others could change what runs",
                f"chmod {'go' if path == real else 'o'}-w {path}",
            )
    return None


def _is_open(found: os.stat_result) -> bool:
    if stat.S_ISDIR(found.st_mode):  # a sticky one lets nobody replace what is another's
        return bool(found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX)
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in {0, os.getegid()}
    return bool(found.st_mode & stat.S_IWOTH or by_group)


def _folders(path: str) -> list[str]:
    return [str(folder) for folder in PurePath(path).parents]
