"""Owns the rules of the continuity gate: one table, read from the top, and the first row decides.

Rule: facts in, decision out; no row looks at anything but the facts, and no order but the table's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Status: TypeAlias = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a reply that wants to end the agent's turn.

    `task_state` and `closure` are normalized words; `closure` is None where the reply says none.
    """

    enabled: bool
    plan_matched: bool
    receipt_counts: bool  # valid, of this plan and task, and real where that is asked for
    high_risk_stop: bool
    task_state: str
    task_boundary_stop: bool
    next_task_known: bool
    same_approved_plan: bool
    closure: str | None
    legal_terminal_states: frozenset[str]
    action_present: bool
    closure_allowed: bool

    @property
    def complete(self) -> bool:
        """C of the table."""
        return self.task_state == "complete"

    @property
    def next_is_approved(self) -> bool:
        """K of the table."""
        return self.next_task_known and self.same_approved_plan

    @property
    def legal_terminal(self) -> bool:
        """T of the table."""
        said = self.task_state if self.closure is None else self.closure
        return said in self.legal_terminal_states


@dataclass(frozen=True, slots=True)
class Row:
    """One row: when it holds, and what follows where it is the first that does."""

    number: int
    holds: Callable[[Facts], bool]
    status: Status
    reason: str


ROWS: Final = (
    Row(1, lambda f: not f.enabled, "skip", "disabled"),
    Row(2, lambda f: not f.plan_matched, "skip", "plan_not_matched"),
    Row(3, lambda f: f.receipt_counts, "pass", "dispatched"),
    Row(4, lambda f: f.high_risk_stop, "pass", "high_risk_stop"),
    Row(5, lambda f: f.complete and f.task_boundary_stop and f.next_is_approved,
        "fail", "missing_auto_next_dispatch"),
    Row(6, lambda f: f.legal_terminal, "pass", "legal_terminal_state"),
    Row(7, lambda f: f.closure_allowed, "pass", "closure_allowed"),
    Row(8, lambda f: f.task_state == "in_progress" and f.closure is None, "pass", "in_progress"),
    Row(9, lambda f: f.action_present, "fail", "missing_dispatch_receipt"),
    Row(10, lambda f: f.next_is_approved and f.task_state in {"complete", "unknown"},
        "fail", "missing_auto_next_dispatch"),
    Row(11, lambda f: f.complete, "pass", "plan_finished"),
    Row(12, lambda f: f.closure is None and f.task_state != "failed", "pass", "in_progress"),
    Row(13, lambda _: True, "fail", "illegal_reply_closure"),
)  # fmt: skip

REASONS: Final = tuple(dict.fromkeys(row.reason for row in ROWS))
_TOLD_TOGETHER: Final = frozenset({5, 9, 10})


@dataclass(frozen=True, slots=True)
class Decision:
    """What the table says. `reasons` is empty but for a fail; `trace` has every row's truth."""

    row: Row
    reasons: tuple[str, ...]
    trace: tuple[tuple[Row, bool], ...]

    @property
    def ok(self) -> bool:
        """Whether the agent may end its turn."""
        return self.row.status != "fail"


def decide(facts: Facts) -> Decision:
    """The first row that holds, and on a fail what else is wrong."""
    trace = tuple([(row, row.holds(facts)) for row in ROWS])
    first = next(row for row, holds in trace if holds)
    if first.status != "fail":
        return Decision(first, (), trace)
    others = [row.reason for row, holds in trace if holds and row.number in _TOLD_TOGETHER]
    return Decision(first, tuple(dict.fromkeys([first.reason, *others])), trace)
