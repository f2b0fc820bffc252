"""The programs that stand in for somebody's, and the loopback socket by which they reach a double.

A program is a script in a temporary folder, with this interpreter in its first line. It sends one
line of JSON to the double and gets one back, or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LINE_BYTES_MAX = 16_777_216


class Dropped(Exception):  # noqa: N818  it is no error of the double's
    """Raised to end a connection without an answer."""


class Silence(Exception):  # noqa: N818  likewise
    """Raised to give no answer, and to keep the connection open."""


class Desk:
    """Takes lines of JSON on loopback, and answers each by a function of the double's.

    `address` is what a program connects to; `refuse` closes it, `accept_again` opens it again.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        # Bound but never listening: it keeps the port ours while connections are refused.
        self._holder = self._bound()
        self.port = self._holder.getsockname()[1]
        await self.accept_again()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._holder.close()

    def _bound(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setblocking(False)
        bound.bind(("127.0.0.1", self.port))
        return bound

    async def accept_again(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, sock=self._bound(), limit=LINE_BYTES_MAX
            )

    def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # A program that was killed before it had said all of it has said nothing.
            line = await reader.readline()
            if line.endswith(b"\n"):
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except Silence:
            with contextlib.suppress(OSError):
                await reader.read()
        except (OSError, Dropped, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class Folder:
    """A folder that only we can write, with programs in it."""

    def __enter__(self) -> Self:
        self.path = Path(tempfile.mkdtemp(prefix="program-", dir="/tmp"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)

    def program(self, name: str, text: str, **words: object) -> Path:
        """A script; `@NAME@` in its text is replaced by that word's Python literal."""
        for word, value in words.items():
            text = text.replace(f"@{word}@", repr(value))
        path = self.path / name
        draft = path.with_suffix(".draft")
        draft.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(path)
        return path
