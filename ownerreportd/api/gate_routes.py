"""Owns the routes of the continuity gate: decisions, its configuration, receipts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.api import inputs
from ownerreportd.api.access import caller_of
from ownerreportd.api.answers import answer, resource
from ownerreportd.api.operations import JSON, described, text, whole
from ownerreportd.core.errors import InvalidGateInputError, NotFoundError
from ownerreportd.gate import ADAPTERS, GateInputError, in_words
from ownerreportd.receipts import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ownerreportd.api.answers import Answering
    from ownerreportd.api.daemon import Gate

LIST_DEFAULT: Final = 100
LIST_MAX: Final = 1000
_NUMBER_MAX: Final = 2**62
_REQUESTS: Final[Mapping[str, str]] = {
    "generic-preflight": "GenericPreflight", "manual": "Manual",
    "force-recall": "ForceRecall",
}  # fmt: skip
_POST: Final = frozenset({"POST"})


def gate_of(request: Request) -> Gate:
    """The gate that this socket speaks for."""
    gate: Gate = request.app.state.gate
    return gate


def _check(adapter: str) -> Answering:
    needed = adapter != "manual"  # whose fields all have a default

    @described({200: "Contract"}, body=_REQUESTS[adapter], body_needed=needed)
    async def check(request: Request) -> Response:
        """May this agent end its turn, or must it dispatch the next step first."""
        body = await inputs.json_object(request)
        try:
            return answer(await gate_of(request).check(adapter, body, caller=caller_of(request)))
        except GateInputError as error:
            raise _wrong(error.errors) from error

    return check


async def no_adapter(request: Request) -> Response:
    """Say which adapters there are."""
    name = request.path_params["adapter"]
    raise NotFoundError(f"there is no adapter {name!r}", hint=f"ask one of {', '.join(ADAPTERS)}")


@described({200: "GateConfigCheck"}, body={JSON: {}})
async def check_config(request: Request) -> Response:
    """What is wrong with a configuration of the gate."""
    body = await inputs.json_value(request)
    return answer(gate_of(request).check_config(body))


@described(
    {200: "KeptReceipt", 201: "KeptReceipt"}, body="DispatchReceipt",
    body_needed=True,
)  # fmt: skip
async def post_receipt(request: Request) -> Response:
    """Keep a receipt; it is on the disk when this answers. The same one again is no second file."""
    body = await inputs.json_object(request)
    found = await gate_of(request).write_receipt(body, caller=caller_of(request))
    if found["errors"]:
        raise _wrong(found["errors"])
    return answer(found, 201 if found.pop("created") else 200)


@described(
    {200: "Receipts"},
    query={
        "planId": text(), "currentTask": text(), "dispatchRunId": text(),
        "since": text("RFC 3339, with an offset.", format="date-time"),
        "limit": whole(1, LIST_MAX, LIST_DEFAULT),
    },
)  # fmt: skip
async def list_receipts(request: Request) -> Response:
    """Stored receipts, newest first."""
    reading, query = inputs.Reading(), request.query_params
    limit = reading.whole(request, "limit", default=LIST_DEFAULT, least=1, most=LIST_MAX)
    since = reading.time("?since", query.get("since"))
    reading.finish()
    wanted = Filter(
        query.get("planId"), query.get("currentTask"), query.get("dispatchRunId"), since
    )
    return answer(await gate_of(request).receipts(wanted, limit=limit))


@described(
    {200: "Decisions"},
    query={
        "planId": text(), "limit": whole(1, LIST_MAX, LIST_DEFAULT),
        "before": whole(0, _NUMBER_MAX, 0),
    },
)  # fmt: skip
async def list_decisions(request: Request) -> Response:
    """What the gate decided, newest first; `before` continues the list."""
    reading, query = inputs.Reading(), request.query_params
    limit = reading.whole(request, "limit", default=LIST_DEFAULT, least=1, most=LIST_MAX)
    before = reading.whole(request, "before", default=0, least=0, most=_NUMBER_MAX)
    reading.finish()
    plan = query.get("planId")
    found = await gate_of(request).decisions(limit=limit, before=before or None, plan_id=plan)
    return answer(found)


@described({200: "Decision"})
async def get_decision(request: Request) -> Response:
    """One decision."""
    number: int = request.path_params["number"]
    if number > _NUMBER_MAX:
        raise NotFoundError(f"there is no decision {number}", hint="ownerreportd gate decisions")
    return answer(await gate_of(request).decision(number))


def _wrong(mistakes: Sequence[dict[str, Any]]) -> InvalidGateInputError:
    return InvalidGateInputError(
        in_words(mistakes),
        hint="correct that, and ask again; docs/gate.md has every field",
        mistakes=tuple(mistakes),
    )


def routes() -> list[Route]:
    """Every path of the gate."""
    open_to_all = partial(resource, gate=True, submitter_may=_POST)
    checks = [open_to_all(f"/v1/gate/{name}", POST=_check(name)) for name in ADAPTERS]
    return [
        *checks,
        open_to_all("/v1/gate/config", POST=check_config),
        resource("/v1/gate/decisions", GET=list_decisions),
        resource("/v1/gate/decisions/{number:int}", GET=get_decision),
        open_to_all("/v1/gate/{adapter}", POST=no_adapter),
        resource(
            "/v1/receipts", gate=True, submitter_may=_POST, POST=post_receipt, GET=list_receipts
        ),
    ]
