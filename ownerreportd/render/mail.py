"""Owns the mail that a report becomes: headers and body, but for the Message-ID.

Rules: the same report is the same bytes, on any day; every line ends with CR and LF and has at most
998 bytes; all of it is ASCII but for addresses that cannot be written so. The text is
Markdown, and HTML of the same text is beside it.

Sources: RFC 5322 (headers), RFC 2046 §5.1.4 (multipart/alternative), RFC 2047 (other scripts in
headers), RFC 3834 (Auto-Submitted), RFC 6532 (UTF-8 in headers).
"""

from __future__ import annotations

import base64
import hashlib
import quopri
import re
from email.header import Header
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd.render.html import html_of
from ownerreportd.render.mail_lines import date_of, line_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ownerreportd.core.channel import Part
    from ownerreportd.core.report import Report

NAME_MAX = 60
_LINE_END = re.compile(r"\r\n?|\n")
_WORDS = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]+")


class Writer(NamedTuple):
    """Writes mails from one sender to these recipients."""

    sender: str
    recipients: Sequence[str]

    def message(self, report: Report, part: Part, text: bytes) -> bytes:
        """The whole mail but for its Message-ID; without a Date where the report has no time."""
        name = line_of(report.worker or report.team)[:NAME_MAX] or "ownerreportd"
        headers = [
            ("From", f"{_display_name(name)} <{self.sender}>"),
            ("To", ",\r\n ".join(self.recipients)),
            ("Subject", _encoded(subject_of(report, part), "Subject")),
            ("Auto-Submitted", "auto-generated"),  # no out-of-office answers this
            ("MIME-Version", "1.0"),
        ]
        if (date := date_of(report.created) or date_of(report.written)) is not None:
            headers.append(("Date", date))
        if report_id := line_of(report.id):
            headers.append(("X-Report-Id", _encoded(report_id, "X-Report-Id")))
        return _block(headers) + _alternatives(text.decode("utf-8"))


def _block(headers: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode()


def _display_name(name: str) -> str:
    # Encoded unless it is plain: nothing in it may be read as an address.
    return f'"{name}"' if _WORDS.fullmatch(name) else _words(name, "From")


def _encoded(text: str, name: str) -> str:
    is_plain = text.isascii() and "=?" not in text  # what only looks encoded would be decoded
    return _words(text, name, "us-ascii") if is_plain else _words(text, name)


def _words(text: str, name: str, charset: str = "utf-8") -> str:
    return Header(text, charset, header_name=name, maxlinelen=76).encode(linesep="\r\n")


def _alternatives(text: str) -> bytes:
    """The end of the headers, the text, and the HTML; the better one comes last."""
    lines = _LINE_END.sub("\r\n", text)
    boundary = "=_" + hashlib.sha256(lines.encode()).hexdigest()[:32]  # in neither encoding
    kind = f'multipart/alternative; boundary="{boundary}"'
    parts = (_entity("plain", lines), _entity("html", html_of(text).replace("\n", "\r\n")))
    opening = f"--{boundary}\r\n".encode()
    return b"".join(
        [
            _block([("Content-Type", kind)]),
            b"\r\n",
            *(opening + part for part in parts),
            f"--{boundary}--\r\n".encode(),
        ]
    )


def _entity(subtype: str, text: str) -> bytes:
    """One alternative with its headers; in quoted-printable where most of it can be read so."""
    data = text.encode()
    is_readable = sum(map(str.isascii, text)) * 6 > len(data) * 5
    encoding, body = ("quoted-printable", _quoted(data)) if is_readable else ("base64", _b64(data))
    headers = [
        ("Content-Type", f"text/{subtype}; charset=utf-8"),
        ("Content-Transfer-Encoding", encoding),
    ]
    return _block(headers) + b"\r\n" + body + b"\r\n"  # the line end is the boundary's


def _quoted(data: bytes) -> bytes:
    return quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def _b64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
