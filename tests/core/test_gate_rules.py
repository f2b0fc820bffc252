"""The gate's table against the same rules written out by hand, over the whole product."""

import itertools

from gate.gate_tools import LEGAL, row

from ownerreportd.core.gate_rules import REASONS, ROWS, Facts, decide

STATES = (
    "complete", "in_progress", "blocked", "waiting_user", "pending_verification", "failed",
    "unknown",
)  # fmt: skip
CLOSURES = (None, "completed_by_me", *STATES)
FLAGS = (False, True)


def expected(f):
    """Number, status and reason, by the table written out by hand."""
    if not f.enabled:
        return 1, "skip", "disabled"
    return row(
        f.plan_matched, f.receipt_counts, f.high_risk_stop, f.task_state, f.task_boundary_stop,
        f.next_task_known and f.same_approved_plan, f.closure, f.action_present, f.closure_allowed,
    )  # fmt: skip


def product():
    for (
        on,
        matched,
        counts,
        risk,
        state,
        boundary,
        known,
        same,
        closure,
        action,
        allowed,
    ) in itertools.product(
        FLAGS, FLAGS, FLAGS, FLAGS, STATES, FLAGS, FLAGS, FLAGS, CLOSURES, FLAGS, FLAGS
    ):
        yield Facts(
            enabled=on, plan_matched=matched, receipt_counts=counts, high_risk_stop=risk,
            task_state=state, task_boundary_stop=boundary, next_task_known=known,
            same_approved_plan=same, closure=closure, legal_terminal_states=LEGAL,
            action_present=action, closure_allowed=allowed,
        )  # fmt: skip


def test_every_combination_gives_the_row_of_the_design():
    rows = set()
    for facts in product():
        decision = decide(facts)
        number, status, reason = expected(facts)
        assert (decision.row.number, decision.row.status, decision.row.reason) == (
            number, status, reason,
        ), facts  # fmt: skip
        assert decision.ok == (status != "fail")
        rows.add(number)
    assert rows == set(range(1, 14))


def test_a_refusal_tells_its_reason_first_and_then_what_else_is_wrong():
    seen = set()
    for facts in product():
        reasons = decide(facts).reasons
        seen.add(reasons)
        if decide(facts).ok:
            assert reasons == ()
            continue
        number, _, reason = expected(facts)
        approved = facts.next_task_known and facts.same_approved_plan
        others = {
            "missing_auto_next_dispatch": (
                facts.task_state == "complete" and facts.task_boundary_stop and approved
            ) or (approved and facts.task_state in ("complete", "unknown")),
            "missing_dispatch_receipt": facts.action_present,
        }  # fmt: skip
        assert reasons[0] == reason
        assert set(reasons[1:]) == {name for name, holds in others.items() if holds} - {reason}
        assert len(reasons) == len(set(reasons))
        assert number in (5, 9, 10, 13)
    assert seen == {
        (),
        ("missing_auto_next_dispatch",),
        ("missing_auto_next_dispatch", "missing_dispatch_receipt"),
        ("missing_dispatch_receipt",),
        ("missing_dispatch_receipt", "missing_auto_next_dispatch"),
        ("illegal_reply_closure",),
    }


def test_the_table_is_whole_and_numbered():
    assert [row.number for row in ROWS] == list(range(1, 14))
    assert set(REASONS) == {row.reason for row in ROWS}
    assert len(REASONS) == 11


def test_the_trace_has_every_rows_own_truth():
    facts = next(f for f in product() if f.enabled and f.plan_matched and f.action_present)
    trace = decide(facts).trace
    assert [row.number for row, _ in trace] == list(range(1, 14))
    assert {row.number for row, holds in trace if holds} >= {9, 13}
