"""Owns what the daemon says of itself: the state in one word, why, since when, and what helps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from ownerreportd import __version__
from ownerreportd.core.lane_words import Phase
from ownerreportd.ledger import views
from ownerreportd.ledger.views import rfc3339
from ownerreportd.outlets import Outlet

if TYPE_CHECKING:
    from ownerreportd.core.outcome import Proof
    from ownerreportd.courier import Courier
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.ledger.deliveries import Bound

Json: TypeAlias = dict[str, Any]
SCHEMA = "ownerreportd.status/1"
ORDER = ("blocked", "paused", "waiting", "sending", "idle")
_WORDS = {Phase.EMPTY: "idle", Phase.READY: "paused", Phase.WAITING: "waiting"}


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane in words."""

    state: str
    code: str
    reason: str
    hint: str
    since: float | None


def lane_state(courier: Courier) -> LaneState:
    """What the lane is doing, why, and what helps."""
    lane, kept, stalled = courier.lane, courier.kept, courier.attempts.stalled
    if stalled is not None:
        return LaneState("blocked", stalled.code, stalled.reason, stalled.hint, kept.since)
    if lane.block is not None:
        block = lane.block
        # What was mended elsewhere is probed again within minutes to an hour; nobody need wait.
        then = "; then: ownerreportd retry" if block.code == "config" else ""
        return LaneState("blocked", block.code, block.reason, block.hint + then, kept.since)
    if lane.paused:
        hint = "ownerreportd resume"
        return LaneState("paused", "", "paused by a person", hint, kept.paused_at)
    state = _WORDS.get(lane.phase, "sending")
    if state == "waiting":
        hint = "it is tried again by itself; ownerreportd retry tries now"
        return LaneState(state, "", lane.reason, hint, kept.since)
    since = kept.since if lane.failures else None
    return LaneState(state, "", "", "", since)


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Builds the status object. `proofs` is the best that each destination's channel can give."""

    engine: Engine
    started_at: float

    async def write(self) -> Json:
        """The object of `GET /v1/status`."""
        engine = self.engine
        courier = engine.courier
        figures, head = await engine.workers.ask(self._read)
        now = engine.clock.utc()
        age_s = None
        if figures["oldest_at"] is not None:
            age_s = round(max(0.0, now - figures["oldest_at"]), 3)
        found = lane_state(courier)
        wake_at = courier.lane.wake_at
        if head is not None and wake_at is not None:
            head["next_attempt_at"] = rfc3339(now + wake_at - engine.clock.monotonic())
        shown = {
            "state": found.state, "code": found.code, "reason": engine.redact(found.reason),
            "hint": engine.redact(found.hint), "since": rfc3339(found.since),
        }  # fmt: skip
        lane = {
            "name": courier.name, **shown, "waiting": figures["waiting"], "head": head,
            "next_attempt_at": head["next_attempt_at"] if head else None,
        }  # fmt: skip
        return {
            "schema": SCHEMA, **shown, "stale": self._stale(found, age_s),
            "waiting": figures["waiting"], "oldest_age_s": age_s, "head": head, "lanes": [lane],
            "last_delivery": figures["last_delivery"], "sent_total": figures["sent_total"],
            "rejected_total": figures["rejected_total"],
            "rejected_today": figures["rejected_today"],
            "left_alone": engine.intake.left_alone(), "destinations": self._destinations(),
            "implicit_inbox": engine.outlets.implicit_inbox,
            "spool": str(engine.custody.spool.root), "pid": os.getpid(),
            "started_at": rfc3339(self.started_at), "version": __version__,
        }  # fmt: skip

    def _read(self) -> tuple[Json, Json | None]:
        head = self.engine.courier.head
        with self.engine.asking.reading() as db:
            figures = views.figures(db)
            midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0)
            figures["rejected_today"] = views.rejected_since(db, midnight.timestamp())
            shown = None
            if head is not None:
                delivery = head.delivery.id if head.delivery else None
                shown = views.head_figures(db, head.report.rid, delivery) or None
        if shown is not None and head is not None:
            bound = head.delivery.bound if head.delivery else None
            shown["destination"] = bound.destination if bound else None
            shown["next_attempt_at"] = None
        return figures, shown

    def _stale(self, found: LaneState, age_s: float | None) -> bool:
        failing = found.state in {"blocked", "waiting"} or self.engine.courier.lane.failures > 0
        return failing and age_s is not None and age_s > self.engine.values.stale_after_s

    def _destinations(self) -> list[Json]:
        return [
            {
                "name": name, "channel": bound.channel,
                "target": self.engine.redact(bound.target), "proof": self._proof(bound),
            }
            for name, bound in self.engine.outlets.bounds.items()
        ]  # fmt: skip

    def _proof(self, bound: Bound) -> Proof | None:
        outlet = self.engine.outlets.get(bound)
        return outlet.channel.capabilities.proof if isinstance(outlet, Outlet) else None

    async def health(self) -> Json:
        """Whether somebody should look: blocked or stale is not healthy."""
        status = await self.write()
        ok = status["state"] != "blocked" and not status["stale"]
        return {"ok": ok, "state": status["state"], "code": status["code"]}
