"""Owns delivery into a Maildir on this machine, which any mail reader opens.

The part's payload is the whole message (RFC 5322) but for its Message-ID, which comes from the
key. The file's name comes from the key too, so a repeat finds the message that an earlier attempt
left, read or unread, and leaves it as it is. Written to `tmp/`, moved to `new/`, fsynced both.
"""

from __future__ import annotations

import base64
import errno
import os
import re
from contextlib import suppress
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from ownerreportd import fsio
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Unknown,
)
from ownerreportd.render.mail_lines import date_of, line_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult, Outcome
    from ownerreportd.core.report import Report

LINE_BYTES_MAX = 998
_FOLDERS = ("tmp", "new", "cur")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ELOOP}
)


class InboxOptions(BaseModel):
    """The inbox has no keys of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InboxChannel:
    """One Maildir. Made on the first delivery, for its owner alone."""

    Options: ClassVar[type[InboxOptions]] = InboxOptions
    capabilities: Capabilities = Capabilities(
        text_max=None, dedup_window_s=inf, read_back=True, proof="confirmed"
    )
    secret_names: ClassVar[tuple[str, ...]] = ()
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,  # noqa: ARG002  every channel is made alike
        target: str,
        options: InboxOptions,  # noqa: ARG002  likewise
        secrets: Mapping[str, str],  # noqa: ARG002  likewise
        language: str,
        timeout_s: float,  # noqa: ARG002  a disk knows no deadline
    ) -> None:
        self._folder = Path(self.check_target(target))
        self._language = language

    @staticmethod
    def check_target(target: str) -> str:
        """The Maildir's absolute path, with `~` resolved."""
        try:
            folder = Path(target).expanduser()
        except RuntimeError:
            folder = Path(target)
        if not folder.is_absolute() or "\0" in target:
            raise ConfigError(
                f"target {target!r} is no absolute path",
                hint="use the path of a folder, or leave target out for inbox/ in the spool",
            )
        return os.path.normpath(folder)

    def render(self, report: Report) -> list[Part]:
        """The report as one message, in Markdown as it was written."""
        from ownerreportd.render.dialects import MARKDOWN
        from ownerreportd.render.parts import render_parts

        parts = render_parts(
            report,
            text_max=None,
            unit="code_points",
            dialect=MARKDOWN,
            language=self._language,
        )
        return [
            replace(
                part,
                plain=_message(report, part, part.plain),
                marked=_message(report, part, part.marked),
            )
            for part in parts
        ]

    async def send(self, part: Part) -> Outcome:
        """Deliver the message, or find the one that is there."""
        return await to_thread.run_sync(self._deliver, part)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002  the key alone decides
        """Find the message by its key, read or unread."""
        return await to_thread.run_sync(self._look, part)

    async def check(self) -> list[Problem]:
        """Whether messages can be written there."""
        return await to_thread.run_sync(self._check)

    async def aclose(self) -> None:
        """Nothing stays open."""

    def _deliver(self, part: Part) -> Outcome:
        name = _file_name(part)
        try:
            for folder in _FOLDERS:
                (self._folder / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            with (
                fsio.directory(self._folder / "tmp") as tmp_fd,
                fsio.directory(self._folder / "new") as new_fd,
            ):
                if not self._is_here(name):
                    _write_anew(tmp_fd, name, _with_id(part))
                    return _moved(tmp_fd, new_fd, name, part)
                # A crash may have come between its move and the fsync of its directory.
                fsio.fsync(new_fd)
                return Confirmed(Receipt(part.key))
        except OSError as error:
            return _refused(error)

    def _look(self, part: Part) -> LookResult:
        try:
            is_here = self._is_here(_file_name(part))
        except OSError as error:
            return Unknown(f"the inbox cannot be read: {error.strerror}", transient=True)
        return Found(Receipt(part.key)) if is_here else Absent("no message with this key")

    def _is_here(self, name: bytes) -> bool:
        """Whether the message is in `new/` or `cur/`, with any flags that a reader gave it."""
        flagged = name + b":"
        for folder in ("new", "cur"):
            try:
                with os.scandir(os.fsencode(self._folder / folder)) as entries:
                    if any(e.name == name or e.name.startswith(flagged) for e in entries):
                        return True
            except FileNotFoundError:
                continue
        return False

    def _check(self) -> list[Problem]:
        nearest = self._folder
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
            return []
        what = "cannot be written by this user" if nearest.is_dir() else "is no folder"
        return [
            Problem("inbox.not_writable", f"{nearest} {what}", "change its owner, or set target")
        ]


def _file_name(part: Part) -> bytes:
    return f"{part.key}.ownerreportd".encode("ascii")


_HAS_DATE = re.compile(rb"^Date:", re.MULTILINE | re.IGNORECASE)


def _with_id(part: Part) -> bytes:
    head = f"Message-ID: <{part.key}@ownerreportd.localhost>\n"
    if not _HAS_DATE.search(part.payload.partition(b"\n\n")[0]):
        head += f"Date: {formatdate(localtime=True)}\n"  # mail readers sort by it
    return head.encode("ascii") + part.payload


def _write_anew(tmp_fd: int, name: bytes, data: bytes) -> None:
    try:
        fsio.write_new(tmp_fd, name, data, 0o600)
    except FileExistsError:
        # What an attempt left that a crash cut off; nobody but us writes under a key.
        os.unlink(name, dir_fd=tmp_fd)
        fsio.write_new(tmp_fd, name, data, 0o600)


def _moved(tmp_fd: int, new_fd: int, name: bytes, part: Part) -> Outcome:
    try:
        fsio.move(tmp_fd, name, new_fd, name)
    except OSError as error:
        if fsio.lstat(new_fd, name) is None:
            raise
        with suppress(OSError):
            os.unlink(name, dir_fd=new_fd)  # the repeat writes it anew: no fsync is asked twice
        return InDoubt(f"the message was there, but perhaps not durably: {error.strerror}")
    return Confirmed(Receipt(part.key))


def _refused(error: OSError) -> Outcome:
    """What an error says that came before the message had its name in `new/`."""
    reason = error.strerror or type(error).__name__
    if error.errno in _NO_ROOM:
        return NotSent(f"disk full: {reason}")
    if error.errno in _NOT_ALLOWED:
        code = f"inbox.{errno.errorcode[error.errno or 0]}"
        detail = f"the inbox cannot be written: {reason}"
        return Rejected(code, "config", detail, "change the folder's owner or mode, or set target")
    if error.errno == errno.EIO or isinstance(error, fsio.FsyncError):
        return InDoubt(f"the disk failed: {reason}")
    return NotSent(f"the inbox cannot be written: {reason}")


def _message(report: Report, part: Part, text: bytes) -> bytes:
    """The message but for Message-ID and Date: the same bytes for the same report, on any day."""
    message = EmailMessage()
    message["From"] = Address(
        line_of(report.worker or report.team) or "ownerreportd", "ownerreportd", "localhost"
    )
    message["To"] = Address("owner", "owner", "localhost")
    message["Subject"] = subject_of(report, part)
    if (created := date_of(report.created)) is not None:
        message["Date"] = created
    message["X-Report-Id"] = line_of(report.id)
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = "text/plain; charset=utf-8"
    fits = b"\r" not in text and all(len(line) <= LINE_BYTES_MAX for line in text.split(b"\n"))
    message["Content-Transfer-Encoding"] = "8bit" if fits else "base64"
    # Written by hand: the library would change line ends and add one at the end.
    return message.as_bytes() + (text if fits else base64.encodebytes(text))
