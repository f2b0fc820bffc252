"""Owns everything that decides what a lane does next.

Rule: `step` is a pure function. What is not in the table at the end is illegal, raises, and
nothing happens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from ownerreportd.core.backoff import probe_delay_s
from ownerreportd.core.lane_words import (
    Answered,
    Arrived,
    Block,
    BlockCode,
    Broke,
    Cleared,
    Command,
    Doubt,
    Event,
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
    Postponed,
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
    Rejected,
    Throttled,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.core.channel import Form

Step: TypeAlias = tuple[Lane, tuple[Command, ...]]
_HINT_ACCEPTED: Final = (
    "look at the channel, then: ownerreportd resolve head --sent, or --resend; for what comes, "
    'archive_on = "accepted" if its word is enough, then: ownerreportd reload'
)


class IllegalEventError(Exception):
    """Raised when an event cannot happen in the lane's phase: a bug of the caller."""


def step(lane: Lane, event: Event) -> Step:
    """The lane after the event, and the commands to perform, in order.

    Raises:
        IllegalEventError: if the phase does not accept the event.
    """
    rule = _TABLE.get((lane.phase, type(event)))
    if rule is None:
        raise IllegalEventError(f"{type(event).__name__} in phase {lane.phase.value}")
    return rule(lane, event)


# --- what comes next for the head -----------------------------------------------------------


def _head(lane: Lane) -> Head:
    if lane.head is None:
        raise IllegalEventError(f"no head in phase {lane.phase.value}")
    return lane.head


def _proceed(lane: Lane, now: float) -> Step:
    """Whatever the head needs now, if nothing keeps it back."""
    lane = replace(lane, block=None, wake_at=None, reason="", paced=False)
    head = lane.head
    if head is None:
        return replace(lane, phase=Phase.EMPTY), (Fetch(),)
    if not head.parts:
        return replace(lane, phase=Phase.SETTLING), (Settle(head.delivery),)
    if lane.paused:
        return replace(lane, phase=Phase.READY), ()
    if now < head.not_before:
        reason = "the channel's limit" if head.paced else "the channel asked to wait"
        return _wait(replace(lane, paced=head.paced), head.not_before, reason)
    part = head.parts[0]
    if part.doubt is not None:
        return _resolve(lane, head, part, part.doubt, now)
    return _send(lane, part.form)


def _resolve(lane: Lane, head: Head, part: PartState, doubt: Doubt, now: float) -> Step:
    """A part in doubt: repeat inside the window, else look, else what `in_doubt` says."""
    policy = head.policy
    if doubt.accepted:
        reason = f"part {part.number} was accepted, but confirmed by nothing"
        return _blocked(lane, "doubt", reason, _HINT_ACCEPTED, now)
    if part.form == "plain" and now + policy.timeout_s <= doubt.since + policy.dedup_window_s:
        return _send(lane, "plain")
    if not policy.read_back:
        return _unresolved(lane, "the channel cannot be asked whether it has the part", now)
    due = doubt.last + policy.timeout_s
    if now < due:
        return _wait(lane, due, "a part is in doubt; the channel is searched when it has settled")
    looking = replace(lane, phase=Phase.LOOKING)
    return looking, (Look(head.delivery, part.number, doubt.since),)


def _unresolved(lane: Lane, why: str, now: float) -> Step:
    if _head(lane).policy.in_doubt == "resend":
        return _send(lane, "marked")
    part = _head(lane).parts[0].number
    reason = f"part {part} may have been delivered: {why}"
    hint = "look at the channel, then: ownerreportd resolve head --sent, or --resend"
    return _blocked(lane, "doubt", reason, hint, now)


def _send(lane: Lane, form: Form) -> Step:
    head = _head(lane)
    part = replace(head.parts[0], form=form)
    lane = replace(lane, phase=Phase.SENDING, head=_with_part(head, part))
    return lane, (Send(head.delivery, part.number, form),)


def _with_part(head: Head, part: PartState) -> Head:
    return replace(head, parts=(part, *head.parts[1:]))


def _wait(lane: Lane, until: float, reason: str) -> Step:
    return replace(lane, phase=Phase.WAITING, wake_at=until, reason=reason), (WakeAt(until),)


def _blocked(lane: Lane, code: BlockCode, reason: str, hint: str, now: float) -> Step:
    block = Block(code, reason, hint, now)
    lane = replace(lane, phase=Phase.BLOCKED, block=block, wake_at=None, reason=reason)
    if code != "config":
        return lane, ()
    at = now + probe_delay_s(lane.probes)
    return replace(lane, wake_at=at, probes=lane.probes + 1), (WakeAt(at),)


def _failed(lane: Lane, reason: str, now: float, chance: float, floor_s: float = 0.0) -> Step:
    failures = lane.failures + 1
    delay_s = max(_head(lane).policy.backoff.delay_s(failures, chance), floor_s)
    return _wait(replace(lane, failures=failures), now + delay_s, reason)


def _confirmed(lane: Lane, now: float, pause_s: float = 0.0) -> Step:
    head = _head(lane)
    rest = replace(head, parts=head.parts[1:])
    if pause_s > 0:
        rest = replace(rest, not_before=now + pause_s, paced=True)
    return _proceed(replace(lane, head=rest, failures=0, probes=0), now)


def _doubted(lane: Lane, started: float, now: float) -> Lane:
    head = _head(lane)
    part = head.parts[0]
    doubt = Doubt(started, now) if part.doubt is None else replace(part.doubt, last=now)
    return replace(lane, head=_with_part(head, replace(part, doubt=doubt)))


def _accepted(lane: Lane, now: float) -> Step:
    """The part is there by a receipt that proves too little: never sent again without a person."""
    head = _head(lane)
    part = head.parts[0]
    doubt = replace(part.doubt or Doubt(now, now), accepted=True)
    return _proceed(replace(lane, head=_with_part(head, replace(part, doubt=doubt))), now)


# --- one rule for each kind of event --------------------------------------------------------


def _arrived(lane: Lane, event: Arrived) -> Step:
    return _proceed(replace(lane, head=event.head, failures=0), event.now)


def _answered(lane: Lane, event: Answered) -> Step:
    outcome, now = event.outcome, event.now
    match outcome:
        case Confirmed():
            return _confirmed(lane, now, outcome.pause_s)
        case Throttled():
            head = replace(_head(lane), not_before=now + outcome.retry_after_s, paced=False)
            reason = outcome.detail or "the channel asked to wait"
            return _wait(replace(lane, head=head), head.not_before, reason)
        case NotSent():
            return _failed(lane, outcome.detail, now, event.chance)
        case InDoubt():
            doubted = _doubted(lane, event.started, now)
            if outcome.accepted:
                return _accepted(doubted, now)
            return _failed(doubted, outcome.detail, now, event.chance)
        case Rejected():
            reason = f"{outcome.detail} ({outcome.code})"
            return _blocked(lane, outcome.scope, reason, outcome.hint, now)
        case _:
            assert_never(outcome)


def _broke(lane: Lane, event: Broke) -> Step:
    if lane.phase is Phase.SENDING:
        lane = _doubted(lane, event.started, event.now)
    reason = f"the channel's code failed with {event.kind}; the traceback is in the log"
    return _blocked(lane, "channel_bug", reason, "ownerreportd retry, or report the bug", event.now)


def _looked(lane: Lane, event: Looked) -> Step:
    result, now = event.result, event.now
    match result:
        case Found():
            return _confirmed(lane, now)
        case Absent():
            head = _head(lane)
            known = replace(head.parts[0], doubt=None, form="plain")
            return _proceed(replace(lane, head=_with_part(head, known)), now)
        case Unknown(accepted=True):
            return _accepted(lane, now)
        case Unknown(transient=True):
            return _failed(lane, result.detail, now, event.chance, result.retry_after_s)
        case Unknown():
            if lane.paused:
                return _proceed(lane, now)
            return _unresolved(lane, result.detail, now)
        case _:
            assert_never(result)


def _probed(lane: Lane, event: Probed) -> Step:
    if not event.problems:
        return _proceed(lane, event.now)
    problem = event.problems[0]
    since = lane.block.since if lane.block else event.now
    lane, commands = _blocked(lane, "config", problem.detail, problem.hint, event.now)
    assert lane.block is not None  # noqa: S101 - `_blocked` has just set it; for the type checker
    return replace(lane, block=replace(lane.block, since=since)), commands


def _left(lane: Lane, event: Left) -> Step:
    if _is_until_restart(lane):
        return replace(lane, head=None), ()
    return _settled(lane, event)


def _settled(lane: Lane, _event: Settled | Left) -> Step:
    kept = Lane(paused=lane.paused, probes=lane.probes)
    return kept, (Fetch(),)


def _woke(lane: Lane, event: Woke) -> Step:
    if lane.phase is Phase.BLOCKED:
        return replace(lane, phase=Phase.PROBING, wake_at=None), (Probe(_head(lane).delivery),)
    return _proceed(lane, event.now)


def _postponed(lane: Lane, event: Postponed) -> Step:
    return _wait(lane, event.until, event.reason)


def _is_until_restart(lane: Lane) -> bool:
    """After a failed fsync or commit nobody knows what is on the disk: only a restart reads it."""
    return lane.block is not None and lane.block.code in {"disk_error", "ledger"}


def _hindered(lane: Lane, event: Hindered) -> Step:
    if lane.block is not None and lane.block.code not in _MENDED and event.code in _MENDED:
        return lane, ()  # what needs a person is not ended by what mends itself
    if _is_until_restart(lane):
        return lane, ()
    return _blocked(lane, event.code, event.reason, event.hint, event.now)


def _cleared(lane: Lane, event: Cleared) -> Step:
    if lane.block is None or lane.block.code != event.code:
        return lane, ()
    return _proceed(lane, event.now)


def _retried(lane: Lane, event: Retried) -> Step:
    if _is_until_restart(lane):
        return lane, ()
    return _proceed(replace(lane, failures=0), event.now)


def _paused(lane: Lane, _event: Paused) -> Step:
    lane = replace(lane, paused=True)
    if lane.phase is Phase.WAITING:
        return replace(lane, phase=Phase.READY, wake_at=None, reason="", paced=False), ()
    return lane, ()


def _resumed(lane: Lane, event: Resumed) -> Step:
    lane = replace(lane, paused=False)
    return _proceed(lane, event.now) if lane.phase is Phase.READY else (lane, ())


_ANY = tuple(Phase)
_MENDED = ("disk_full", "spool_replaced")  # these end by themselves
_STILL = (Phase.READY, Phase.WAITING, Phase.BLOCKED)
_RULES: tuple[tuple[tuple[Phase, ...], type, Callable[..., Step]], ...] = (
    ((Phase.EMPTY,), Arrived, _arrived),
    ((Phase.SENDING,), Answered, _answered),
    ((Phase.SENDING, Phase.LOOKING, Phase.PROBING), Broke, _broke),
    ((Phase.LOOKING,), Looked, _looked),
    ((Phase.PROBING,), Probed, _probed),
    ((Phase.SETTLING,), Settled, _settled),
    ((Phase.WAITING, Phase.BLOCKED), Woke, _woke),
    ((Phase.SENDING, Phase.SETTLING), Postponed, _postponed),
    ((Phase.SENDING, Phase.SETTLING, Phase.EMPTY, *_STILL), Hindered, _hindered),
    ((Phase.BLOCKED,), Cleared, _cleared),
    ((Phase.EMPTY, *_STILL), Retried, _retried),
    (_ANY, Paused, _paused),
    (_ANY, Resumed, _resumed),
    ((Phase.SENDING, Phase.EMPTY, *_STILL), Left, _left),
)
_TABLE: dict[tuple[Phase, type], Callable[..., Step]] = {
    (phase, event): rule for phases, event, rule in _RULES for phase in phases
}
