"""Owns the bytes that `submit` hands over: composed from fields, or a file with added metadata."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd.core.compose import compose, with_metadata
from ownerreportd.core.errors import InvalidReportError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ownerreportd.core.report import Report

_FENCE = b"---"
_BOM = b"\xef\xbb\xbf"


class Composed(NamedTuple):
    """A report's bytes; what it says is told on demand, since a file must be parsed."""

    data: bytes
    fields: Mapping[str, str] | None = None
    named: tuple[str, ...] = ()  # destinations on the command line

    def team(self) -> str:
        """The report's own team, for its file's name."""
        return self._field("team")

    def task_id(self) -> str:
        """The report's own task id, for its file's name."""
        return self._field("task_id")

    def to(self) -> tuple[str, ...]:
        """The destinations that the report names."""
        said = None if self.fields is not None else self._said()
        return self.named if said is None else said.to

    def _field(self, name: str) -> str:
        if self.fields is not None:
            return self.fields.get(name, "")
        said = self._said()
        if said is None:
            return ""
        return said.team if name == "team" else said.task_id

    def _said(self) -> Report | None:
        """What the file's front matter says, None where it has none."""
        if not self.data.removeprefix(_BOM).startswith(_FENCE):
            return None
        from ownerreportd.render.front_matter import read_report

        return read_report(self.data).report


def from_fields(fields: Mapping[str, str], *, language: str, to: Sequence[str]) -> Composed:
    """The report that the fields tell.

    Raises:
        UsageError: if every one of them is empty.
    """
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    text = compose(fields, language=language, to=to, created=created)
    if not text:
        raise UsageError("every field is empty", hint="say what is --done, or what comes --next")
    return Composed(text.encode(), fields, tuple(to))


def from_file(data: bytes, *, title: str | None, to: Sequence[str]) -> Composed:
    """The file, with title and destinations added to its front matter."""
    if title is None and not to:
        return Composed(data)
    return Composed(with_metadata(data, title=title, to=to, reads_as_mapping=_reads))


def check_readable(data: bytes, bytes_max: int) -> bytes:
    """The bytes, if they can be a report.

    Raises:
        InvalidReportError: if they are empty, too many, or no text in UTF-8.
    """
    hint = "a report is Markdown in UTF-8"
    if len(data) > bytes_max:
        raise InvalidReportError(
            f"the report is over {bytes_max:,} bytes",
            hint="send a shorter one, or raise [spool] report_bytes_max",
        )
    if b"\0" in data:
        at = data.index(b"\0")
        raise InvalidReportError(f"the report holds a NUL byte, at byte {at}", hint=hint)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidReportError(
            f"the report is not UTF-8: byte {error.start} is {data[error.start]:#04x}", hint=hint
        ) from None
    if not text.strip("\ufeff \t\r\n"):
        raise InvalidReportError("the report is empty", hint=hint)
    return data


def _reads(block: str) -> bool:
    """Whether the daemon will read this as front matter: then nothing of it is left as text."""
    from ownerreportd.render.front_matter import read_report

    return not read_report(f"---\n{block}---\n".encode()).report.body
