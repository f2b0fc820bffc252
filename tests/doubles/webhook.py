"""A receiver of Standard Webhooks, as strict as the specification lets it be.

The `standardwebhooks` package judges the signature; what comes under an id that was had before is
taken for had, whatever it says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from doubles.wire import Fault, Reply, Seen, Wire
from standardwebhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "whsec_" + "bWFkZS11cC1zZWNyZXQtb2YtMjQtYnl0ZXM="
BODY_BYTES_MAX = 20_000
PATH = "/hooks/reports"


class WebhookDouble:
    """The receiver. `had` has every part once, in the order of arrival."""

    def __init__(self, *, secret: str = SECRET, port: int = 0) -> None:
        self.secret = secret
        self.had: dict[str, dict[str, Any]] = {}
        self.always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.wire = Wire(self._answer, self._fault_for, port=port)

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}{PATH}"

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.had.values()]

    @property
    def posts(self) -> list[Seen]:
        return [seen for seen in self.wire.requests if seen.method == "POST"]

    def _fault_for(self, seen: Seen) -> Fault | None:
        return self.fault_if(seen) if self.fault_if is not None else self.always

    async def _answer(self, seen: Seen) -> Reply:
        if seen.path != PATH:
            return _told(404, "no such path")
        if seen.method != "POST":
            return _told(405, "only POST")
        if seen.headers.get("content-type") != "application/json":
            return _told(415, "only JSON")
        if len(seen.body) > BODY_BYTES_MAX:
            return _told(413, "over 20 kB")
        try:
            content = Webhook(self.secret).verify(seen.body, dict(seen.headers))
        except WebhookVerificationError as error:
            return _told(401, str(error))
        if content["type"] != "owner_report.part":
            return _told(422, "unknown type")
        key = seen.headers["webhook-id"]
        self.had.setdefault(key, content["data"])
        return Reply.of_json(200, {"taken": True})


def _told(status: int, text: str) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps({"error": text}).encode())
