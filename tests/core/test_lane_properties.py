"""A year of outages in milliseconds: the lane's invariants over random histories."""

import math
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd.core.backoff import Backoff
from ownerreportd.core.lane import step
from ownerreportd.core.lane_words import (
    Answered,
    Arrived,
    Broke,
    Doubt,
    Fetch,
    Head,
    Hindered,
    Lane,
    Left,
    Look,
    Looked,
    PartState,
    Paused,
    Phase,
    Policy,
    Probe,
    Probed,
    Resumed,
    Retried,
    Send,
    Settle,
    Settled,
    WakeAt,
    Woke,
)
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)

FLIGHT = (Phase.SENDING, Phase.LOOKING, Phase.PROBING, Phase.SETTLING)
WINDOW_S, TIMEOUT_S = 120.0, 20.0


@dataclass
class Service:
    """A channel that knows the truth: what it holds, and when it first saw each part."""

    window_s: float
    messages: list = field(default_factory=list)  # (delivery, part, form)
    seen_at: dict = field(default_factory=dict)

    def accept(self, delivery, part, form, now):
        first = self.seen_at.get((delivery, part))
        if first is not None and now - first <= self.window_s:
            return
        self.messages.append((delivery, part, form))
        self.seen_at[delivery, part] = now

    def has(self, delivery, part):
        return any(m[:2] == (delivery, part) for m in self.messages)


@dataclass
class World:
    """One lane with its world: performs every command as the next draw of luck says."""

    draw: object
    policy: Policy
    reports: int
    lane: Lane = field(default_factory=Lane)
    now: float = 0.0
    settled: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    doubts: dict = field(default_factory=dict)
    looked: set = field(default_factory=set)
    pending: list = field(default_factory=list)

    def __post_init__(self):
        self.service = Service(self.policy.dedup_window_s)
        self.pending = [Fetch()]

    def next_delivery(self):
        return len(self.settled) + len(self.skipped)

    def head(self):
        number = self.next_delivery()
        return Head(number, tuple(PartState(n) for n in (1, 2)), self.policy)

    def feed(self, event):
        before = self.lane
        self.lane, self.pending = step(self.lane, event)
        self.check(before)

    def check(self, before):
        sends = [c for c in self.pending if isinstance(c, Send)]
        assert len(sends) <= 1
        assert len([c for c in self.pending if not isinstance(c, WakeAt)]) <= 1
        if before.paused and self.lane.paused:
            assert not sends
        if self.lane.phase is Phase.BLOCKED:
            assert not sends
            assert self.lane.block is not None
        for send in sends:
            since = self.doubts.get((send.delivery, send.part))
            end = since is not None and since + self.policy.dedup_window_s
            inside = since is not None and self.now + TIMEOUT_S <= end
            assert since is None or inside or send.form == "marked", "unmarked, outside the window"

    def luck(self, *choices):
        return self.draw(st.sampled_from(choices))

    def perform(self):
        match self.pending[0] if self.pending else None:
            case Fetch():
                if self.next_delivery() < self.reports:
                    self.feed(Arrived(self.head(), self.now))
            case Send() as send:
                self.send(send)
            case Look() as look:
                self.look(look)
            case Probe():
                self.feed(Probed(() if self.luck(True, False) else PROBLEMS, self.now))
            case Settle(delivery=delivery):
                assert delivery == self.next_delivery()
                assert all(self.service.has(delivery, part) for part in (1, 2)), "false success"
                self.settled.append(delivery)
                self.feed(Settled(self.now))

    def send(self, send):
        started, key = self.now, (send.delivery, send.part)
        self.now += self.luck(0.1, 5.0, TIMEOUT_S)
        end = self.luck("ok", "ok", "lost", "dropped", "refused", "429", "no", "config", "bug")
        if end in {"ok", "dropped", "bug"}:
            self.service.accept(*key, send.form, started)
        if end in {"lost", "dropped", "bug"}:
            self.doubts.setdefault(key, started)
        if end == "bug":
            self.feed(Broke("ValueError", started, self.now))
            return
        outcome = {
            "ok": Confirmed(Receipt("r")),
            "lost": InDoubt("lost"),
            "dropped": InDoubt("dropped"),
            "refused": NotSent("refused"),
            "429": Throttled(self.luck(1.0, 600.0)),
            "no": Rejected("c", "report", "d", "h"),
            "config": Rejected("c", "config", "d", "h"),
        }[end]
        if end == "ok":
            self.doubts.pop(key, None)
        self.feed(Answered(outcome, started, self.now, self.luck(0.0, 0.99)))

    def look(self, look):
        key = (look.delivery, look.part)
        self.now += 0.1
        if self.luck(True, False):
            self.feed(Looked(Unknown("?", transient=self.luck(True, False)), self.now))
        elif self.service.has(*key):
            self.doubts.pop(key, None)
            self.feed(Looked(Found(Receipt("r")), self.now))
        else:
            self.doubts.pop(key, None)
            self.feed(Looked(Absent(), self.now))

    def disturb(self):
        if self.lane.phase in FLIGHT:
            return
        match self.luck("wake", "wake", "wake", "retry", "pause", "resume", "left", "disk", "skip"):
            case "wake" if self.lane.wake_at is not None:
                self.now = max(self.now, self.lane.wake_at)
                self.feed(Woke(self.now))
            case "retry":
                self.feed(Retried(self.now))
            case "pause":
                self.feed(Paused(self.now))
            case "resume":
                self.feed(Resumed(self.now))
            case "disk":
                self.feed(Hindered("disk_full", "full", "room", self.now))
            case "skip" if self.lane.head is not None:
                self.skipped.append(self.lane.head.delivery)
                self.feed(Left(self.now))


PROBLEMS = (__import__("ownerreportd.core.channel", fromlist=["x"]).Problem("c", "d", "h"),)
policies = st.builds(
    Policy,
    st.just(Backoff(jitter=0.2)),
    st.sampled_from(["resend", "hold"]),
    st.sampled_from([0.0, WINDOW_S, math.inf]),
    st.booleans(),
    st.just(TIMEOUT_S),
)


@settings(max_examples=200, deadline=None)
@given(st.data(), policies, st.integers(1, 5))
def test_over_any_history_nothing_overtakes_and_no_unmarked_copy_appears(data, policy, reports):
    world = World(data.draw, policy, reports)
    for _ in range(60):
        if world.pending and not isinstance(world.pending[0], WakeAt):
            world.perform()
        else:
            world.disturb()
    order = [m[:2] for m in world.service.messages]
    assert order == sorted(order), "a part overtook another"
    for delivery in world.settled:
        for part in (1, 2):
            plain = [m for m in world.service.messages if m == (delivery, part, "plain")]
            assert len(plain) <= 1, "two unmarked copies"
    both = world.settled + world.skipped
    assert sorted(both) == list(range(len(both)))


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_a_backoff_never_exceeds_its_ceiling_nor_falls_to_nothing(failures, chance):
    delay_s = Backoff().delay_s(failures, chance)
    assert 1.6 <= delay_s <= 300


def test_a_doubt_of_unknown_age_is_outside_every_finite_window():
    head = Head(1, (PartState(1, Doubt(-math.inf, 0)),), Policy(dedup_window_s=1e9))
    assert step(Lane(), Arrived(head, 0))[1] == (Send(1, 1, "marked"),)
