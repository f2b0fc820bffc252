"""Owns what a receipt is worth for one input: valid, of its plan and task, real; else why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.gate.receipt import FUTURE, ReceiptCheck, validate_receipt
from ownerreportd.gate.values import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.gate.adapters import Given
    from ownerreportd.gate.values import Json


@dataclass(frozen=True, slots=True)
class Judged:
    """What the receipt is worth for this input."""

    present: bool = False
    source: str | None = None
    valid: bool = False
    real: bool = False
    matches: bool = False
    counts: bool = False
    errors: list[Json] = field(default_factory=list)
    warnings: tuple[str, ...] = ()

    def told(self) -> str:
        """Why it does not count, in few words; empty where there is none."""
        codes = ", ".join(each["code"] for each in self.errors)
        which = "the newest stored one" if self.source == "store" else "that of the input"
        return f"{which} is not accepted ({codes})" if codes else ""

    def to_json(self) -> Json:
        """`evaluation.receipt` of the contract."""
        return {
            "present": self.present, "source": self.source,
            "valid": self.valid, "real": self.real, "matches": self.matches,
        }  # fmt: skip


def judge(
    given: Given, stored: Mapping[str, Any] | None, *, now: datetime, needs_real: bool
) -> Judged:
    """What the input's own receipt is worth, or else the stored one."""
    found = given.input
    receipt = stored if found.dispatch_receipt is None else found.dispatch_receipt
    if receipt is None:
        return Judged()
    own = found.dispatch_receipt is not None
    checked = validate_receipt(receipt, now)
    unreal = list(checked.unreal)
    if own and given.rehearsed and "dry_run" not in unreal:
        unreal.insert(0, "dry_run")
    same_plan = receipt.get("planId") == found.plan_id is not None
    same_task = receipt.get("currentTask") == found.current_task is not None
    matches = same_plan and same_task
    counts = checked.valid and matches and not (needs_real and unreal)
    errors = [] if counts else _errors(
        checked, unreal if needs_real else [], same_plan=same_plan, same_task=same_task
    )  # fmt: skip
    warnings = tuple(f"receipt: {text}" for text in checked.warnings)
    return Judged(
        present=True, source="input" if own else "store", valid=checked.valid, real=not unreal,
        matches=matches, counts=counts, errors=errors, warnings=warnings,
    )  # fmt: skip


def _errors(
    checked: ReceiptCheck, unreal: list[str], *, same_plan: bool, same_task: bool
) -> list[Json]:
    """Why it does not count: `{code, message}`, with `fields` where it is invalid."""
    found: list[Json] = []
    if checked.errors:
        fields = [dict(each) for each in checked.errors]
        found.append({"code": "invalid", "message": in_words(fields), "fields": fields})
    found += [{"code": code, "message": _MESSAGES[code]} for code in unreal]
    if not same_plan:
        found.append({"code": "plan_mismatch", "message": _MESSAGES["plan_mismatch"]})
    if not same_task:
        found.append({"code": "task_mismatch", "message": _MESSAGES["task_mismatch"]})
    if checked.ahead:
        found.append({"code": FUTURE, "message": _MESSAGES[FUTURE]})
    return found


_MESSAGES: Final = {
    "dry_run": "it tells of a dry run, in which nothing was dispatched",
    "placeholder": "dispatchRunId or childSessionKey is a placeholder",
    "plan_mismatch": "its planId is not that of the input",
    "task_mismatch": "its currentTask is not that of the input",
    FUTURE: "its dispatchedAt is more than five minutes ahead of the clock",
}
