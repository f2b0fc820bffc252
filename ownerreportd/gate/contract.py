"""Owns a decision from the request to the contract: read, judge the receipt, decide, tell.

Rule: two steps, so that the look for a stored receipt can lie between them, in whatever way its
caller waits for a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.core.gate_rules import Decision, Facts, decide
from ownerreportd.gate.adapters import ADAPTERS, Adapter, Given
from ownerreportd.gate.block import build_block
from ownerreportd.gate.config import ConfigCheck, GateConfig, validate_config
from ownerreportd.gate.inputs import GateInput, GateInputError
from ownerreportd.gate.proof import Judged, judge
from ownerreportd.gate.receipt import parse_time
from ownerreportd.gate.values import Json, copied, kind_of
from ownerreportd.gate.words import plan_matches, same_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTRACT_VERSION: Final = 1
LOOKUP_DEFAULT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Which stored receipt an input without one is judged by: the newest of these."""

    plan_id: str
    current_task: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read. `look_up` is None where no stored receipt is to be looked for."""

    adapter: Adapter
    given: Given
    config: GateConfig
    now: datetime
    look_up: LookUp | None
    warnings: tuple[str, ...]
    enabled: bool  # the gate, and this adapter
    plan_matched: bool


def read_request(
    adapter: str, request: object, *, config: GateConfig | None = None, now: datetime | None = None
) -> Asked:
    """Read a request of `generic-preflight`, `manual` or `force-recall`, as its route takes it.

    `config` gives what the request's own `config` lacks; `now` is aware. Raises:
        GateInputError: if the request, its `config` or its `lookup` is wrong, with every mistake.
        ValueError: if there is no such adapter.
    """
    shape = ADAPTERS.get(adapter)
    if shape is None:
        raise ValueError(f"there is no adapter {adapter!r}; there are {', '.join(ADAPTERS)}")
    now = now or datetime.now(UTC)
    if not isinstance(request, dict):
        message = f"must be an object, and is {kind_of(request)}"
        raise GateInputError([{"pointer": "", "message": message}])
    checked = _config(request, config or GateConfig())
    lookup = request.get("lookup")
    since, mistakes = _since(lookup, now)
    unknown = [key for key in lookup if key != "since"] if isinstance(lookup, dict) else []
    notes = [f"lookup has an unknown key {key!a:.80}" for key in unknown]
    mistakes = [*_config_mistakes(checked), *mistakes]
    given = Given(GateInput())
    try:
        given = shape.read(request)
    except GateInputError as error:
        mistakes = [*error.errors, *mistakes]
    if mistakes or checked.config is None:
        raise GateInputError(mistakes)
    warnings = (*checked.warnings, *notes, *given.warnings)
    config, plan = checked.config, given.input.plan_id
    enabled = config.enabled and shape.config_of(config).enabled
    matched = plan is not None and plan_matches(plan, config.plan_matchers)
    look_up = _look_up(given.input, since) if enabled and matched else None
    return Asked(shape, given, config, now, look_up, warnings, enabled, matched)


def _config(request: Mapping[str, Any], base: GateConfig) -> ConfigCheck:
    own = request.get("config")
    return ConfigCheck(base) if own is None else validate_config(own, base)


def _config_mistakes(checked: ConfigCheck) -> list[dict[str, str]]:
    return [
        {"pointer": _pointer(f"config.{each['path']}"), "message": each["message"]}
        for each in checked.errors
    ]


def _pointer(path: str) -> str:
    """`config.planMatchers[1]` as a JSON pointer."""
    return "/" + path.rstrip(".").replace(".", "/").replace("[", "/").replace("]", "")


def _since(lookup: object, now: datetime) -> tuple[datetime | None, list[dict[str, str]]]:
    """From when on a stored receipt counts, None for no look; and what is wrong."""
    if lookup is False:
        return None, []
    usual = now - LOOKUP_DEFAULT
    if lookup is None or lookup is True:
        return usual, []
    if not isinstance(lookup, dict):
        message = "must be false, or an object with `since`"
        return None, [{"pointer": "/lookup", "message": message}]
    if lookup.get("since") is None:
        return usual, []
    since = parse_time(lookup["since"])
    if since is not None:
        return since, []
    message = "must be a time by RFC 3339 with an offset, as 2026-01-31T09:30:00+08:00"
    return None, [{"pointer": "/lookup/since", "message": message}]


def _look_up(found: GateInput, since: datetime | None) -> LookUp | None:
    plan, task = found.plan_id, found.current_task
    if since is None or found.dispatch_receipt is not None or plan is None or task is None:
        return None
    return LookUp(plan, task, since)


def answer(asked: Asked, stored: Mapping[str, Any] | None = None) -> Json:
    """The contract for a request; `stored` is the receipt that was looked up for it.

    One that was dispatched before `look_up.since` does not count, and is warned of.
    """
    found = asked.given.input
    stored, too_old = _young_enough(asked, stored)
    needs_real = asked.config.require_real_dispatch_receipt
    judged = judge(asked.given, stored, now=asked.now, needs_real=needs_real)
    facts = _facts(asked, counts=judged.counts)
    decision = decide(facts)
    status = decision.row.status
    return {
        "input": found.to_json(),
        "result": {
            "status": status, "ok": decision.ok,
            "reason": decision.row.reason, "reasons": list(decision.reasons),
        },
        "evaluation": {
            "applicable": status != "skip",
            "rule": decision.row.number,
            "legalTerminal": facts.legal_terminal,
            "nextAction": _next_action(found),
            "receipt": judged.to_json(),
            "receiptErrors": judged.errors,
            "warnings": [*asked.warnings, *too_old, *judged.warnings],
            **({"trace": _trace(decision)} if asked.config.debug else {}),
        },
        "block": _block(asked, decision, judged) if status == "fail" else "",
        "meta": {
            "adapterName": asked.adapter.name,
            "hostAgnostic": asked.adapter.host_agnostic,
            "contractVersion": CONTRACT_VERSION,
        },
    }  # fmt: skip


def _young_enough(
    asked: Asked, stored: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    at = None if stored is None else parse_time(stored.get("dispatchedAt"))
    if at is None or asked.look_up is None or at >= asked.look_up.since:
        return stored, ()
    since = asked.look_up.since.isoformat(timespec="seconds")
    return None, (f"the newest stored receipt is from {at.isoformat()}, before {since}",)


def evaluate(
    adapter: str, request: object, *, config: GateConfig | None = None,
    now: datetime | None = None, find: Callable[[LookUp], Mapping[str, Any] | None] | None = None,
) -> Json:  # fmt: skip
    """The contract for a request, in one step; `find` looks a stored receipt up.

    Raises:
        GateInputError: if the request is wrong. ValueError: if there is no such adapter.
    """
    asked = read_request(adapter, request, config=config, now=now)
    stored = find(asked.look_up) if find is not None and asked.look_up is not None else None
    return answer(asked, stored)


def _facts(asked: Asked, *, counts: bool) -> Facts:
    found, config = asked.given.input, asked.config
    closure = found.reply_closure_state
    if closure is not None:
        closure = same_word(closure, config.legal_terminal_states)
    return Facts(
        enabled=asked.enabled,
        plan_matched=asked.plan_matched,
        receipt_counts=counts,
        high_risk_stop=found.high_risk_stop,
        task_state=found.task_state,
        task_boundary_stop=found.task_boundary_stop,
        next_task_known=found.next_task_known,
        same_approved_plan=found.same_approved_plan,
        closure=closure,
        legal_terminal_states=frozenset(config.legal_terminal_states),
        action_present=found.next_derived_action is not None,
        closure_allowed=config.allow_reply_closure_without_dispatch,
    )


def _next_action(found: GateInput) -> Json | None:
    if found.next_task_id is None and found.next_derived_action is None:
        return None
    return {"taskId": found.next_task_id, "action": copied(found.next_derived_action)}


def _trace(decision: Decision) -> list[Json]:
    return [
        {"rule": row.number, "holds": holds, "status": row.status, "reason": row.reason}
        for row, holds in decision.trace
    ]


def _block(asked: Asked, decision: Decision, judged: Judged) -> str:
    label = asked.adapter.config_of(asked.config).inject_block_label
    return build_block(
        label, decision, asked.given.input, asked.config.legal_terminal_states, judged.told()
    )  # fmt: skip
