"""Owns `/metrics`: what the daemon has counted, in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio.to_thread
from starlette.responses import Response

from ownerreportd.api.answers import resource
from ownerreportd.api.gate_routes import gate_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import CounterMetricFamily
    from starlette.requests import Request
    from starlette.routing import Route

    from ownerreportd.api.daemon import Json


_NAME: Final = "ownerreportd_gate"


def exposition(gate: Json) -> tuple[bytes, str]:
    """The gate's figures as text, and its content type."""
    # Its import takes longer than the daemon's own start should, and most never ask.
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Gate(gate))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Gate:
    """The figures as prometheus_client collects them."""

    def __init__(self, figures: Json) -> None:
        self.figures = figures

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Every counter, since the daemon's start."""
        from prometheus_client.core import CounterMetricFamily

        text = "Decisions of the gate since the start, by reason."
        decided = CounterMetricFamily(f"{_NAME}_decisions", text, labels=("status", "reason"))
        for each in self.figures["decided"]:
            decided.add_metric((each["status"], each["reason"]), each["count"])
        yield decided
        text = "Decisions that could not be recorded, as on a full disk."
        dropped = self.figures["dropped"]
        yield CounterMetricFamily(f"{_NAME}_decisions_dropped", text, value=dropped)
        text = "Receipts that were written since the start."
        written = self.figures["receipts_written"]
        yield CounterMetricFamily(f"{_NAME}_receipts_written", text, value=written)


async def metrics(request: Request) -> Response:
    """Everything that is counted."""
    text, kind = await anyio.to_thread.run_sync(exposition, gate_of(request).figures())
    return Response(text, media_type=kind)


def routes() -> list[Route]:
    """The one path."""
    return [resource("/metrics", GET=metrics)]
