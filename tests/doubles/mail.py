"""A strict SMTP server on loopback: aiosmtpd, with rules for the message and with faults.

Every stage of the conversation can answer something else, hang or break off. What has been taken
is in `messages`, once for each time.
"""
# ruff: noqa: N802 - aiosmtpd finds its methods by the names of the commands

from __future__ import annotations

import asyncio
import email
import email.policy
import functools
import logging
import re
import socket
import ssl
from dataclasses import dataclass
from email.errors import NonASCIILocalPartDefect
from typing import TYPE_CHECKING, Any, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from doubles.wire import RST_ON_CLOSE

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

SENDER = "reports@example.org"
OWNER = "owner@example.org"
USER = "reporter"
PASSWORD = "pässword-of-tests"
STAGES = ("connection", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot", "taken")
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted")
LINE_BYTES_MAX = 998
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells every line it reads


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. act: answer, close, reset, hang, garbage."""

    act: str
    text: str = ""


def says(text: str) -> Fault:
    """An answer instead of the server's own."""
    return Fault("answer", text)


@functools.cache
def authority() -> trustme.CA:
    """The authority of the tests; made once, since keys take a while."""
    return trustme.CA()


def server_context(*names: str) -> ssl.SSLContext:
    """A server's TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names).configure_cert(context)
    return context


def write_authority(path: Path) -> Path:
    """The authority's certificate, as SSL_CERT_FILE takes it."""
    authority().cert_pem.write_to_path(str(path))
    return path


class EmailDouble:
    """The server. `security` is what it offers: none, starttls (and wants it), or tls."""

    channel = "email"
    exactly_once = False

    def __init__(
        self,
        *,
        security: str = "none",
        names: tuple[str, ...] = ("127.0.0.1",),
        utf8: bool = True,
        size_max: int = 33_554_432,
        methods: tuple[str, ...] = ("PLAIN", "LOGIN"),
        port: int = 0,
    ) -> None:
        self.security = security
        self.utf8 = utf8
        self.size_max = size_max
        self.methods = methods
        self.password = PASSWORD
        self.senders = {SENDER}
        self.addresses = {OWNER}
        self.faults: dict[str, Fault] = {}
        self.fault_if: Callable[[str], Fault | None] | None = None
        self.on_step: Callable[[str], None] | None = None
        self.messages: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.envelopes: list[tuple[str, tuple[str, ...]]] = []
        self.commands: list[str] = []
        self.port = port
        self._context = None if security == "none" else server_context(*names)
        self._server: asyncio.Server | None = None
        self._holder: socket.socket | None = None
        self._peers: set[_Peer] = set()

    async def __aenter__(self) -> Self:
        self._holder = _bound(self.port)
        self.port = self._holder.getsockname()[1]
        await self.accept_again()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for peer in list(self._peers):
            peer.end()
        for _ in range(3):  # what closes is told in the loop's next turns
            await asyncio.sleep(0)
        if self._holder is not None:
            self._holder.close()

    @property
    def secrets(self) -> dict[str, str]:
        return {"password": PASSWORD}

    @property
    def destination(self) -> dict[str, Any]:
        return {
            "target": OWNER, "host": "127.0.0.1", "port": self.port, "security": self.security,
            "user": USER, "from": SENDER, "timeout_s": 1, "wait_s": 1, "archive_on": "accepted",
        }  # fmt: skip

    @property
    def texts(self) -> list[str]:
        """The plain text of every message, in the order of arrival."""
        return [text_of(message) for message in self.messages]

    async def accept_again(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            over_tls = self._context if self.security == "tls" else None
            self._server = await loop.create_server(
                lambda: _Peer(self, loop), sock=_bound(self.port), ssl=over_tls
            )

    def refuse(self) -> None:
        """Every new connection is refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def arrange(self, situation: str) -> bool:
        self.faults = {
            "throttles": {"RCPT": says("451 4.7.1 Greylisted, come back later")},
            "drops": {"taken": Fault("close")},
            "silent": {"taken": Fault("hang")},
            "refuses_report": {"dot": says("554 5.6.0 Message content rejected")},
            "no_permission": {"MAIL": says("553 5.7.1 Sender address is not owned by the user")},
        }.get(situation, {})
        self.password = "another" if situation in {"wrong_token", "refuses_config"} else PASSWORD
        self.addresses = set() if situation == "wrong_target" else {OWNER}
        await self.accept_again()
        if situation == "unreachable":
            self.refuse()
        return True

    def met(self, stage: str) -> Fault | None:
        self.commands.append(stage)
        return self.fault_if(stage) if self.fault_if is not None else self.faults.get(stage)

    def step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)

    def take(self, envelope: Any, message: EmailMessage) -> None:
        self.contents.append(envelope.content)
        self.messages.append(message)
        self.envelopes.append((envelope.mail_from, tuple(envelope.rcpt_tos)))


class _Rules:
    """What aiosmtpd asks about sender, addresses and message."""

    def __init__(self, double: EmailDouble) -> None:
        self._double = double

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        if address not in self._double.senders:
            return f"553 5.7.1 <{address}>: Sender address rejected"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address not in self._double.addresses:
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, _session, envelope):
        self._double.step("arrived")
        fault = self._double.met("dot")
        if fault is not None:
            return await server.misbehave(fault) or fault.text
        message = email.message_from_string(envelope.content.decode(), policy=email.policy.SMTPUTF8)
        wrong = wrong_with(envelope, message)
        if wrong is not None:
            return f"554 5.6.0 {wrong}"
        self._double.take(envelope, message)
        self._double.step("taken")
        fault = self._double.met("taken")
        if fault is not None:
            return await server.misbehave(fault) or fault.text
        return f"250 2.0.0 Ok: queued as Q{len(self._double.messages)}"


class _Peer(SMTP):
    """One connection."""

    def __init__(self, double: EmailDouble, loop: asyncio.AbstractEventLoop) -> None:
        over_starttls = double.security == "starttls"
        super().__init__(
            _Rules(double), hostname="mx.example.org", ident="ESMTP", loop=loop,
            data_size_limit=double.size_max, enable_SMTPUTF8=double.utf8,
            tls_context=double._context if over_starttls else None,
            require_starttls=over_starttls, auth_require_tls=over_starttls,
            auth_required=False, authenticator=self._knows,
            auth_exclude_mechanism={"PLAIN", "LOGIN"} - set(double.methods),
        )  # fmt: skip
        self._double = double

    def connection_made(self, transport):
        self._double._peers.add(self)
        super().connection_made(transport)

    def connection_lost(self, error):
        self._double._peers.discard(self)
        super().connection_lost(error)

    def end(self):
        # After STARTTLS aiosmtpd has two; where TLS came to nothing it forgets the first.
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()

    def _knows(self, _server, _session, _envelope, _mechanism, data):
        known = (USER.encode(), self._double.password.encode())
        fits = (data.login, data.password) == known
        return AuthResult(success=fits, handled=False)

    async def misbehave(self, fault: Fault) -> None:
        """Do what the fault says; an answer is left to the caller."""
        if fault.act in {"answer", "garbage"}:
            return
        if fault.act == "reset":
            wire = self.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        if fault.act != "hang":
            self.transport.abort()
        await asyncio.Event().wait()

    async def _meets(self, stage: str) -> bool:
        fault = self._double.met(stage)
        if fault is None:
            return False
        await self.misbehave(fault)
        await self.push("SSH-2.0-OpenSSH_9.2" if fault.act == "garbage" else fault.text)
        if fault.text.startswith("421"):
            self.transport.close()
        return True

    async def _handle_client(self):
        if not await self._meets("connection"):
            await super()._handle_client()

    async def smtp_EHLO(self, hostname):
        if not await self._meets("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg):
        if not await self._meets("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg):
        if not await self._meets("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg):
        if not self.session.authenticated:
            await self.push("530 5.7.0 Authentication required")
        elif not await self._meets("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg):
        if not await self._meets("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg):
        if await self._meets("DATA"):
            return
        fault = self._double.met("body")
        if fault is not None:
            await self.push("354 Go on")
            await self._reader.read(1)
            await self.misbehave(fault)
        await super().smtp_DATA(arg)

    async def smtp_QUIT(self, arg):
        if not await self._meets("QUIT"):
            await super().smtp_QUIT(arg)


def text_of(message: EmailMessage) -> str:
    """The text that a reader without HTML sees."""
    return message.get_body(("plain",)).get_content().replace("\r\n", "\n")


def wrong_with(envelope: Any, message: EmailMessage) -> str | None:
    """What the standards forbid in the message, None if nothing."""
    lines = envelope.content.removesuffix(b"\r\n").split(b"\r\n")
    counts = {name: len(message.get_all(name, [])) for name in ONCE}
    found = {
        "bare line ends": any(b"\r" in line or b"\n" in line for line in lines),
        "a line over 998 bytes": any(len(line) > LINE_BYTES_MAX for line in lines),
        "eight bits": not (envelope.smtp_utf8 or envelope.content.isascii()),
        f"not once each: {counts}": set(counts.values()) != {1},
        "defects": any(part.defects for part in message.walk()),
        "a header's defects": any(
            not (envelope.smtp_utf8 and isinstance(defect, NonASCIILocalPartDefect))
            for value in message.values()
            for defect in value.defects
        ),
    }
    wrong = next((what for what, is_so in found.items() if is_so), None)
    return wrong or _wrong_headers(envelope, message) or _wrong_body(message)


def _wrong_headers(envelope: Any, message: EmailMessage) -> str | None:
    if [each.addr_spec for each in message["From"].addresses] != [envelope.mail_from]:
        return "From is not the sender"
    if [each.addr_spec for each in message["To"].addresses] != envelope.rcpt_tos:
        return "To are not the addresses"
    if not re.fullmatch(r"<[^<>@\s]+@[a-z0-9.-]+>", str(message["Message-ID"]).strip()):
        return "Message-ID is none"
    return None


def _wrong_body(message: EmailMessage) -> str | None:
    kinds = [part.get_content_type() for part in message.walk()]
    if kinds != ["multipart/alternative", "text/plain", "text/html"]:
        return f"the parts are {kinds}"
    page = message.get_body(("html",)).get_content()
    if re.search(r"<(?:img|script|iframe|link|object)\b|\bsrc=|url\(", page, re.IGNORECASE):
        return "the HTML loads something"
    return None


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound
