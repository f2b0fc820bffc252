"""Owns the files that `service install` writes: their text, their mark, and whose a file is.

Rules: `deploy/systemd` is the one source; a file that is ours says so in its first line, with a
digest of the rest, so that one that somebody edited is never written over and never removed.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ownerreportd.core.errors import CreateError

if TYPE_CHECKING:
    from collections.abc import Sequence

Standing: TypeAlias = Literal["absent", "same", "ours", "edited", "foreign"]
PROGRAM: Final = "/usr/bin/ownerreportd"
CONFIG: Final = "/etc/ownerreportd/config.toml"
_COMMAND: Final = re.compile(
    rf"{re.escape(PROGRAM)}(?: --config {re.escape(CONFIG)})?(?= (?:run|reload)$)", re.MULTILINE
)
_PLACE: Final = re.compile(
    r'^ExecStart=.*?((?: --(?:config|spool) (?:"(?:\\.|[^"\\])*"|\S+))*) run$', re.MULTILINE
)
_MARK: Final = "# Written by `ownerreportd service install`; changes belong into a drop-in. sha256 "
_PLAIN: Final = re.compile(r"[\w@/.,:+=-]+")
FILE_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file that belongs at `path` with this text, the mark included.

    `is_kept` is true for what becomes its owner's: written where it is missing, else left alone.
    """

    path: Path
    text: str
    is_kept: bool = False

    def standing(self) -> Standing:
        """What lies there now.

        Raises:
            CreateError: if nobody can tell.
        """
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            return "foreign" if self.path.is_symlink() else "absent"
        except OSError as error:
            raise CreateError(
                f"cannot read {self.path}: {error.strerror}", hint=f"ls -l {self.path}"
            ) from error
        if found == self.text.encode():
            return "same"
        first, _, rest = found.partition(b"\n")
        if not first.startswith(_MARK.encode()):
            return "foreign"
        return "ours" if first == _mark(rest).encode() else "edited"

    def place_there(self) -> str:
        """The configuration and spool that the unit there starts its program for."""
        return place_in(self.path.read_text(encoding="utf-8"))

    def write(self) -> None:
        """Put it there, whole or not at all.

        Raises:
            CreateError: if it cannot be written.
        """
        temporary = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(self.text, encoding="utf-8")
            temporary.chmod(FILE_MODE)
            temporary.replace(self.path)
        except OSError as error:
            raise CreateError(
                f"cannot write {self.path}: {error.strerror}", hint=f"ls -ld {self.path.parent}"
            ) from error

    def remove(self) -> None:
        """Take it away; one that is gone already is no error.

        Raises:
            CreateError: if it cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise CreateError(
                f"cannot remove {self.path}: {error.strerror}", hint=f"ls -ld {self.path.parent}"
            ) from error


def shipped(name: str) -> str:
    """The text of a file of `deploy/systemd`, as it came with the program."""
    return files("ownerreportd").joinpath("systemd", name).read_text(encoding="utf-8")


def marked(text: str) -> str:
    """The text with the line before it that says whose it is."""
    return f"{_mark(text.encode())}\n{text}"


def with_command(text: str, command: Sequence[str]) -> str:
    """The unit with this command line instead of the program's usual one."""
    line = " ".join(_quoted(word) for word in command)
    return _COMMAND.sub(lambda _: line, text)


def place_in(text: str) -> str:
    """The unit's flags for configuration and spool, as they stand there; empty without any."""
    found = _PLACE.search(text)
    return found[1].strip() if found else ""


def _mark(rest: bytes) -> str:
    return f"{_MARK}{hashlib.sha256(rest).hexdigest()[:16]}"


def _quoted(word: str) -> str:
    """The word as systemd reads it back: systemd.service(5), COMMAND LINES."""
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Whether the path, followed to its end, lies in one of these folders."""
    return any(Path(os.path.realpath(path)).is_relative_to(folder) for folder in folders)
