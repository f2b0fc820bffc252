"""Owns the user's crontab: which lines run the old watchdog, what they say, and how they end.

Rules: a line is made a comment, never removed; what is not ours to read stays byte for byte; only
crontab(1) reads and writes the crontab.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ownerreportd.core.errors import NotAllowedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARK: Final = "# disabled by ownerreportd migrate: "
DRAINS: Final = (
    "run_owner_report_watchdog.sh", "owner_report_watchdog.py", "owner_report_consumer.py",
)  # fmt: skip
_VARIABLE: Final = re.compile(r"""\s*(["']?)([A-Za-z_]\w*)\1\s*=\s*(.*?)\s*\Z""")
_JOB: Final = re.compile(r"\s*(?:@\w+|(?:\S+\s+){4}\S+)\s+(.+)", re.DOTALL)
_SETTING: Final = re.compile(r"(OWNER_REPORT_\w+)=(.*)", re.DOTALL)
_NONE_YET: Final = ("no crontab", "no such file")  # Debian's and cronie's words, busybox's
_TO_FILE: Final = ("&>", "&>>", ">", ">>", ">|")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that runs the old watchdog, or did until it was disabled.

    `variables` are the `OWNER_REPORT_` settings that count for it, each with its place.
    """

    number: int
    text: str
    disabled: bool
    script: Path
    log: str | None
    variables: Mapping[str, tuple[str, str]]


def read() -> str | None:
    """The crontab's text, empty where there is none yet; None where cron runs nothing.

    Raises:
        NotAllowedError: if it cannot be read.
    """
    try:
        done = _crontab("-l")
    except FileNotFoundError:
        return None
    if done.returncode == 0:
        return _decoded(done.stdout)
    said = _decoded(done.stderr).strip()
    if "not allowed" in said.lower():
        return None  # for whom cron runs nothing
    if any(word in said.lower() for word in _NONE_YET):
        return ""
    raise NotAllowedError(f"crontab -l failed: {said or done.returncode}", hint="crontab -l")


def write(text: str, file: Path) -> None:
    """Make this the user's crontab, by way of `file`, which is removed.

    Raises:
        StorageError: if crontab(1) did not take it.
    """
    file.write_bytes(_encoded(text))
    try:
        done = _crontab(str(file))
    finally:
        file.unlink()
    if done.returncode or read() != text:
        said = _decoded(done.stderr).strip() or "it is not what was written"
        raise StorageError(f"crontab did not take the new crontab: {said}", hint="crontab -e")


def _crontab(word: str) -> subprocess.CompletedProcess[bytes]:
    environ = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["crontab", word], capture_output=True, check=False, env=environ)  # noqa: S603, S607 - the user's own, found as the user finds it


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def disabled(text: str, home: Path) -> str:
    """The crontab with every active old line as a comment."""
    numbers = {line.number for line in old_lines(text, home) if not line.disabled}
    lines = text.splitlines(keepends=True)
    return "".join(MARK + line if n in numbers else line for n, line in enumerate(lines, 1))


def old_lines(text: str, home: Path) -> list[Line]:
    """The lines that run the old watchdog, with those that `disabled` made comments."""
    return list(_old_lines(text, home))


def _old_lines(text: str, home: Path) -> Iterator[Line]:
    variables: dict[str, tuple[str, str]] = {}
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.removeprefix(MARK)
        if line.lstrip().startswith("#"):
            continue
        said = _VARIABLE.fullmatch(line)
        if said is not None:
            value = _unquoted(said[3])
            home = Path(value) if said[2] == "HOME" else home
            variables[said[2]] = (value, f"crontab line {number}")
            continue
        job = _JOB.fullmatch(line)
        words = _words(job[1]) if job else []
        at = next((n for n, word in enumerate(words) if Path(word).name in DRAINS), None)
        if at is not None:
            own = _settings(words, f"crontab line {number}")
            script = _script(words[:at], words[at], home)
            is_disabled = whole.startswith(MARK)
            yield Line(number, line, is_disabled, script, _log(words, home), {**variables, **own})


def _settings(words: list[str], place: str) -> dict[str, tuple[str, str]]:
    return {said[1]: (said[2], place) for said in map(_SETTING.fullmatch, words) if said}


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _words(command: str) -> list[str]:
    """The command's words as a shell splits them; those of a command within it too."""
    command = re.sub(r"(?<!\\)%.*", "", command, flags=re.DOTALL).replace("\\%", "%")
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quote without its end
        words = command.split()
    inner = [w for w in words if " " in w and any(name in w for name in DRAINS)]
    return [*words, *(each for word in inner if word != command for each in _words(word))]


def _script(before: list[str], word: str, home: Path) -> Path:
    """The script's path, from the folder that a `cd` before it went to."""
    went = [before[n + 1] for n, w in enumerate(before[:-1]) if w == "cd"]
    folder = home / _expanded(went[-1], home) if went else home
    return Path(os.path.normpath(folder / _expanded(word, home)))


def _log(words: list[str], home: Path) -> str | None:
    """The file that takes the line's output, if it is one to keep."""
    for before, word, name in zip(["", *words], words, words[1:], strict=False):
        if word in _TO_FILE and before != "2" and not name.startswith("/dev/"):
            return str(home / _expanded(name, home))
    return None


def _expanded(word: str, home: Path) -> str:
    return re.sub(r"\A~(?=/|\Z)|\$HOME\b|\$\{HOME\}", lambda _: str(home), word)
