"""Owns the words of a lane: its phases and state, the events it accepts, the commands it gives.

Rule: frozen values. Times are seconds on one clock that the caller owns; `chance` is in [0, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from ownerreportd.core.backoff import Backoff

if TYPE_CHECKING:
    from ownerreportd.core.channel import Form, Problem
    from ownerreportd.core.outcome import LookResult, Outcome

BlockCode: TypeAlias = Literal[
    "config", "report", "doubt", "changed", "channel_bug",
    "disk_full", "disk_error", "ledger", "spool_replaced",
]  # fmt: skip


class Phase(Enum):
    """What a lane is doing."""

    EMPTY = "empty"  # no head
    READY = "ready"  # a head, and a pause that keeps it back
    SENDING = "sending"
    LOOKING = "looking"
    PROBING = "probing"
    SETTLING = "settling"
    WAITING = "waiting"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the head's destination can do and wants done."""

    backoff: Backoff = field(default_factory=Backoff)
    in_doubt: Literal["resend", "hold"] = "resend"
    dedup_window_s: float = 0.0
    read_back: bool = False
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A part may be at the channel: since its first doubtful attempt began, until resolved.

    `since` is `-inf` where the time is not known; `last` is the end of the last doubtful attempt.
    With `accepted` it is there, by a receipt that proves too little: only a person ends that.
    """

    since: float
    last: float
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class PartState:
    """What the lane must know of a part that is not confirmed. A marked part stays marked."""

    number: int
    doubt: Doubt | None = None
    form: Form = "plain"


@dataclass(frozen=True, slots=True)
class Head:
    """The delivery whose turn it is: its unconfirmed parts, in order; none of them: settle it.

    Nothing is sent before `not_before`, since the channel asked for that; or, if it is `paced`,
    so that it need not ask.
    """

    delivery: int
    parts: tuple[PartState, ...]
    policy: Policy = field(default_factory=Policy)
    not_before: float = -math.inf
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Why a lane stopped, and what ends it. `since` is on the lane's clock."""

    code: BlockCode
    reason: str
    hint: str
    since: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One ordered queue as far as its rules need it: the head, and what is being done with it."""

    phase: Phase = Phase.EMPTY
    head: Head | None = None
    paused: bool = False
    block: Block | None = None
    wake_at: float | None = None
    reason: str = ""  # why it waits
    paced: bool = False  # it waits within the channel's limit, and nothing is wrong
    failures: int = 0  # in a row
    probes: int = 0  # since the last confirmation


# --- events: what happened ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A delivery has come to the head of an empty lane."""

    head: Head
    now: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The attempt that began at `started` has ended. `chance` is in [0, 1), for jitter."""

    outcome: Outcome
    started: float
    now: float
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class Broke:
    """The channel raised what it never should; after a send began, the part is in doubt."""

    kind: str
    started: float
    now: float


@dataclass(frozen=True, slots=True)
class Looked:
    """The channel was searched for the part in doubt."""

    result: LookResult
    now: float
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class Probed:
    """The destination was checked without sending."""

    problems: tuple[Problem, ...]
    now: float


@dataclass(frozen=True, slots=True)
class Settled:
    """The head is archived, and its row closed."""

    now: float


@dataclass(frozen=True, slots=True)
class Woke:
    """The time of the last `WakeAt` has come."""

    now: float


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing was sent, since the file is not there to be sent now; ask again at `until`."""

    until: float
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class Hindered:
    """Nothing was sent or settled, since the machine or the file does not allow it."""

    code: BlockCode
    reason: str
    hint: str
    now: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """A hindrance that ends by itself has ended."""

    code: BlockCode
    now: float


@dataclass(frozen=True, slots=True)
class Retried:
    """A person, a reload or a start asks to try again now."""

    now: float


@dataclass(frozen=True, slots=True)
class Paused:
    """A person asks to stop sending after what is in flight."""

    now: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person ends the pause."""

    now: float


@dataclass(frozen=True, slots=True)
class Left:
    """The head is not what it was: skipped, withdrawn, resolved, sent directly, frozen anew."""

    now: float


Event: TypeAlias = (
    Arrived | Answered | Broke | Looked | Probed | Settled | Woke | Postponed | Hindered | Cleared
    | Retried | Paused | Resumed | Left
)  # fmt: skip

# --- commands: what to do -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Attempt this part once, in this form; answer with `Answered`, `Broke` or a hindrance."""

    delivery: int
    part: int
    form: Form


@dataclass(frozen=True, slots=True)
class Look:
    """Search the channel for this part from `since` on; answer with `Looked` or `Broke`."""

    delivery: int
    part: int
    since: float


@dataclass(frozen=True, slots=True)
class Probe:
    """Check the head's destination without sending; answer with `Probed`."""

    delivery: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Every part is confirmed: archive; answer with `Settled` or `Hindered`."""

    delivery: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Answer with `Woke` at that time. It takes the place of any earlier one."""

    at: float


@dataclass(frozen=True, slots=True)
class Fetch:
    """The lane is empty: answer with `Arrived` when there is a next delivery."""


Command: TypeAlias = Send | Look | Probe | Settle | WakeAt | Fetch
