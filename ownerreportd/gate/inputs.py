"""Owns the gate's input: from the wire's fields to one frozen value, with every mistake told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ownerreportd.gate.values import Json, Reader, copied, in_words
from ownerreportd.gate.words import TASK_STATES, UNKNOWN, normalize_word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GateInputError(ValueError):
    """Raised when an input has wrong types; `errors` lists `{pointer, message}` for every one."""

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(in_words(errors))
        self.errors = [dict(each) for each in errors]


@dataclass(frozen=True, slots=True)
class GateInput:
    """A normalized input. `next_derived_action` and `dispatch_receipt` are JSON objects."""

    plan_id: str | None = None
    current_task: str | None = None
    task_state: str = UNKNOWN
    next_task_known: bool = False
    next_task_id: str | None = None
    same_approved_plan: bool = False
    task_boundary_stop: bool = False
    high_risk_stop: bool = False
    next_derived_action: Json | None = None
    reply_closure_state: str | None = None
    dispatch_receipt: Json | None = None

    def to_json(self) -> Json:
        """Every field under its name on the wire; a fresh copy."""
        return {
            "planId": self.plan_id,
            "currentTask": self.current_task,
            "taskState": self.task_state,
            "nextTaskKnown": self.next_task_known,
            "nextTaskId": self.next_task_id,
            "sameApprovedPlan": self.same_approved_plan,
            "taskBoundaryStop": self.task_boundary_stop,
            "highRiskStop": self.high_risk_stop,
            "nextDerivedAction": copied(self.next_derived_action),
            "replyClosureState": self.reply_closure_state,
            "dispatchReceipt": copied(self.dispatch_receipt),
        }


def normalize_input(fields: object, at: str = "") -> tuple[GateInput, tuple[str, ...]]:
    """The input that these fields of the wire make, and warnings. Unknown fields are ignored.

    `at` is the JSON pointer of the fields in the whole request. Raises:
        GateInputError: if a field has a wrong type, with every such field.
    """
    reader = Reader(at)
    if not isinstance(fields, dict):
        reader.wrong("", "must be an object")
        raise GateInputError(reader.mistakes)
    found = read_input(reader, fields)
    if reader.mistakes:
        raise GateInputError(reader.mistakes)
    return found, tuple(reader.warnings)


def read_input(reader: Reader, fields: Mapping[str, Any]) -> GateInput:
    """The input of these fields; mistakes and warnings are the reader's."""
    task_id = reader.text(fields, "nextTaskId")
    known = reader.flag(fields, "nextTaskKnown")
    closure = reader.text(fields, "replyClosureState")
    return GateInput(
        plan_id=reader.text(fields, "planId"),
        current_task=reader.text(fields, "currentTask"),
        task_state=_task_state(reader, reader.text(fields, "taskState")),
        next_task_known=task_id is not None if known is None else known,
        next_task_id=task_id,
        same_approved_plan=reader.flag(fields, "sameApprovedPlan") or False,
        task_boundary_stop=reader.flag(fields, "taskBoundaryStop") or False,
        high_risk_stop=reader.flag(fields, "highRiskStop") or False,
        next_derived_action=reader.action(fields, "nextDerivedAction"),
        reply_closure_state=None if closure is None else normalize_word(closure),
        dispatch_receipt=reader.object(fields, "dispatchReceipt"),
    )


def _task_state(reader: Reader, said: str | None) -> str:
    word = UNKNOWN if said is None else normalize_word(said)
    if word in TASK_STATES:
        return word
    reader.warnings.append(f"taskState {said!a:.120} is not known, and read as {UNKNOWN}")
    return UNKNOWN
