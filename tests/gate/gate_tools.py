"""What the gate's tests share: one plan, one task, and receipts good and bad."""

from datetime import UTC, datetime, timedelta

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
