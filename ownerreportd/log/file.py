"""Owns the log file: one line per record, written by a thread of its own, never in anybody's way.

Rules: whoever logs never waits for the disk; a file that cannot be written is said once and tried
again with the next line; a file that was rotated away is opened anew.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINES_WAITING_MAX = 10_000
CLOSE_TIMEOUT_S = 2.0
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class LogFile(logging.Handler):
    """Appends formatted records to a file.

    `on_error` is called from the thread with the first error of an outage, and `on_loss` with the
    number of lines that were lost, when the file can be written again.
    """

    def __init__(
        self, path: str, *, on_error: Callable[[OSError], None], on_loss: Callable[[int], None]
    ) -> None:
        super().__init__()
        self.path = path
        self._on_error, self._on_loss = on_error, on_loss
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._fd, self._identity = -1, (-1, -1)
        self._torn = self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log-file", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line over; beyond 10,000 that wait, it is counted as lost."""
        if self._lines.qsize() >= LINES_WAITING_MAX:
            self._lost += 1
            return
        try:
            self._lines.put(self.format(record))
        except Exception:  # noqa: BLE001  a record that cannot be formatted must stop nothing
            self.handleError(record)

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Count the line as lost; the library's version prints the arguments, secrets and all."""
        self._lost += 1

    def close(self) -> None:
        """Write what waits, for at most two seconds, and close the file."""
        self._lines.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        super().close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._attempt(line)
        self._forget()

    def _attempt(self, line: str) -> None:
        try:
            self._write(line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            self._forget()
            self._lost += 1
            if not self._failing:
                self._failing = True
                self._on_error(error)
            return
        self._failing = False
        if self._lost:
            lost, self._lost = self._lost, 0
            self._on_loss(lost)

    def _write(self, data: bytes) -> None:
        fd = self._opened()
        if self._torn:  # a full disk took half of the line before: this one begins on its own
            data = b"\n" + data
        while data:
            written = os.write(fd, data)
            self._torn = written < len(data)
            data = data[written:]

    def _opened(self) -> int:
        try:
            now = Path(self.path).stat()
        except FileNotFoundError:
            now = None
        if self._fd < 0 or now is None or (now.st_dev, now.st_ino) != self._identity:
            self._forget()
            self._fd = os.open(self.path, _FLAGS, 0o640)
            new = os.fstat(self._fd)
            self._identity = (new.st_dev, new.st_ino)
        return self._fd

    def _forget(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
