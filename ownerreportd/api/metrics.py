"""Owns `/metrics`: what the daemon has counted, in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.responses import Response

from ownerreportd.api.answers import resource
from ownerreportd.api.gate_routes import gate_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from ownerreportd.api.daemon import Json


def exposition(gate: Json) -> tuple[bytes, str]:
    """The gate's figures as text, and its content type."""
    # Its import takes longer than the daemon's own start should, and most never ask.
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

    registry = CollectorRegistry()
    decided = Counter(
        "ownerreportd_gate_decisions", "Decisions of the gate since the start, by reason.",
        ("status", "reason"), registry=registry,
    )  # fmt: skip
    for each in gate["decided"]:
        decided.labels(each["status"], each["reason"]).inc(each["count"])
    dropped = "Decisions that could not be recorded, as on a full disk."
    Counter("ownerreportd_gate_decisions_dropped", dropped, registry=registry).inc(gate["dropped"])
    written = "Receipts that were written since the start."
    Counter("ownerreportd_gate_receipts_written", written, registry=registry).inc(
        gate["receipts_written"]
    )
    return generate_latest(registry), CONTENT_TYPE_LATEST


async def metrics(request: Request) -> Response:
    """Everything that is counted."""
    text, kind = await anyio.to_thread.run_sync(exposition, gate_of(request).figures())
    return Response(text, media_type=kind)


def routes() -> list[Route]:
    """The one path."""
    return [resource("/metrics", GET=metrics)]
