"""What is injected where, and strace as the one that injects it.

How strace counts: `when=K` counts for every thread by itself (strace keeps the counters in its
record of a thread). An error at "the k-th call" is therefore injected into the k-th call of every
thread of the process: over k = 1, 2, 3, ... every call of every thread meets the error.

Death would not get that far: the first thread that comes to its k-th call would take the others
with it, and the first calls of a busy process's other threads would never be hit. So for SIGKILL
strace holds every such call for some milliseconds on entry (`delay_enter`) and writes down that
it has been entered; we count these lines over all threads, and kill the process while its k-th
call is held. The kernel then never carries it out (seen in the trace as `= ?`). If the machine was
so busy that the call was carried out in the meantime, the run says so (`late`) and is repeated
with a longer delay.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KILL = "SIGKILL"
ERRORS = ("EIO", "ENOSPC", "EMFILE")
# The program calls some by their newer names, with a directory's descriptor.
NAMES = {"link": ("link", "linkat"), "unlink": ("unlink", "unlinkat")}
DELAY_MS = 4
ATTACH_S = 10.0


class CannotTraceError(Exception):
    """Raised when strace does not trace here."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault at the k-th call.

    `where`: "start" counts from the process's start; "spool" likewise, but only calls on the
    spool's paths; "ready" counts from when the daemon said that it is ready. With
    `without_renameat2` the file system seems to lack it, so that reports move by link and unlink.
    """

    call: str
    fault: str
    k: int
    where: str = "start"
    without_renameat2: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES.get(self.call, (self.call,))

    @property
    def kills(self) -> bool:
        return self.fault == KILL

    def __str__(self) -> str:
        lacking = " without renameat2" if self.without_renameat2 else ""
        return f"{self.fault} at {self.call} {self.k} ({self.where}{lacking})"

    def options(self, paths: Sequence[str], delay_ms: float) -> list[str]:
        """What strace is told."""
        calls = ",".join(self.names)
        act = f"delay_enter={int(delay_ms * 1000)}" if self.kills else f"error={self.fault}"
        when = "" if self.kills else f":when={self.k}"
        options = ["-e", f"inject={calls}:{act}{when}"]
        traced = calls
        if self.without_renameat2:
            traced += ",renameat2"
            options += ["-e", "inject=renameat2:error=ENOSYS"]
        if self.where == "spool":
            options += [word for path in paths for word in ("-P", path)]
        return ["-e", f"trace={traced}", "-e", "signal=none", "-s", "0", *options]


class Trace:
    """strace attached to a process, until that has gone; `injected` tells of the k-th call."""

    def __init__(
        self, pid: int, injection: Injection, paths: Sequence[str], *, delay_ms: float = DELAY_MS
    ) -> None:
        self.text = b""
        self.injected = False
        self._pid = pid
        self._injection = injection
        names = "|".join(injection.names).encode()
        self._entry = re.compile(rb"^(\d+) +(?:" + names + rb")\(", re.MULTILINE)
        self._error = re.compile(
            rb"^\d+ +(?:<\.\.\. )?(?:" + names + rb")\b.*\(INJECTED\)$", re.MULTILINE
        )
        self._entries: list[re.Match[bytes]] = []
        read, write = os.pipe()
        options = injection.options(paths, delay_ms)
        command = ["strace", "-f", "-qq", "-p", str(pid), *options, "-o", f"/dev/fd/{write}"]
        self._strace = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.PIPE)
        os.close(write)
        self._reader = threading.Thread(target=self._follow, args=(read,))
        self._reader.start()
        self._await_attached()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await_attached(self) -> None:
        def attached() -> bool:
            with open(f"/proc/{self._pid}/status", encoding="utf-8") as lines:
                return "TracerPid:\t0\n" not in lines.read()

        gone = lambda: self._strace.poll() is not None  # noqa: E731
        if not until(lambda: attached() or gone(), ATTACH_S, every_s=0.001):
            self._strace.kill()
        if self._strace.poll() is not None:
            said = self.close()
            raise CannotTraceError(f"strace cannot trace here: {said or 'it did not attach'}")

    def _follow(self, fd: int) -> None:
        """Read what strace writes, at once; count and kill."""
        position = 0
        while chunk := os.read(fd, 65_536):
            self.text += chunk
            for found in self._entry.finditer(self.text, position):
                self._entries.append(found)
                position = found.end()
                if self._injection.kills and len(self._entries) == self._injection.k:
                    os.kill(self._pid, signal.SIGKILL)
                    self.injected = True
            if b"(INJECTED)" in chunk and self._error.search(self.text):
                self.injected = True
        os.close(fd)

    @property
    def late(self) -> bool:
        """Whether the k-th call was carried out before the kill came. Ask when all is over."""
        if not self._injection.kills or not self.injected:
            return False
        whole = self._whole(self._entries[self._injection.k - 1])
        return re.search(rb"\) += (?!\?)", whole) is not None

    @property
    def lost_wake_up(self) -> bool:
        """Whether the event loop was refused the byte with which a thread or a signal wakes it.

        It goes through the process's own pair of sockets, where no kernel has these errors; the
        loop may then sleep for ever.
        """
        if self._injection.call not in {"sendto", "write"} or not self.injected:
            return False
        wholes = [self._whole(entered) for entered in list(self._entries)]
        return any(b'""..., 1' in whole and b"(INJECTED)" in whole for whole in wholes)

    def _whole(self, entered: re.Match[bytes]) -> bytes:
        """A call's line; put together again where other threads' calls came in between."""
        line = self.text[entered.start() :].partition(b"\n")[0]
        if b"<unfinished" not in line:
            return line
        resumed = re.compile(rb"^" + entered[1] + rb" +<\.\.\. \w+ resumed>(.*)", re.MULTILINE)
        found = resumed.search(self.text, entered.end())
        return line + found[1] if found else line

    @property
    def calls(self) -> int:
        """How many calls were seen."""
        return len(self._entries)

    def close(self) -> str:
        """Wait for strace, which ends with the process; what it said besides the trace."""
        try:
            said = self._strace.communicate(timeout=10)[1]
        except subprocess.TimeoutExpired:
            self._strace.kill()
            said = self._strace.communicate()[1]
        self._reader.join(10)
        return said.decode(errors="replace").strip()


def until(reached: Callable[[], bool], timeout_s: float, *, every_s: float = 0.008) -> bool:
    """Ask again and again, until it is so or the time is up; whether it is so."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def check_strace(folder: Path) -> None:
    """Whether strace is there and may trace.

    Raises:
        CannotTraceError: if not.
    """
    command = ["strace", "-qq", "-e", "trace=none", "-o", str(folder / "strace"), "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise CannotTraceError("strace is not installed: apt-get install strace") from None
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise CannotTraceError(
            f"strace cannot trace here: {said}; it is installed by `apt-get install strace`, and "
            "in a container ptrace must be allowed (--cap-add=SYS_PTRACE)"
        )
