"""Owns the folder of the old scripts: which are there, their copies, and what takes their place.

Rules: an old script is copied before it is replaced, and replaced in one step, so that a run that
has begun goes on with the old one; a copy is never written over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from ownerreportd import fsio

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

USUAL: Final = "~/.openclaw/workspace/owner-reporting-system/scripts"
WRAPPER: Final = "run_owner_report_watchdog.sh"
_PROGRAM: Final = re.compile(rb"(?m)^PROGRAM(: list\[str\])? = (\[.*\])$")
_OURS: Final = b"ownerreportd"


def shipped() -> dict[str, bytes]:
    """The scripts that take the old ones' place, by name."""
    return {
        found.name: found.read_bytes()
        for found in files("ownerreportd").joinpath("compat_files").iterdir()
        if found.name.endswith((".py", ".sh"))
    }


@dataclass(frozen=True, slots=True)
class Scripts:
    """One folder of old scripts. `keep` takes the copies; `program` starts the new program."""

    folder: Path
    keep: Path
    program: Sequence[str]

    def old_names(self) -> list[str]:
        """The old scripts that are there, not yet replaced."""
        return sorted(n for n in shipped() if (text := self._text(n)) and _OURS not in text)

    def due(self) -> list[str]:
        """The scripts that are to be put there: missing, old, or of another version."""
        return [name for name, text in sorted(shipped().items()) if not self._is_placed(name, text)]

    def wrapper(self) -> str:
        """The old wrapper's text, from its copy where it has been replaced; else empty."""
        for path in (self.folder / WRAPPER, self.keep / WRAPPER):
            text = _read(path) or b""
            if text and _OURS not in text:
                return text.decode("utf-8", "replace")
        return ""

    def put(self, name: str) -> Path | None:
        """Put the script there; the copy of what was there before, if anything was."""
        path = self.folder / name
        kept = self._keep(path) if path.exists() else None  # a link to nothing is none
        text = _with_program(shipped()[name], self.program)
        draft = self.folder / f".{name}.ownerreportd"
        draft.write_bytes(text)
        draft.chmod(path.stat().st_mode & 0o777 if kept else 0o755)
        _put(draft, path)
        return kept

    def _text(self, name: str) -> bytes | None:
        return _read(self.folder / name)

    def _is_placed(self, name: str, text: bytes) -> bool:
        """Whether it is there, with a program that is there, however it was called then."""
        found = self._text(name)
        if found is None or _PROGRAM.sub(b"", found) != _PROGRAM.sub(b"", text):
            return False
        said = _PROGRAM.search(found)
        return said is None or os.access((json.loads(said[2]) or [""])[0], os.X_OK)

    def _keep(self, path: Path) -> Path:
        self.keep.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            kept = self.keep / (path.name if number == 1 else f"{path.name}.{number}")
            if not kept.exists():
                break
            if kept.read_bytes() == path.read_bytes():
                return kept
            number += 1
        draft = kept.with_name(f".{kept.name}")
        shutil.copy2(path, draft)
        _put(draft, kept)
        return kept


def _put(draft: Path, path: Path) -> None:
    """Give the draft its name, whole on the disk, so that no crash leaves an empty script."""
    with draft.open("rb") as file:
        fsio.fsync(file.fileno())
    draft.replace(path)
    with fsio.directory(path.parent) as folder:
        fsio.fsync(folder)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _with_program(text: bytes, program: Sequence[str]) -> bytes:
    said = json.dumps(list(program), ensure_ascii=True).encode()
    return _PROGRAM.sub(lambda m: b"PROGRAM%s = %s" % (m[1] or b"", said), text)
