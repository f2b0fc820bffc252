"""Owns what the daemon says of itself: the state in one word, why, since when, and what helps."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from ownerreportd import __version__
from ownerreportd.core.lane_words import Phase
from ownerreportd.ledger import views
from ownerreportd.ledger.views import rfc3339
from ownerreportd.outlets import Outlet

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from ownerreportd.core.outcome import Proof
    from ownerreportd.courier import Courier, Next
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.ledger.deliveries import Bound

Json: TypeAlias = dict[str, Any]
SCHEMA = "ownerreportd.status/1"
ORDER = ("blocked", "paused", "waiting", "sending", "idle")
_HEAD = re.compile(r"((?:retry|skip|resolve) head)\b")  # among several lanes each has its own
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
    state = "sending" if lane.paced else _WORDS.get(lane.phase, "sending")
    if state == "waiting":
        hint = "it is tried again by itself; ownerreportd retry tries now"
        return LaneState(state, "", lane.reason, hint, kept.since)
    since = kept.since if lane.failures else None
    return LaneState(state, "", "", "", since)


def leading(lanes: Iterable[Courier]) -> Courier:
    """The lane that somebody should look at first."""
    return min(lanes, key=lambda courier: ORDER.index(lane_state(courier).state))


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Builds the status object. `proofs` is the best that each destination's channel can give."""

    engine: Engine
    started_at: float

    async def write(self) -> Json:
        """The object of `GET /v1/status`."""
        engine = self.engine
        figures, lanes = await engine.workers.ask(self._read)
        age_s = None
        if figures["oldest_at"] is not None:
            age_s = round(max(0.0, engine.clock.utc() - figures["oldest_at"]), 3)
        lead = min(lanes, key=lambda lane: ORDER.index(lane["state"]))
        shown = {name: lead[name] for name in ("state", "code", "reason", "hint", "since")}
        return {
            "schema": SCHEMA, **shown, "stale": self._stale(lanes, age_s),
            "waiting": figures["waiting"], "oldest_age_s": age_s, "head": lead["head"],
            "lanes": lanes, "last_delivery": figures["last_delivery"],
            "sent_total": figures["sent_total"], "rejected_total": figures["rejected_total"],
            "rejected_today": figures["rejected_today"],
            "left_alone": engine.intake.left_alone(), "destinations": self._destinations(),
            "implicit_inbox": engine.outlets.implicit_inbox,
            "spool": str(engine.custody.spool.root), "pid": os.getpid(),
            "started_at": rfc3339(self.started_at), "version": __version__,
        }  # fmt: skip

    def _read(self) -> tuple[Json, list[Json]]:
        with self.engine.asking.reading() as db:
            figures = views.figures(db)
            midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0)
            figures["rejected_today"] = views.rejected_since(db, midnight.timestamp())
            return figures, [self._lane(db, courier, figures) for courier in self.engine.lanes]

    def _lane(self, db: sqlite3.Connection, courier: Courier, figures: Json) -> Json:
        engine, found = self.engine, lane_state(courier)
        head, wake_at = self._head(db, courier.head), courier.lane.wake_at
        if head is not None and wake_at is not None:
            in_s = wake_at - engine.clock.monotonic()
            head["next_attempt_at"] = rfc3339(engine.clock.utc() + in_s)
        waiting, hint = figures["waiting"], found.hint
        if engine.lanes.separate:
            waiting = views.waiting_for(db, courier.name)
            hint = _HEAD.sub(rf"\1 --to {courier.name}", hint)
            if courier.lane.paused and not all(each.lane.paused for each in engine.lanes):
                hint = hint.replace(
                    "ownerreportd resume", f"ownerreportd resume --to {courier.name}"
                )
        return {
            "name": courier.name, "state": found.state, "code": found.code,
            "reason": engine.redact(found.reason), "hint": engine.redact(hint),
            "since": rfc3339(found.since), "waiting": waiting, "head": head,
            "next_attempt_at": head["next_attempt_at"] if head else None,
        }  # fmt: skip

    @staticmethod
    def _head(db: sqlite3.Connection, head: Next | None) -> Json | None:
        if head is None:
            return None
        delivery = head.delivery.id if head.delivery else None
        shown = views.head_figures(db, head.report.rid, delivery) or None
        if shown is not None:
            bound = head.delivery.bound if head.delivery else None
            shown["destination"] = bound.destination if bound else None
            shown["next_attempt_at"] = None
        return shown

    def _stale(self, lanes: list[Json], age_s: float | None) -> bool:
        failing = any(lane["state"] in {"blocked", "waiting"} for lane in lanes) or any(
            courier.lane.failures > 0 for courier in self.engine.lanes
        )
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
