"""Owns delivery to a web address of your own: one part is one POST, signed by Standard Webhooks.

The receiver's 2xx is the confirmation. The part's key is `webhook-id`, the same for every attempt,
and the specification has the receiver drop what it has had under an id: an attempt in doubt is
therefore repeated. The body has no time in it, so that a repeat has the same bytes.

Source: Standard Webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels.http import Answer, HttpClient, bounded_s
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 9_000  # bytes; a body is under 20 kB with every one of them escaped
DEDUP_WINDOW_S: Final = 86_400.0
TYPE: Final = "owner_report.part"
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = (24, 64)
_WAIT_S: Final = 60.0
_HINT_KEY: Final = (
    "put whsec_ and 24 to 64 bytes in base64 into secret_file; two of them, with a blank between, "
    "while the receiver changes from one to the other"
)
_HINT_ADDRESS: Final = "use https://HOST/PATH, without a user or a password in it"
# What is our configuration's fault; every other 4xx is said of this report.
_CONFIG_HINTS: Final = {
    401: "the receiver does not take the signature: is secret_file the one that it knows?",
    403: "the receiver does not take the signature: is secret_file the one that it knows?",
    404: "check the path in target",
    405: "check the path in target: the receiver takes no POST there",
    410: "the receiver wants no more; set target to another address, or remove the destination",
}


class WebhookOptions(BaseModel):
    """A webhook destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dedup_window_s: float = Field(
        DEDUP_WINDOW_S,
        ge=0,
        le=30 * 86_400,
        description="how long the receiver surely remembers a webhook-id; 0 if it never does",
    )
    proof: Literal["confirmed", "accepted"] = Field(
        "confirmed", description='what its 2xx means; "accepted" where it only passes it on'
    )


class WebhookChannel:
    """One web address that takes signed POSTs."""

    Options: ClassVar[type[WebhookOptions]] = WebhookOptions
    capabilities: Capabilities = Capabilities(
        text_max=TEXT_MAX, text_unit="bytes", dedup_window_s=DEDUP_WINDOW_S
    )
    secret_names: ClassVar[tuple[str, ...]] = ("secret",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: WebhookOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        self._keys = [_key(text, name) for text in secrets["secret"].split()]
        if not self._keys:
            raise ConfigError(f"the secret of destination {name!r} is empty", hint=_HINT_KEY)
        self.capabilities = replace(
            self.capabilities, dedup_window_s=options.dedup_window_s, proof=options.proof
        )
        self._address = self.check_target(target)
        self._language = language
        self._http = HttpClient(
            headers={"User-Agent": f"ownerreportd/{__version__}"},
            timeout_s=timeout_s,
            secrets=tuple(secrets["secret"].split()),
        )

    @staticmethod
    def check_target(target: str) -> str:
        """An http or https address."""
        address = target.strip()
        try:
            parts = urlsplit(address)
            fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            fits = False
        else:
            fits = fits and parts.username is None and not parts.fragment
        if not fits or not address.isascii() or not address.isprintable() or " " in address:
            raise ConfigError(f"target {target!r} is no web address", hint=_HINT_ADDRESS)
        return address

    def render(self, report: Report) -> list[Part]:
        """The report as Markdown in parts of at most 9,000 bytes."""
        from ownerreportd.render.dialects import MARKDOWN
        from ownerreportd.render.parts import render_parts

        return render_parts(
            report,
            text_max=TEXT_MAX,
            unit="bytes",
            dialect=MARKDOWN,
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """POST the part, signed for now."""
        body = _body(part)
        answer = await self._http.exchange(
            "POST", self._address, headers=self._headers(part.key, body), content=body
        )
        return self._outcome(part, answer) if isinstance(answer, Answer) else answer

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        stamp = str(int(time.time()))
        signed = f"{key}.{stamp}.".encode() + body
        return {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(f"v1,{_signature(each, signed)}" for each in self._keys),
        }

    def _outcome(self, part: Part, answer: Answer) -> Outcome:
        status = answer.status
        said = f"the receiver answered {status}"
        if 200 <= status < 300:
            note = f"{status} from {urlsplit(self._address).hostname}"
            return Confirmed(Receipt(part.key, proof=self.capabilities.proof, note=note))
        wait_s = answer.retry_after_s()
        if status == 429 or (status == 503 and wait_s is not None):
            return Throttled(bounded_s(_WAIT_S if wait_s is None else wait_s), said)
        if status < 200 or status == 408 or status >= 500:
            return InDoubt(said)
        if status < 400:
            hint = "set target to the address that it leads to; redirects are not followed"
            return Rejected(f"webhook.{status}", "config", f"{said}, a redirect", hint)
        told = self._http.shown(answer.body.decode("utf-8", "replace"))
        detail = f"{said}: {told}" if told else said
        if status in _CONFIG_HINTS:
            return Rejected(f"webhook.{status}", "config", detail, _CONFIG_HINTS[status])
        hint = "look at the receiver's log; `retry`, or `skip` it"
        return Rejected(f"webhook.{status}", "report", detail, hint)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002 - the protocol's
        """Nobody can ask a receiver what it has had."""
        return Unknown("a webhook's receiver cannot be asked what it has had")

    async def check(self) -> list[Problem]:
        """Whether anybody answers there; what the receiver takes shows only when one is sent."""
        answer = await self._http.exchange("HEAD", self._address)
        if isinstance(answer, NotSent | InDoubt):
            hint = "check the network, the proxy and target; it is tried again by itself"
            return [Problem("unreachable", answer.detail, hint)]
        if answer.status == 410:
            return [Problem("webhook.410", "the receiver answered 410", _CONFIG_HINTS[410])]
        return []

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _body(part: Part) -> bytes:
    """The JSON of a part; the same for every attempt in the same form."""
    data = {
        "key": part.key, "part": part.number, "parts": part.count,
        "may_be_duplicate": part.form == "marked", "text": part.payload.decode("utf-8"),
    }  # fmt: skip
    return json.dumps({"type": TYPE, "data": data}, ensure_ascii=False).encode("utf-8")


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: str, name: str) -> bytes:
    """The bytes of a `whsec_` secret.

    Raises:
        ConfigError: if it is none; the secret is not shown.
    """
    least, most = _SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not least <= len(key) <= most:
        raise ConfigError(f"the secret of destination {name!r} is none", hint=_HINT_KEY)
    return key
