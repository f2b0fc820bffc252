"""A receiver of Standard Webhooks, as strict as the specification lets it be.

The `standardwebhooks` package judges the signature; what comes under an id that was had before is
taken for had, whatever it says. It is a `doubles.service.Service`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from doubles.faults import NAMED
from doubles.wire import Fault, Reply, Seen, Wire
from standardwebhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "whsec_" + "bWFkZS11cC1zZWNyZXQtb2YtMjQtYnl0ZXM="
OTHER_SECRET = "whsec_" + "YW5vdGhlci1zZWNyZXQtb2YtMjQtYnl0ZXM="
BODY_BYTES_MAX = 20_000
PATH = "/hooks/reports"
SITUATION_FAULTS = {
    "throttles": Fault("answer", status=429, headers={"Retry-After": "1"}),
    "drops": NAMED["accept_then_drop"],
    "silent": NAMED["accept_then_hang"],
    "refuses_report": Fault("answer", status=422, body="no"),
    "refuses_config": Fault("answer", status=410),
    "no_permission": Fault("answer", status=403),
}


class WebhookDouble:
    """The receiver. `had` has every part once, in the order of arrival."""

    channel = "webhook"
    exactly_once = True

    def __init__(self, *, secret: str = SECRET, port: int = 0) -> None:
        self.secret = self._told_secret = secret
        self.path = PATH
        self.had: dict[str, dict[str, Any]] = {}
        self.always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.on_step: Callable[[str], None] | None = None
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
    def secrets(self) -> dict[str, str]:
        return {"secret": self._told_secret}

    @property
    def destination(self) -> dict[str, Any]:
        return {"target": self.address, "timeout_s": 1}

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.had.values()]

    @property
    def posts(self) -> list[Seen]:
        return [seen for seen in self.wire.requests if seen.method == "POST"]

    async def arrange(self, situation: str) -> bool:
        self.secret, self.path, self.always = self._told_secret, PATH, None
        await self.wire.accept_again()
        if situation in SITUATION_FAULTS:
            self.always = SITUATION_FAULTS[situation]
        elif situation == "unreachable":
            self.wire.refuse()
        elif situation == "wrong_token":
            self.secret = OTHER_SECRET
        elif situation == "wrong_target":
            self.path = "/hooks/elsewhere"
        else:
            return situation == "accepts"
        return True

    def _fault_for(self, seen: Seen) -> Fault | None:
        return self.fault_if(seen) if self.fault_if is not None else self.always

    async def _answer(self, seen: Seen) -> Reply:
        if seen.path != self.path:
            return _told(404, "no such path")
        if seen.method != "POST":
            return _told(405, "only POST")
        self._step("arrived")
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
        if key not in self.had:
            self.had[key] = content["data"]
            self._step("taken")
        return Reply.of_json(200, {"taken": True})

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)


def _told(status: int, text: str) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps({"error": text}).encode())
