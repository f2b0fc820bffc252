"""Owns what a report is once it has been read, and the names and keys that follow from it.

Rule: everything here is a function of its arguments; two machines compute the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAME_TIME = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(.+)\.md", re.DOTALL)
_NAME_TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
SLUG_BYTES_MAX = 60
NAME_BYTES_MAX = 255
REPORT_FIELDS = (
    "team", "worker", "task_id", "progress", "status", "source", "title", "created",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """One report as the owner is to read it.

    Every field is a string as it stood in the front matter, empty where it was absent. `to` are
    the destinations that the file names. `body` is Markdown with line feeds only. `notes` are
    lines that the program adds for the owner (for example about an unknown destination);
    `corrected` says that an earlier version of it was partly delivered. `written` is when the file
    was last written, in ISO 8601 and UTC; empty where it is not known.
    """

    id: str
    body: str
    team: str = ""
    worker: str = ""
    task_id: str = ""
    progress: str = ""
    status: str = ""
    source: str = ""
    title: str = ""
    created: str = ""
    to: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    corrected: bool = False
    written: str = ""

    @property
    def heading(self) -> str:
        """What to call the report in one line: title, else task id; may be empty."""
        return self.title or self.task_id

    @property
    def details(self) -> tuple[str, ...]:
        """Worker, team, progress and status, as far as they are there, in that order."""
        return tuple(v for v in (self.worker, self.team, self.progress, self.status) if v)


def is_valid_id(text: str) -> bool:
    """Whether the text may be a report's id: `[A-Za-z0-9._-]{1,64}`."""
    return ID_PATTERN.fullmatch(text) is not None


def slug(text: str) -> str:
    """Letters and digits of any script, the rest as single `-`; 1 to 60 bytes of UTF-8."""
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" else "-" for c in text)
    joined = re.sub("-+", "-", kept).strip("-")
    cut = joined.encode()[:SLUG_BYTES_MAX].decode("utf-8", "ignore").strip("-")
    return cut or "x"


def submit_name(at: datetime, team: str, task_id: str, report_id: str) -> str:
    """The file name that `submit` gives: time in UTC, slug of team and task, id."""
    stamp = at.astimezone(UTC).strftime(_NAME_TIME_FORMAT)
    return f"{stamp}-{slug(f'{team} {task_id}')}-{report_id}.md"


def time_in_name(name: str) -> datetime | None:
    """The time that a name as `submit` makes it carries, in UTC; None in any other name."""
    match = _NAME_TIME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _NAME_TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def id_in_name(name: str, team: str, task_id: str) -> str | None:
    """The id that `submit` put into the name of a report with this team and task, else None."""
    match = _NAME_TIME.fullmatch(name)
    if match is None or time_in_name(name) is None:
        return None
    prefix = slug(f"{team} {task_id}") + "-"
    rest = match[2]
    report_id = rest[len(prefix) :] if rest.startswith(prefix) else ""
    return report_id if is_valid_id(report_id) else None


def _base32(digest: bytes, length: int) -> str:
    return base64.b32encode(digest).decode("ascii").lower()[:length]


def derived_id(name: bytes, mtime_ns: int, data: bytes) -> str:
    """The id of a file that has none: 26 characters of base32 over name, mtime and bytes."""
    digest = hashlib.sha256(b"%d:%s%d:" % (len(name), name, mtime_ns) + data).digest()
    return _base32(digest, 26)


def part_key(
    report_id: str, sha256: str, channel: str, target: str, *, number: int, generation: int
) -> str:
    """The part's key towards the channel: 24 characters of `[a-z2-7]`, never used for another."""
    fields = (report_id, sha256, channel, target, str(number), str(generation))
    digest = hashlib.sha256("\0".join(fields).encode("utf-8", "surrogatepass")).digest()
    return _base32(digest, 24)


def written_at(mtime_ns: int) -> str:
    """A file's mtime as `Report.written`, to the second; empty if the calendar has no such day."""
    try:
        return datetime.fromtimestamp(mtime_ns // 10**9, UTC).isoformat()
    except (OSError, OverflowError, ValueError):
        return ""


def numbered_name(name: bytes, number: int) -> bytes:
    """The name to try when `name` is taken: `X~2.md` for `X.md`; at most 255 bytes.

    A name that would be longer is cut, and carries 8 hex digits of the whole one's sha256.
    """
    stem, dot, suffix = name.rpartition(b".")
    if not dot:
        stem, suffix = name, b""
    tail = b"~%d" % number + dot + suffix if number > 1 else dot + suffix
    return fitted_name(stem, tail)


def fitted_name(stem: bytes, tail: bytes) -> bytes:
    """`stem + tail`, the stem cut to 255 bytes in all, with a digest in the place of the rest."""
    if len(stem) + len(tail) <= NAME_BYTES_MAX:
        return stem + tail
    digest = hashlib.sha256(stem).hexdigest()[:8].encode()
    kept = stem[: NAME_BYTES_MAX - len(tail) - len(digest) - 1]
    return kept.decode("utf-8", "ignore").encode() + b"-" + digest + tail


def shown_name(name: bytes) -> str:
    """The file name for people and JSON: control characters and bytes that are no UTF-8 escaped."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
