"""Owns delivery by mail: a report is one message, handed to one SMTP server for every address.

A 250 says no more than "accepted by this server" (RFC 5321 §6.1), and that is what the receipt
says. All addresses or none: where one is refused, nothing is sent. Every attempt has the same
Message-ID, made of the part's key, and the same bytes; a receiver may know a repeat by it, but
nobody surely does. The Date is the report's own `created`, else the time at which its file was
written: a Date of the attempt would change with it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, ClassVar

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ownerreportd.channels.email_addresses import address_of, addresses_of, domain_of
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, Outcome, Receipt, Rejected, Throttled, Unknown

# For the options' types, which pydantic looks up when the class is made.
from ownerreportd.channels.email_conversation import (  # isort: skip
    Conversation, EndedError, Envelope, Security, Server, tls_context,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
WAIT_S = 300.0  # what greylisting asks for, as a rule
_HINT_TARGET = 'use "a@example.org, b@example.org" or mailto:a@example.org'
_HINT_LOGIN = (
    "put it into email.password beside the configuration (mode 600), or set password_file; "
    "leave user out where the server wants none"
)
_HINT_UNREACHABLE = "check host, port and the network; it is tried again by itself"
_HINT_CERTIFICATE = (
    "host must be the name in the certificate, and its authority known: SSL_CERT_FILE names others"
)


class EmailOptions(BaseModel):
    """A mail destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "localhost", min_length=1, description="the server, by the name in its certificate"
    )
    port: int = Field(0, ge=0, le=65_535, description="0 is what security has: 587, 465 or 25")
    allow_plaintext: bool = Field(
        default=False, description='let security be "none" also towards other machines'
    )
    security: Security = Field("starttls", description="how the connection is encrypted")
    user: str = Field("", description="who logs in; empty for nobody")
    from_: str = Field(
        "", alias="from", validate_default=True, description="the sender; else user, if an address"
    )
    check_recipients: bool = Field(
        default=True, description="ask for every address in a check, without sending"
    )
    wait_s: float = Field(
        WAIT_S, ge=1, le=86_400, description="the pause after the server said: later"
    )

    @field_validator("security")
    @classmethod
    def _is_encrypted(cls, value: Security, info: ValidationInfo) -> Security:
        if value == "none" and not info.data.get("allow_plaintext"):
            host = info.data.get("host", "")
            if not _is_here(host):
                raise ValueError(
                    f'all is readable on the way to {host}; use "starttls" or "tls", '
                    "or set allow_plaintext = true"
                )
        return value

    @field_validator("from_")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        user = str(info.data.get("user", ""))
        if not value and "@" not in user:
            raise ValueError('name the sender: from = "reports@example.org"')
        return address_of(value or user)


class EmailChannel:
    """One list of addresses behind one SMTP server."""

    Options: ClassVar[type[EmailOptions]] = EmailOptions
    capabilities: Capabilities = Capabilities(text_max=None, proof="accepted")
    secret_names: ClassVar[tuple[str, ...]] = ()
    optional_secret_names: ClassVar[tuple[str, ...]] = ("password",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: EmailOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        password = secrets.get("password", "") if options.user else ""
        if options.user and not password:
            raise ConfigError(f"destination {name!r} has no password", hint=_HINT_LOGIN)
        self._envelope = Envelope(options.from_, addresses_of(self.check_target(target)))
        self._checks_recipients = options.check_recipients
        self._language = language
        self._timeout_s = timeout_s
        self._server = Server(
            host=options.host,
            port=options.port or PORTS[options.security],
            security=options.security,
            user=options.user,
            password=password,
            timeout_s=timeout_s,
            wait_s=options.wait_s,
        )
        self._context = tls_context()

    @staticmethod
    def check_target(target: str) -> str:
        """The addresses, each once, with a comma and a blank between."""
        try:
            return ", ".join(addresses_of(target))
        except ValueError as error:
            raise ConfigError(f"target {target!r}: {error}", hint=_HINT_TARGET) from error

    def render(self, report: Report) -> list[Part]:
        """The report as one message, whole but for its Message-ID."""
        from ownerreportd.render.dialects import FOR_HTML
        from ownerreportd.render.mail import Writer
        from ownerreportd.render.parts import render_parts

        parts = render_parts(
            report,
            text_max=None,
            unit="code_points",
            dialect=FOR_HTML,
            language=self._language,
        )
        writer = Writer(self._envelope.sender, self._envelope.recipients)
        return [
            replace(
                part,
                plain=writer.message(report, part, part.plain),
                marked=writer.message(report, part, part.marked),
            )
            for part in parts
        ]

    async def send(self, part: Part) -> Outcome:
        """Hand the message to the server, once."""
        conversation = Conversation(self._server, self._context)
        try:
            with anyio.move_on_after(self._timeout_s):
                return await self._sent(conversation, part)
        except EndedError as ended:
            return ended.outcome
        finally:
            await conversation.aclose()
        return conversation.cut_off()

    async def _sent(self, conversation: Conversation, part: Part) -> Confirmed:
        message_id = f"<{part.key}@{domain_of(self._envelope.sender)}>"
        message = _with_id(part.payload, message_id)
        await conversation.open()
        await conversation.address(self._envelope, len(message))
        said = await conversation.hand_over(message)
        note = f"accepted by {self._server.host}: {said}"
        return Confirmed(Receipt(message_id, proof="accepted", note=note))

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002 - the protocol's
        """A server that takes mail cannot be asked what it took."""
        return Unknown("a mail server cannot be asked what it has accepted")

    async def check(self) -> list[Problem]:
        """Whether the server lets us in, and takes sender and addresses; nothing is sent."""
        conversation = Conversation(self._server, self._context)
        try:
            with anyio.move_on_after(self._timeout_s):
                await conversation.open()
                return await self._recipients_problem(conversation)
        except EndedError as ended:
            return [_problem(ended)]
        finally:
            await conversation.aclose()
        return [Problem("unreachable", _detail(conversation.cut_off()), _HINT_UNREACHABLE)]

    async def _recipients_problem(self, conversation: Conversation) -> list[Problem]:
        if not self._checks_recipients:
            return []
        try:
            await conversation.address(self._envelope)
        except EndedError as ended:
            # Whoever greylists says "later" here to everybody: that is nothing to mend.
            return [] if isinstance(ended.outcome, Throttled) else [_problem(ended)]
        return []

    async def aclose(self) -> None:
        """Nothing stays open between two messages."""


def _with_id(payload: bytes, message_id: str) -> bytes:
    """The whole message; with a Date of now where nobody knew when the report was written."""
    head = f"Message-ID: {message_id}\r\n"
    if b"\r\nDate: " not in payload.partition(b"\r\n\r\n")[0]:
        head += f"Date: {formatdate(localtime=True)}\r\n"
    return head.encode() + payload


def _problem(ended: EndedError) -> Problem:
    outcome = ended.outcome
    if isinstance(outcome, Rejected):
        return Problem(outcome.code, outcome.detail, outcome.hint)
    if ended.is_certificate:
        return Problem("email.certificate", _detail(outcome), _HINT_CERTIFICATE)
    return Problem("unreachable", _detail(outcome), _HINT_UNREACHABLE)


def _detail(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Confirmed) else outcome.detail


def _is_here(host: str) -> bool:
    """Whether the host is surely this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
