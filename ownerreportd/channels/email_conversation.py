"""Owns one conversation with an SMTP server, and what is known where it breaks off.

Rules: one connection, one message, one attempt; nothing goes on without TLS where TLS was asked
for; a password is tried once. A server has accepted nothing before the final dot (RFC 5321
§4.1.1.4), and the dot is handed over by itself, after everything before it: so what fails until
then is `NotSent`, and what fails after it `InDoubt` (RFC 1047).

aiosmtplib speaks the protocol; its `data` and `sendmail` are not used, since a failure of theirs
does not say on which side of the dot it was.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import aiosmtplib
import anyio
import httpx

from ownerreportd.channels.email_answers import Refusal, Stage, refused, too_large
from ownerreportd.channels.shown import shown
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ownerreportd.core.outcome import Outcome

Security: TypeAlias = Literal["starttls", "tls", "none"]

CONNECT_S_MAX = 10.0
QUIT_S = 1.0
_METHODS = ("PLAIN", "LOGIN", "CRAM-MD5")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_HINT_NO_TLS = (
    'set security = "tls" and its port, or use another server; '
    'nothing is sent readable unless security = "none"'
)
_HINT_NO_AUTH = "the server knows no users on this port: leave user out, or use its other port"
_HINT_UTF8 = "the server takes no addresses in this script: use ones in ASCII"


class EndedError(Exception):
    """Raised when the conversation has ended, with the outcome that it then has."""

    def __init__(self, outcome: Outcome, *, is_certificate: bool = False) -> None:
        super().__init__()
        self.outcome = outcome
        self.is_certificate = is_certificate


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed over, and how. `wait_s` is the pause after a 4yz."""

    host: str
    port: int
    security: Security
    user: str
    password: str = field(repr=False)
    timeout_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom. `is_utf8` says that an address cannot be written in ASCII."""

    sender: str
    recipients: Sequence[str]

    @property
    def is_utf8(self) -> bool:
        """Whether an address needs SMTPUTF8."""
        return not all(map(str.isascii, (self.sender, *self.recipients)))


def tls_context() -> ssl.SSLContext:
    """The context that verifies certificates: SSL_CERT_FILE, SSL_CERT_DIR, else certifi's.

    Not the one of HTTP: that offers `http/1.1` (ALPN), which some mail servers refuse.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


class Conversation:
    """One connection to a server. Close it at the end; `is_committed` tells what a cut proves."""

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._secrets = (server.password,)
        self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=context,
            timeout=server.timeout_s,
            local_hostname="localhost",  # else it asks the name service; `_greet` says it better
        )
        self._writer: asyncio.StreamWriter | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._is_answered = False  # whether it is our turn to speak
        self.is_committed = False

    def cut_off(self) -> Outcome:
        """What is known when the deadline has passed."""
        said = f"no answer within {self._server.timeout_s:g} s"
        if self.is_committed:
            return InDoubt(f"{said} after the whole message")
        return NotSent(f"{said}, before the message was complete")

    async def open(self) -> None:
        """Connect, encrypt, and log in. Raises EndedError if any of it fails."""
        wait_s = min(self._server.timeout_s, CONNECT_S_MAX)
        await self._ask("connection", self._smtp.connect(timeout=wait_s))
        self._transport = self._smtp.transport
        await self._greet()
        if self._server.security == "starttls":
            await self._start_tls()
        if self._server.user:
            await self._log_in()

    async def _greet(self) -> None:
        """EHLO under our address, which needs no name that others can resolve (RFC 5321 §4.1.4)."""
        host = str(self._smtp.get_transport_info("sockname")[0])
        name = f"[IPv6:{host.partition('%')[0]}]" if ":" in host else f"[{host}]"
        await self._ask("EHLO", self._smtp.ehlo(hostname=name))

    async def _start_tls(self) -> None:
        if not self._smtp.supports_extension("starttls"):
            raise EndedError(
                Rejected(
                    "email.no_starttls",
                    "config",
                    f"{self._server.host} offers no STARTTLS on port {self._server.port}",
                    _HINT_NO_TLS,
                )
            )
        await self._ask("STARTTLS", self._smtp.starttls(server_hostname=self._server.host))
        self._transport = self._smtp.transport
        await self._greet()  # what was said before TLS does not count (RFC 3207 §4.2)

    async def _log_in(self) -> None:
        offered = {name.upper() for name in self._smtp.server_auth_methods}
        method = next((name for name in _METHODS if name in offered), None)
        if method is None:
            said = f"offers {', '.join(sorted(offered))}" if offered else "offers no AUTH"
            raise EndedError(
                Rejected(
                    "email.no_auth",
                    "config",
                    f"{self._server.host} {said} on port {self._server.port}",
                    _HINT_NO_AUTH,
                )
            )
        ask = {
            "PLAIN": self._smtp.auth_plain,
            "LOGIN": self._smtp.auth_login,
            "CRAM-MD5": self._smtp.auth_crammd5,
        }[method]
        await self._ask("AUTH", ask(self._server.user, self._server.password))

    async def address(self, envelope: Envelope, size: int | None = None) -> None:
        """Name the sender and every recipient. Raises EndedError unless all are taken."""
        await self._ask(
            "MAIL FROM",
            self._smtp.mail(
                envelope.sender, options=self._mail_options(envelope, size), encoding="utf-8"
            ),
            about=envelope.sender,
        )
        refusals = [
            refusal
            for recipient in envelope.recipients
            if (refusal := await self._recipient(recipient)) is not None
        ]
        if refusals:
            # A lasting refusal counts before a passing one; all of them are named.
            first = max(refusals, key=lambda refusal: refusal.code >= 500)
            more = "; ".join(str(each) for each in refusals if each is not first)
            text = f"{first.text}; {more}" if more else first.text
            raise EndedError(refused(first._replace(text=text), wait_s=self._server.wait_s))

    def _mail_options(self, envelope: Envelope, size: int | None) -> list[str]:
        options = []
        if size is not None and self._smtp.supports_extension("size"):
            size_max = self._smtp.esmtp_extensions.get("size", "").strip()
            if size_max.isdecimal() and 0 < int(size_max) < size:  # 0 says: no fixed limit
                raise EndedError(too_large(size, int(size_max)))
            options.append(f"SIZE={size}")
        if envelope.is_utf8:
            if not self._smtp.supports_extension("smtputf8"):
                said = f"{self._server.host} does not offer SMTPUTF8"
                raise EndedError(Rejected("email.no_smtputf8", "config", said, _HINT_UTF8))
            options += ["BODY=8BITMIME", "SMTPUTF8"]
        return options

    async def _recipient(self, recipient: str) -> Refusal | None:
        try:
            await self._answered(self._smtp.rcpt(recipient, encoding="utf-8"))
        except aiosmtplib.SMTPRecipientRefused as error:
            return self._refusal("RCPT TO", error, recipient)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._ended("RCPT TO", error, recipient) from error
        return None

    async def hand_over(self, message: bytes) -> str:
        """Send the message; the server's words with its 250. Raises EndedError without one."""
        answer = await self._ask("DATA", self._smtp.execute_command(b"DATA"))
        if answer.code != 354:
            raise self._ended("DATA", aiosmtplib.SMTPDataError(answer.code, answer.message))
        protocol = self._smtp.protocol
        try:
            if protocol is None or protocol.transport is None:
                raise ConnectionResetError
            self._is_answered = False
            loop = asyncio.get_running_loop()
            transport = protocol.transport
            assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
            # The writer is kept: asyncio closes the connection of one that is forgotten.
            self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
            protocol.write(_LEADING_DOT.sub(b"..", message))
            await self._writer.drain()
            if protocol._buffer:  # noqa: SLF001 - nothing else tells of an answer that came early
                raise EndedError(NotSent(f"{self._server.host} answers what it was not asked"))
            protocol.write(b".\r\n")
            self.is_committed = True
            answer = await self._answered(protocol.read_response(self._server.timeout_s))
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._ended("message", error) from error
        if answer.code != 250:
            raise self._ended("message", aiosmtplib.SMTPDataError(answer.code, answer.message))
        return shown(answer.message, self._secrets)

    async def _ask(
        self,
        stage: Stage,
        asked: Awaitable[aiosmtplib.SMTPResponse],
        about: str = "",
    ) -> aiosmtplib.SMTPResponse:
        try:
            return await self._answered(asked)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._ended(stage, error, about) from error

    async def _answered(self, asked: Awaitable[aiosmtplib.SMTPResponse]) -> aiosmtplib.SMTPResponse:
        self._is_answered = False
        try:
            answer = await asked
        except aiosmtplib.SMTPResponseException:
            self._is_answered = True
            raise
        self._is_answered = True
        return answer

    def _refusal(
        self, stage: Stage, error: aiosmtplib.SMTPResponseException, about: str = ""
    ) -> Refusal:
        return Refusal(stage, error.code, shown(error.message, self._secrets), about)

    def _ended(self, stage: Stage, error: Exception, about: str = "") -> EndedError:
        """The end that this error is."""
        if isinstance(error, aiosmtplib.SMTPResponseException):
            refusal = self._refusal(stage, error, about)
            return EndedError(refused(refusal, wait_s=self._server.wait_s))
        if self.is_committed:
            return EndedError(InDoubt(f"after the whole message {_why(error)}"))
        detail = f"{self._server.host}, at {stage}: {_why(error)}"
        return EndedError(NotSent(detail), is_certificate=_certificate_error(error) is not None)

    async def aclose(self) -> None:
        """Take leave where it is our turn, for a second at most, and let go."""
        with anyio.CancelScope(shield=True):
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                if self._smtp.is_connected and self._is_answered:
                    await self._smtp.quit(timeout=QUIT_S)
            self._smtp.close()
            if self._transport is not None:
                # What an unanswered server has not taken yet is not to follow later.
                self._transport.abort()  # type: ignore[attr-defined]  # every one of a socket has it


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    following: BaseException | None = error
    while following is not None and not isinstance(following, ssl.SSLCertVerificationError):
        following = following.__cause__ or following.__context__
    return following


def _why(error: Exception) -> str:
    """What failed, in words; never the error's own, which may hold an address or more."""
    certificate = _certificate_error(error)
    if certificate is not None:
        return f"the certificate is not valid ({certificate.verify_message})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    following: BaseException | None = error
    while following is not None:
        if isinstance(following, ssl.SSLError):
            return f"TLS failed ({following.reason})"
        if isinstance(following, OSError) and following.errno and following.strerror:
            # asyncio's own text holds the address; names that do not resolve are below zero.
            known = following.errno > 0
            return os.strerror(following.errno) if known else following.strerror
        following = following.__cause__ or following.__context__
    return "the connection ended"
