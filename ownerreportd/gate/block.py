"""Owns the block of text that a refused agent reads before its next prompt.

Rule: what comes from the input is data. It is flattened, cut, and holds no bracket, so that the
block has one end, and that is its own.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ownerreportd.core.gate_rules import Decision
    from ownerreportd.gate.inputs import GateInput

BLOCK_CHARS_MAX: Final = 2000
VALUE_CHARS_MAX: Final = 200
_STATES_CHARS_MAX: Final = 400
TASK_BOUNDARY: Final = 5  # the row that stands above the legal states
_SAYS: Final = {
    "missing_auto_next_dispatch":
        "the task is done, the next is of the same approved plan, no receipt shows its dispatch",
    "missing_dispatch_receipt":
        "a next action is known, and no receipt shows that it was dispatched",
    "illegal_reply_closure": "the reply closes in a state that ends no approved plan",
}  # fmt: skip
RECORDED: Final = "the next action is dispatched and its receipt is recorded for this plan and task"
_BRACKETS: Final = {"[": "(", "]": ")"}
_ROUND: Final = str.maketrans(_BRACKETS)
_DETAILS: Final = ("task", "message", "command", "until", "reason")


def build_block(
    label: str, decision: Decision, given: GateInput, legal_states: Sequence[str],
    receipt: str = "",
) -> str:  # fmt: skip
    """The block for a refusal; `label` is 1 to 64 of A-Z, 0-9, `_`. At most 2,000 characters.

    `receipt` says in few words why one does not count.
    """
    reason, *others = decision.reasons
    also = ", ".join(others)
    lines = [
        f"[{label}]",
        "status: fail",
        f"reason: {reason} ({_SAYS[reason]})",
        f"also: {also}" if also else "",
        f"plan: {flat(given.plan_id)}",
        f"current task: {flat(given.current_task) or 'not said'}",
        f"next action: {next_action(given)}",
        f"receipt: {receipt}" if receipt else "",
        f"this stop becomes legal when: {RECORDED}{_otherwise(decision, legal_states)}",
        f"[/{label}]",
    ]
    return "\n".join(line for line in lines if line)


def _otherwise(decision: Decision, legal_states: Sequence[str]) -> str:
    """The other ways out. At a mere task boundary, closing in a legal state is none."""
    if decision.row.number == TASK_BOUNDARY:
        return ", or the next step is risky and needs the owner's word (highRiskStop)"
    states = flat(", ".join(map(flat, legal_states)), _STATES_CHARS_MAX)
    return f", or the reply closes in one of: {states}" if states else ""


def next_action(given: GateInput) -> str:
    """The one next action, in one line."""
    task = flat(given.next_task_id)
    action = given.next_derived_action
    if action is None:
        return f"dispatch {task}" if task else "dispatch the next step of the plan"
    said_so = (flat(action[n]) for n in _DETAILS if isinstance(action.get(n), str))
    detail = next(filter(None, said_so), "")
    said = f"{flat(action['type'])}: {detail}" if detail else flat(action["type"])
    return f"dispatch {task} by {said}" if task else said


def flat(value: str | None, chars_max: int = VALUE_CHARS_MAX) -> str:
    """The value on one line, without a bracket, and cut."""
    text = (value or "").strip()[: 8 * chars_max]
    if text.isascii() and text.isprintable():
        text = text.translate(_ROUND) if "[" in text or "]" in text else text
    else:
        text = "".join(_plain(c) for c in text)
    text = " ".join(text.split())
    return text if len(text) <= chars_max else text[: chars_max - 1].rstrip() + "…"


def _plain(char: str) -> str:
    if char.isascii() and char.isprintable():
        return _BRACKETS.get(char, char)
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}:
        return " "
    looks = unicodedata.normalize("NFKC", char)
    return "".join(_BRACKETS.get(c, c) for c in looks) if "[" in looks or "]" in looks else char
