"""Owns the socket's file: its mode from the first instant, and whose it is.

Rule: a socket that answers is never taken over, and only our own file is ever removed.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ownerreportd.core.errors import ConfigError, SpoolHeldError

PATH_BYTES_MAX = 107  # sockaddr_un holds 108 with the closing NUL
BACKLOG = 256

Place: TypeAlias = Literal["ours", "removed", "taken_over"]


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A listening Unix socket and the file that leads to it.

    `device` and `inode` tell our file from another one of the same name. `owned` is False for a
    descriptor that systemd passed: its file is systemd's to remove.
    """

    sock: socket.socket
    path: Path
    device: int
    inode: int
    owned: bool = True

    def place(self) -> Place:
        """Whether the path still leads to this socket. Reads the disk."""
        try:
            now = os.lstat(self.path)
        except FileNotFoundError:
            return "removed"
        return "ours" if (now.st_dev, now.st_ino) == (self.device, self.inode) else "taken_over"

    def remove(self) -> None:
        """Close the socket and remove its file, if that is still ours. Twice is no error."""
        self.sock.close()
        if self.owned and self.place() == "ours":
            with suppress(FileNotFoundError):
                self.path.unlink()


def bind_socket(path: Path, *, group: str | None = None) -> BoundSocket:
    """Listen at `path`: 0600, or 0660 with `group`, before anybody can connect.

    The caller holds the spool's lock. A socket that refuses connections is stale, and replaced.

    Raises:
        ConfigError: if the path is over 107 bytes, or the group is unknown or cannot be given.
        SpoolHeldError: if a living process answers there, or the file cannot be created.
    """
    _check_length(path)
    gid = None if group is None else group_id(group)
    try:
        _make_parent(path.parent, gid)
        _clear_stale(path)
        return _bind(path, gid)
    except OSError as error:
        raise SpoolHeldError(
            f"cannot bind the socket {path}: {error.strerror or error}",
            hint="name a place that the daemon may write to as [socket] path",
        ) from error


def adopt_socket(sock: socket.socket) -> BoundSocket:
    """The listening socket that systemd passed, as it is; its mode is the socket unit's matter.

    Raises:
        ConfigError: if it is no Unix stream socket with a path.
    """
    name = sock.getsockname() if sock.family == socket.AF_UNIX else None
    if sock.type != socket.SOCK_STREAM or not isinstance(name, str) or not name.startswith("/"):
        raise ConfigError(
            "the passed descriptor is no Unix stream socket with a path",
            hint="use ListenStream=/run/ownerreportd/api.sock in the socket unit",
        )
    file = os.lstat(name)
    return BoundSocket(sock, Path(name), file.st_dev, file.st_ino, owned=False)


def group_id(group: str) -> int:
    """The group's number.

    Raises:
        ConfigError: if there is no such group.
    """
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f"there is no group {group!r}, named by [socket] submit_group",
            hint=f"groupadd {group}, or name another one",
        ) from None


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > PATH_BYTES_MAX:
        raise ConfigError(
            f"the socket's path has {length} bytes, at most {PATH_BYTES_MAX} are possible: {path}",
            hint="name a shorter one as [socket] path",
        )


def _make_parent(parent: Path, gid: int | None) -> None:
    try:
        parent.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return  # somebody else's choice of mode stands
    if gid is not None:
        _give(parent, gid)
        parent.chmod(0o710)


def _give(path: Path, gid: int) -> None:
    try:
        os.chown(path, -1, gid)
    except PermissionError as error:
        raise ConfigError(
            f"cannot give {path} to the group {gid}: {error.strerror}",
            hint="the daemon's user must be a member of [socket] submit_group",
        ) from error


def _clear_stale(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SpoolHeldError(
            f"{path} is there and is no socket",
            hint="move it away, or name another place as [socket] path",
        )
    if _answers(path):
        raise SpoolHeldError(
            f"another process answers at {path}",
            hint="stop the other daemon, or name another place as [socket] path",
        )
    with suppress(FileNotFoundError):
        path.unlink()


def _answers(path: Path) -> bool:
    """Whether somebody listens; whatever is not a plain refusal counts as a yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full backlog answers EAGAIN at once: alive, but busy
        return probe.connect_ex(os.fspath(path)) not in (errno.ECONNREFUSED, errno.ENOENT)


def _bind(path: Path, gid: int | None) -> BoundSocket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the descriptor's own mode at bind(): no instant with a wider one,
        # and no umask, which belongs to every thread. Nobody can connect before listen().
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(os.fspath(path))
        if gid is not None:
            _give(path, gid)
        path.chmod(0o600 if gid is None else 0o660)
        sock.listen(BACKLOG)
        sock.settimeout(0)
        file = os.lstat(path)
    except (OSError, ConfigError):
        sock.close()
        raise
    return BoundSocket(sock, path, file.st_dev, file.st_ino)
