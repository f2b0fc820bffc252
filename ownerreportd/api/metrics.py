"""Owns `/metrics`: what the daemon has counted, in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio.to_thread
from starlette.responses import Response

from ownerreportd.api.answers import daemon_of, resource
from ownerreportd.api.gate_routes import gate_of
from ownerreportd.api.operations import described, text
from ownerreportd.core.figures import BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from starlette.requests import Request
    from starlette.routing import Route

    from ownerreportd.api.daemon import Json
    from ownerreportd.core.figures import SendFigures


_GATE: Final = "ownerreportd_gate"


def exposition(queue: Json, gate: Json) -> tuple[bytes, str]:
    """The figures as text, and its content type."""
    # Its import takes longer than the daemon's own start should, and most never ask.
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Queue(queue))
    registry.register(_Gate(gate))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Queue:
    """The queue's figures as prometheus_client collects them."""

    def __init__(self, figures: Json) -> None:
        self.figures = figures
        self.sends: SendFigures = figures["sends"]

    def collect(self) -> Iterator[Metric]:
        """What waits, the state, and the attempts since the daemon's start."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self.figures
        yield GaugeMetricFamily(
            "ownerreportd_reports_waiting", "Reports that wait.", value=found["waiting"]
        )
        text = "How long the oldest waiting report has waited; 0 where none does."
        age_s = found["oldest_age_s"] or 0.0
        yield GaugeMetricFamily("ownerreportd_oldest_report_age_seconds", text, value=age_s)
        state = GaugeMetricFamily(
            "ownerreportd_queue_state", "1 for the state of the queue.", labels=("state",)
        )
        for name in found["states"]:
            state.add_metric((name,), name == found["state"])
        yield state
        for name in ("sent", "rejected"):
            text = f"Reports that ended in {name}/, since the ledger was begun."
            value = found[f"{name}_total"]
            yield CounterMetricFamily(f"ownerreportd_reports_{name}", text, value=value)
        yield from self._attempts()

    def _attempts(self) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        text = "Attempts at a part since the start, by destination and outcome."
        attempts = CounterMetricFamily(
            "ownerreportd_send_attempts", text, labels=("destination", "outcome")
        )
        for labels, count in sorted(self.sends.outcomes.items()):
            attempts.add_metric(labels, count)
        yield attempts
        took = HistogramMetricFamily(
            "ownerreportd_send_duration_seconds", "How long an attempt took.",
            labels=("destination",),
        )  # fmt: skip
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        for name, each in sorted(self.sends.durations.items()):
            buckets = list(zip(bounds, each.cumulative(), strict=True))
            took.add_metric((name,), buckets, each.total_s)
        yield took
        text = "When a part was last confirmed, in seconds since the epoch."
        last = GaugeMetricFamily(
            "ownerreportd_last_success_timestamp_seconds", text, labels=("destination",)
        )
        for name, at in sorted(self.sends.last_success.items()):
            last.add_metric((name,), at)
        yield last


class _Gate:
    """The gate's figures as prometheus_client collects them."""

    def __init__(self, figures: Json) -> None:
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        """Every counter, since the daemon's start."""
        from prometheus_client.core import CounterMetricFamily

        text = "Decisions of the gate since the start, by reason."
        decided = CounterMetricFamily(f"{_GATE}_decisions", text, labels=("status", "reason"))
        for each in self.figures["decided"]:
            decided.add_metric((each["status"], each["reason"]), each["count"])
        yield decided
        text = "Decisions that could not be recorded, as on a full disk."
        dropped = self.figures["dropped"]
        yield CounterMetricFamily(f"{_GATE}_decisions_dropped", text, value=dropped)
        text = "Receipts that were written since the start."
        written = self.figures["receipts_written"]
        yield CounterMetricFamily(f"{_GATE}_receipts_written", text, value=written)


@described({200: {"text/plain": text("The text format of Prometheus.")}})
async def metrics(request: Request) -> Response:
    """Everything that is counted."""
    queue, gate = await daemon_of(request).figures(), gate_of(request).figures()
    text, kind = await anyio.to_thread.run_sync(exposition, queue, gate)
    return Response(text, media_type=kind)


def routes() -> list[Route]:
    """The one path."""
    return [resource("/metrics", GET=metrics)]
