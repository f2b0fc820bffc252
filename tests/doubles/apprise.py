"""A receiver of what Apprise posts for a json:// URL, as strict as its documentation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/secret-path-of-tests"
FIELDS = {"version", "title", "message", "attachments", "type"}


class AppriseDouble:
    """The receiver. `had` has every message in the order of arrival."""

    channel = "apprise"
    exactly_once = False

    def __init__(self, *, port: int = 0) -> None:
        self.had: list[dict[str, Any]] = []
        self.fault: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.on_step: Callable[[str], None] | None = None
        self.wire = Wire(self._answer, self._fault_for, port=port)

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.wire.port}{PATH}"

    @property
    def secrets(self) -> dict[str, str]:
        return {"url": self.url}

    @property
    def destination(self) -> dict[str, Any]:
        return {"target": "", "archive_on": "accepted", "timeout_s": 3}

    @property
    def texts(self) -> list[str]:
        return [each["message"] for each in self.had]

    async def arrange(self, situation: str) -> bool:
        """Apprise tells no reason, so only what is a yes, or nobody knows, can be told apart."""
        self.fault = {
            "drops": Fault("close", accept=True),
            "silent": Fault("hang", accept=True),
        }.get(situation)
        await self.wire.accept_again()
        return situation in {"accepts", "drops", "silent"}

    def _fault_for(self, seen: Seen) -> Fault | None:
        return self.fault_if(seen) if self.fault_if is not None else self.fault

    async def _answer(self, seen: Seen) -> Reply:
        if (seen.method, seen.path.rstrip("/")) != ("POST", PATH):
            return Reply.of_json(404, {"error": "no such path"})
        if seen.headers.get("content-type") != "application/json":
            return Reply.of_json(415, {"error": "only JSON"})
        posted = json.loads(seen.body)
        if set(posted) != FIELDS or not posted["message"].strip() or posted["title"]:
            return Reply.of_json(422, {"error": f"fields: {sorted(posted)}"})
        if self.on_step is not None:
            self.on_step("arrived")
        self.had.append(posted)
        if self.on_step is not None:
            self.on_step("taken")
        return Reply.of_json(200, {})
