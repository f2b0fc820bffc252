"""Owns what channels keep over restarts: a small file for each destination that needs one.

Rules: a value is on the disk before anybody relies on it; a file that is missing or damaged is an
empty one, so nothing may be kept here that a channel could not learn again, at some cost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from ownerreportd import fsio

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "channels"
VALUES_MAX: Final = 256


class MemoryState:
    """Keeps the values as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    async def get(self, name: str) -> str:
        """What was put under the name, else nothing."""
        return self._values.get(name, "")

    async def put(self, name: str, value: str) -> None:
        """Keep the value."""
        self._values = _with(self._values, name, value)


class FileState:
    """Keeps the values in a file of the destination's own, below the spool's `state/`.

    One process writes it at a time: the one that holds the spool's lock. Nothing is made before
    there is something to keep.
    """

    def __init__(self, state_dir: Path, *names: str) -> None:
        self._folder = state_dir / FOLDER
        digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()
        self._file = f"{digest[:24]}.json"

    async def get(self, name: str) -> str:
        """What was put under the name, also by an earlier process; else nothing."""
        values = await anyio.to_thread.run_sync(self._read)
        return values.get(name, "")

    async def put(self, name: str, value: str) -> None:
        """Keep the value on the disk; an empty one forgets the name.

        Raises:
            OSError: if it cannot be kept.
        """
        await anyio.to_thread.run_sync(self._put, name, value)

    def _read(self) -> dict[str, str]:
        try:
            values = json.loads((self._folder / self._file).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(values, dict):
            return {}
        return {name: value for name, value in values.items() if isinstance(value, str)}

    def _put(self, name: str, value: str) -> None:
        data = json.dumps(_with(self._read(), name, value)).encode()
        fsio.make_directory(self._folder)
        draft = os.fsencode(f".{self._file}")
        with fsio.directory(self._folder) as fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=fd)  # a crash left it
            fsio.write_new(fd, draft, data, 0o600)
            os.replace(draft, self._file, src_dir_fd=fd, dst_dir_fd=fd)
            fsio.fsync(fd)


def _with(values: dict[str, str], name: str, value: str) -> dict[str, str]:
    """The values with this one put last, and no more than are kept."""
    others = [(n, v) for n, v in values.items() if n != name]
    return dict([*others, (name, value)][-VALUES_MAX:] if value else others)
