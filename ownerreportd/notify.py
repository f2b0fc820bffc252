"""Owns the talk with the service manager: sd_notify(3) out, sd_listen_fds(3) in.

Rule: nothing here raises or waits; without a service manager every call does nothing.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTEN_FDS_START = 3  # SD_LISTEN_FDS_START
LISTEN_FDS_MAX = 64
LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def is_listening(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a service manager wants to hear anything."""
    environ = os.environ if environ is None else environ
    return environ.get("NOTIFY_SOCKET", "")[:1] in {"/", "@"}


def ready(environ: Mapping[str, str] | None = None) -> bool:
    """Say that start-up or a reload is complete. As all of these: whether it was handed over."""
    return _notify("READY=1", environ)


def status(text: str, environ: Mapping[str, str] | None = None) -> bool:
    """Give `systemctl status` its one line; line breaks become spaces."""
    return _notify("STATUS=" + " ".join(text.split()), environ)


def stopping(environ: Mapping[str, str] | None = None) -> bool:
    """Say that the daemon has begun to stop."""
    return _notify("STOPPING=1", environ)


def reloading(environ: Mapping[str, str] | None = None) -> bool:
    """Say that a reload has begun; `ready` ends it."""
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    return _notify(f"RELOADING=1\nMONOTONIC_USEC={now_us}", environ)


def watchdog(environ: Mapping[str, str] | None = None) -> bool:
    """Say that the daemon is alive."""
    return _notify("WATCHDOG=1", environ)


def extend_timeout_usec(usec: int, environ: Mapping[str, str] | None = None) -> bool:
    """Ask for that many more microseconds, from now, to start, run or stop."""
    return _notify(f"EXTEND_TIMEOUT_USEC={usec}", environ)


def watchdog_interval_s(environ: Mapping[str, str] | None = None) -> float | None:
    """How often to call `watchdog`: half of what is allowed; None where nobody watches."""
    environ = os.environ if environ is None else environ
    usec = _number(environ.get("WATCHDOG_USEC", ""))
    if not usec or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return usec / 2 / 1_000_000


def listen_fds(environ: Mapping[str, str], *, first: int = LISTEN_FDS_START) -> list[int]:
    """The descriptors that the service manager handed to this process, as far as they are sockets.

    They are made close-on-exec. The variables stay: unsetting them is the caller's choice.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = min(_number(environ.get("LISTEN_FDS", "")), LISTEN_FDS_MAX)
    found = [fd for fd in range(first, first + count) if _is_socket(fd)]
    for fd in found:
        os.set_inheritable(fd, False)  # noqa: FBT003  the standard library's own signature
    return found


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _notify(message: str, environ: Mapping[str, str] | None) -> bool:
    environ = os.environ if environ is None else environ
    if not is_listening(environ):
        return False
    name = environ["NOTIFY_SOCKET"]
    address = os.fsencode(name)
    if name.startswith("@"):  # abstract: the kernel wants a NUL where the variable has the sign
        address = b"\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # noqa: FBT003  the standard library's own signature
            sock.sendto(message.encode("utf-8", "replace"), address)
    except (OSError, ValueError):
        return False
    return True
