"""Starts the program many times a minute: forked from one process that has imported it already.

A start of the interpreter with all imports costs a second of processor time, a fork 2 ms; two
starts for each of hundreds of runs would be most of the time. What runs is the same: the command
line's `main` with the same arguments, from its first instruction to its last. That the program as
typed behaves alike is what `test_crash_as_typed.py` looks after.

A forked process can stop itself before that first instruction, so that strace is there from the
start. One thread only forks (the program below), since a fork of many threads is not safe.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


class Launched:
    """A process that was started. Its exit status is negative for a signal, as in subprocess."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended: Future[int] = Future()

    @property
    def over(self) -> bool:
        return self._ended.done()

    def wait(self, timeout_s: float) -> int:
        return self._ended.result(timeout_s)

    def signal(self, number: int) -> None:
        """Send a signal, unless it is over."""
        if not self.over:
            with contextlib.suppress(ProcessLookupError):  # it is, and we have not been told yet
                os.kill(self.pid, number)

    def end(self, status: int) -> None:
        self._ended.set_result(status)


class Launcher:
    """The process that forks, as a context manager; usable from any thread."""

    def __init__(self, home: Path) -> None:
        self._environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self._lock = threading.Lock()
        self._answers: queue.Queue[Launched | None] = queue.Queue()
        self._running: dict[int, Launched] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=self._environment,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # it kills what still runs, and ends
        self._reader.join(10)
        self._process.wait(10)
        self._process.stdout.close()

    def launch(self, arguments: Sequence[str], log: Path, *, stopped: bool = False) -> Launched:
        """Run `ownerreportd ARGUMENTS`, output appended to `log`; `stopped` until SIGCONT.

        It runs where the calling thread may run.
        """
        order = {"arguments": list(arguments), "log": str(log), "stopped": stopped}
        order["cpus"] = list(os.sched_getaffinity(0))
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            launched = self._answers.get(timeout=30)
        if launched is None:
            raise RuntimeError("the process that forks has ended; its stderr says why")
        return launched

    def _read(self) -> None:
        for line in self._process.stdout:
            told = json.loads(line)
            if "status" in told:
                self._running.pop(told["pid"]).end(told["status"])
            else:
                launched = self._running[told["pid"]] = Launched(told["pid"])
                self._answers.put(launched)
        self._answers.put(None)


class _Forker:
    """The other side: orders on stdin, what was begun and what has ended on stdout."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._orders = b""

    def serve(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == woken:
                        os.read(woken, 4096)
                        self._reap()
                    elif not self._take_orders():
                        return self._kill_all()

    def _take_orders(self) -> bool:
        read = os.read(0, 65_536)
        *lines, self._orders = (self._orders + read).split(b"\n")
        for line in lines:
            self._fork(json.loads(line))
        return bool(read)

    def _fork(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _become(order)
        if order["stopped"]:
            os.waitpid(pid, os.WUNTRACED)
        self._running.add(pid)
        _tell({"pid": pid})

    def _reap(self) -> None:
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._running.discard(pid)
                _tell({"pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
            _tell({"pid": pid, "status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


def _tell(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _become(order: dict[str, Any]) -> None:
    """Never returns: runs the program as if it had been started with these arguments."""
    from ownerreportd.cli.program import main

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.sched_setaffinity(0, order["cpus"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
    os.dup2(1, 2)
    os.closerange(3, 256)
    # Where Yama lets only a parent trace, this lets strace, which is none (prctl(2)).
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    if order["stopped"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    status = -1
    try:
        status = main(order["arguments"])
    except BaseException:  # noqa: BLE001 - nothing may get back into the process that forks
        traceback.print_exc()  # the tests look for it
    finally:
        # The interpreter's own end would take apart every module, for half of the time of a run.
        os._exit(status)


LATE_IMPORTS = (
    "anyio._backends._asyncio", "anyio._core._signals", "encodings.utf_8_sig", "httpcore",
    "ownerreportd.app", "ownerreportd.cli.daemon", "ownerreportd.cli.submitting", "sqlite3",
    "uvicorn.lifespan.off", "watchfiles",
)  # fmt: skip


def _warm_up() -> None:
    """Import, and compute once, whatever a start of the program imports and computes."""
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    from ownerreportd.channels.discord import DiscordChannel
    from ownerreportd.channels.http import tls_context
    from ownerreportd.core.report import Report

    tls_context()
    channel = DiscordChannel(
        name="owner", target="channel:1480577550445969541", options=DiscordChannel.Options(),
        secrets={"token": "made-up"}, language="en", timeout_s=1.0,
    )  # fmt: skip
    channel.render(Report("1", "# One\n\ntwo **three**\n"))


if __name__ == "__main__":
    _warm_up()
    gc.freeze()
    _Forker().serve()
