"""Owns running a program: one process, one deadline, and what is known when it has ended.

Rules: no shell, no search for a name, no environment but the one that is handed in. The process
leads a session of its own; when it is over, by itself or by us, whatever is left in its process
group is killed. `NeverRan` is claimed only where the system itself says that nothing was started.

The pipes are ours and not anyio's: a descendant that left the group can hold them open for ever,
and ours can be closed all the same.

Source: setsid(2), killpg(3), execve(2), pipe(7).
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from anyio.abc import Process

OUTPUT_BYTES_MAX: Final = 1_048_576
ERRORS_BYTES_MAX: Final = 4_096  # the last of what it says on standard error
GRACE_S: Final = 0.5  # from SIGTERM to SIGKILL; the courier waits a second for a channel to end
DRAIN_S: Final = 0.5  # for what is still in the pipes when the process is gone
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
SHOWN_MAX: Final = 200
_SECRET_MIN: Final = 8  # characters; a shorter value would blot out ordinary words
_RECV_BYTES: Final = 65_536
# What passes by itself: no room for a process, or somebody is just writing the file.
_PASSING: Final = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EINTR}
)


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended by itself. `status` is its exit status, below zero the signal that killed it.

    `output` is all of its standard output, `errors` the last 4 KiB of its standard error.
    """

    status: int
    output: bytes
    errors: bytes


@dataclass(frozen=True, slots=True)
class NeverRan:
    """The system started nothing. `code` is the error's name; `passing` ones pass by themselves."""

    code: str
    detail: str
    passing: bool


@dataclass(frozen=True, slots=True)
class CutOff:
    """It ran, and was killed: past its deadline, or for saying too much."""

    detail: str
    errors: bytes


Run: TypeAlias = Ended | NeverRan | CutOff


def environment(names: Iterable[str], *, path: str = PATH) -> dict[str, str]:
    """PATH, LANG, and what those names have in our own environment, where they are set."""
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {"PATH": path, "LANG": "C.UTF-8", **kept}


async def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    given: bytes = b"",
    timeout_s: float,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> Run:
    """Run the command to its end, `given` on its standard input.

    Never raises for what can be expected of a program. Cancellation passes through, once the
    process group has been killed.
    """
    with ExitStack() as stack:
        try:
            pipes = _Pipes(stack, output_bytes_max)
            process = await _opened(command, environ, pipes)
        except OSError as error:
            return _never_ran(error)
        except ValueError:
            return NeverRan("EINVAL", "there is a zero byte in its command line", passing=False)
        pipes.keep_ours()
        return await _followed(process, pipes, given, timeout_s)


def shown(text: str | bytes, secrets: Iterable[str] = ()) -> str:
    """The last line that says something, for people: cut short, without those secrets."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    line = next((each for each in reversed(lines) if each), "")
    for secret in secrets:
        if len(secret) >= _SECRET_MIN:
            line = line.replace(secret, "[secret]")
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + "…"


def status_text(status: int) -> str:
    """How it ended, in words."""
    if status >= 0:
        return f"it ended with status {status}"
    try:
        return f"it was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was killed by signal {-status}"


# --- one run ------------------------------------------------------------------------------------


class _Pipes:
    """Three pipes to a process; every end that is open is closed with the stack.

    `drained` is set once both outputs have ended.
    """

    def __init__(self, stack: ExitStack, output_bytes_max: int) -> None:
        self.output_bytes_max = output_bytes_max
        self.output = bytearray()
        self.errors = bytearray()
        self.drained = anyio.Event()
        self._open: set[int] = set()
        stack.callback(lambda: self._close(*self._open))
        self.child_input, self._to_it = self._pipe()
        self._from_it, self.child_output = self._pipe()
        self._errors_from_it, self.child_errors = self._pipe()
        for ours in (self._to_it, self._from_it, self._errors_from_it):
            os.set_blocking(ours, False)

    @property
    def overflow(self) -> bool:
        """Whether it wrote more than it may."""
        return len(self.output) > self.output_bytes_max

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def _close(self, *ends: int) -> None:
        for end in self._open.intersection(ends):
            self._open.discard(end)
            os.close(end)

    def keep_ours(self) -> None:
        """Close the process's own ends, so that its end is the end of the pipes."""
        self._close(self.child_input, self.child_output, self.child_errors)

    async def write(self, data: bytes) -> None:
        """All of the data, then the end; a process that reads no more is no error."""
        left = memoryview(data)
        with suppress(BrokenPipeError):
            while left:
                await anyio.wait_writable(self._to_it)
                with suppress(BlockingIOError):
                    left = left[os.write(self._to_it, left) :]
        self._close(self._to_it)

    async def read(self, scope: anyio.CancelScope) -> None:
        """Both outputs to their ends; the scope is cancelled once it is too much."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read_errors)
            while data := await _chunk(self._from_it):
                self.output += data
                if self.overflow:
                    scope.cancel()
        self.drained.set()

    async def _read_errors(self) -> None:
        while data := await _chunk(self._errors_from_it):
            self.errors += data
            del self.errors[:-ERRORS_BYTES_MAX]


async def _chunk(end: int) -> bytes:
    # Always by way of the loop: a process that never stops writing must not stop everything else.
    while True:
        await anyio.wait_readable(end)
        try:
            return os.read(end, _RECV_BYTES)
        except BlockingIOError:
            continue


async def _opened(command: Sequence[str], environ: Mapping[str, str], pipes: _Pipes) -> Process:
    # A process that nobody knows of could not be killed. (asyncio's own cancellation passes through
    # a shield; asyncio then kills the process, which has had no time to start another.)
    with anyio.CancelScope(shield=True):
        process = await anyio.open_process(
            [word.encode("utf-8", "surrogateescape") for word in command],
            stdin=pipes.child_input,
            stdout=pipes.child_output,
            stderr=pipes.child_errors,
            cwd="/",
            env=environ,
            start_new_session=True,
        )
    return process  # noqa: RET504  to mypy the scope could swallow what is raised in it


async def _followed(process: Process, pipes: _Pipes, given: bytes, timeout_s: float) -> Run:
    """The process from its start to its end, its group gone in every case."""
    is_over = False
    try:
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as group:
                group.start_soon(pipes.write, given)
                group.start_soon(pipes.read, group.cancel_scope)
                await process.wait()
                is_over = True
                _kill(process, signal.SIGKILL)
                # Its own output is in the pipe by now; who still holds it open is somebody else.
                with anyio.move_on_after(DRAIN_S):
                    await pipes.drained.wait()
                group.cancel_scope.cancel()
    finally:
        if not is_over:
            await _end(process)
    errors = bytes(pipes.errors)
    if pipes.overflow:
        return CutOff(f"it wrote more than {pipes.output_bytes_max} bytes", errors)
    if not is_over:
        return CutOff(f"it had not ended within {timeout_s:g} s", errors)
    return Ended(process.returncode or 0, bytes(pipes.output), errors)


async def _end(process: Process) -> None:
    """SIGTERM to the group, and after a grace SIGKILL; the process is waited for."""
    with anyio.CancelScope(shield=True):
        _kill(process, signal.SIGTERM)
        with anyio.move_on_after(GRACE_S):
            await process.wait()
        _kill(process, signal.SIGKILL)
        # One that hangs in the kernel (a dead network disk) outlives even that.
        with anyio.move_on_after(GRACE_S):
            await process.wait()


def _kill(process: Process, number: signal.Signals) -> None:
    """The signal to the whole group; the leader's id stays the group's while anybody is in it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _never_ran(error: OSError) -> NeverRan:
    number = error.errno or 0
    return NeverRan(
        errno.errorcode.get(number, "OSError"),
        f"it cannot be started: {error.strerror or type(error).__name__}",
        passing=number in _PASSING,
    )
