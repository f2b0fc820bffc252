"""What the gate's tests share: one plan, one task, and receipts good and bad."""

from datetime import UTC, datetime, timedelta

LEGAL = frozenset({"waiting_user", "blocked", "pending_verification"})
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def receipt(at=NOW - timedelta(minutes=1), **changes):
    """A receipt that counts for `task-3`, with fields changed, or left out by None."""
    whole = {
        "planId": "approved-plan-1",
        "currentTask": "task-3",
        "nextDerivedAction": {"type": "message_subagent", "task": "continue"},
        "dispatchedAt": at.isoformat(),
        "dispatchRunId": "run-17",
        "childSessionKey": "agent:main:subagent:17",
        "replyClosureState": "in_progress",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def fields(**changes):
    """An input that the gate refuses by row 5, with fields changed."""
    return {
        "planId": "approved-plan-1",
        "currentTask": "task-3",
        "taskState": "complete",
        "nextTaskKnown": True,
        "sameApprovedPlan": True,
        "taskBoundaryStop": True,
        "nextTaskId": "task-4",
        "nextDerivedAction": {"type": "message_subagent", "task": "continue"},
        "replyClosureState": "completed",
        "dispatchReceipt": None,
        **changes,
    }


def row(matched, counts, risk, state, boundary, approved, closure, action, allowed):  # noqa: PLR0911 - one return for each row of the table
    """Number, status and reason by the design's table for a gate that is on, line by line."""
    if not matched:
        return 2, "skip", "plan_not_matched"
    if counts:
        return 3, "pass", "dispatched"
    if risk:
        return 4, "pass", "high_risk_stop"
    if state == "complete" and boundary and approved:
        return 5, "fail", "missing_auto_next_dispatch"
    if (state if closure is None else closure) in LEGAL:
        return 6, "pass", "legal_terminal_state"
    if allowed:
        return 7, "pass", "closure_allowed"
    if state == "in_progress" and closure is None:
        return 8, "pass", "in_progress"
    if action:
        return 9, "fail", "missing_dispatch_receipt"
    if approved and state in ("complete", "unknown"):
        return 10, "fail", "missing_auto_next_dispatch"
    if state == "complete":
        return 11, "pass", "plan_finished"
    if closure is None and state != "failed":
        return 12, "pass", "in_progress"
    return 13, "fail", "illegal_reply_closure"
