"""From a request to the contract: inputs, adapters, receipts, the block."""

import copy
from datetime import timedelta

import pytest
from gate_tools import NOW, fields, receipt

from ownerreportd import gate
from ownerreportd.gate import GateInputError

REFUSED = "missing_auto_next_dispatch"


def manual(find=None, **changes):
    return gate.evaluate("manual", fields(**changes), now=NOW, find=find)


def reason(contract):
    return contract["result"]["reason"]


# --- the contract --------------------------------------------------------------------------------


def test_the_contract_of_a_refusal_is_that_of_the_design():
    contract = gate.evaluate("generic-preflight", {"source": fields()}, now=NOW)
    assert contract["input"] == fields(replyClosureState="complete", highRiskStop=False)
    assert contract["result"] == {
        "status": "fail", "ok": False, "reason": REFUSED,
        "reasons": [REFUSED, "missing_dispatch_receipt"],
    }  # fmt: skip
    assert contract["evaluation"] == {
        "applicable": True, "rule": 5, "legalTerminal": False,
        "nextAction": {
            "taskId": "task-4", "action": {"type": "message_subagent", "task": "continue"},
        },
        "receipt": {
            "present": False, "source": None, "valid": False, "real": False, "matches": False,
        },
        "receiptErrors": [], "warnings": [],
    }  # fmt: skip
    assert contract["meta"] == {
        "adapterName": "generic-preflight", "hostAgnostic": True, "contractVersion": 1,
    }  # fmt: skip
    assert contract["block"].splitlines()[0] == "[APPROVED_PLAN_CONTINUITY_GATE]"
    assert contract["block"].splitlines()[-1] == "[/APPROVED_PLAN_CONTINUITY_GATE]"


def test_a_receipt_in_the_input_lets_the_agent_go():
    contract = manual(dispatchReceipt=receipt())
    assert (reason(contract), contract["block"]) == ("dispatched", "")
    assert contract["evaluation"]["receipt"] == {
        "present": True, "source": "input", "valid": True, "real": True, "matches": True,
    }  # fmt: skip


def test_debug_shows_every_row():
    trace = manual(config={"debug": True})["evaluation"]["trace"]
    assert [row["rule"] for row in trace] == list(range(1, 14))
    assert [row["rule"] for row in trace if row["holds"]] == [5, 9, 10, 11, 13]
    assert "trace" not in manual()["evaluation"]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"dispatchRunId": None}, ["invalid"]),
        ({"dryRun": True}, ["dry_run"]),
        ({"childSessionKey": "todo"}, ["placeholder"]),
        ({"planId": "approved-plan-2"}, ["plan_mismatch"]),
        ({"currentTask": "task-2"}, ["task_mismatch"]),
        ({"dispatchedAt": "2026-03-01T12:05:01Z"}, ["from_the_future"]),
        (
            {"planId": "p", "currentTask": "t", "dryRun": True, "dispatchRunId": "-",
             "replyClosureState": 7},
            ["invalid", "dry_run", "placeholder", "plan_mismatch", "task_mismatch"],
        ),
    ],
)  # fmt: skip
def test_a_receipt_that_does_not_count_says_why(changes, codes):
    contract = manual(dispatchReceipt=receipt(**changes))
    errors = contract["evaluation"]["receiptErrors"]
    assert (reason(contract), [each["code"] for each in errors]) == (REFUSED, codes)
    assert ("fields" in errors[0]) == (codes[0] == "invalid")
    assert f"receipt: that of the input is not accepted ({', '.join(codes)})" in contract["block"]


@pytest.mark.parametrize("changes", [{"dryRun": True}, {"dispatchRunId": "test"}])
def test_a_rehearsal_counts_where_no_real_dispatch_is_asked_for(changes):
    contract = manual(
        dispatchReceipt=receipt(**changes), config={"requireRealDispatchReceipt": False}
    )
    assert reason(contract) == "dispatched"
    assert contract["evaluation"]["receipt"]["real"] is False
    assert contract["evaluation"]["receiptErrors"] == []


def test_at_a_task_boundary_the_block_offers_no_closing_that_would_not_count():
    assert "waiting_user" not in manual()["block"]
    elsewhere = manual(taskBoundaryStop=False)
    assert elsewhere["evaluation"]["rule"] == 9
    assert "waiting_user, blocked, pending_verification" in elsewhere["block"]


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ({"type": "message_subagent", "task": "", "message": "hello"}, "message_subagent: hello"),
        ({"type": "run_command", "command": ["make"]}, "run_command"),
        ({"type": " " * 1700 + "late"}, "late"),
        ({"type": "x" * 300}, "x" * 199 + "…"),
    ],
)
def test_the_block_names_the_next_action(action, shown):
    block = manual(nextDerivedAction=action)["block"]
    assert f"\nnext action: dispatch task-4 by {shown}\n" in block


# --- the look-up ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({}, "2026-02-28T12:00:00+00:00"),
        ({"lookup": None}, "2026-02-28T12:00:00+00:00"),
        ({"lookup": True}, "2026-02-28T12:00:00+00:00"),
        ({"lookup": {}}, "2026-02-28T12:00:00+00:00"),
        ({"lookup": {"since": "2026-01-01T08:00:00+08:00"}}, "2026-01-01T00:00:00+00:00"),
        ({"lookup": False}, None),
        ({"dispatchReceipt": {"a": 1}}, None),
        ({"planId": "other"}, None),
        ({"planId": None}, None),
        ({"currentTask": " "}, None),
        ({"config": {"enabled": False}}, None),
        ({"config": {"adapter": {"genericPreflight": {"enabled": False}}}}, None),
    ],
)
def test_when_and_from_when_a_stored_receipt_is_looked_for(changes, since):
    asked = gate.read_request("manual", fields(**changes), now=NOW)
    found = asked.look_up
    assert (found and found.since.isoformat()) == since
    if found:
        assert (found.plan_id, found.current_task) == ("approved-plan-1", "task-3")


def test_a_stored_receipt_counts_like_one_in_the_input():
    contract = manual(find=lambda _: receipt())
    assert reason(contract) == "dispatched"
    assert contract["evaluation"]["receipt"]["source"] == "store"
    assert contract["input"]["dispatchReceipt"] is None


def test_a_stored_receipt_from_before_since_does_not_count_and_is_warned_of():
    old = receipt(NOW - timedelta(hours=25))
    contract = manual(find=lambda _: old)
    assert (reason(contract), contract["evaluation"]["receipt"]["present"]) == (REFUSED, False)
    [warning] = contract["evaluation"]["warnings"]
    times = ("2026-02-28T11:00:00+00:00", "2026-02-28T12:00:00+00:00")
    assert warning == "the newest stored receipt is from {}, before {}".format(*times)
    since = {"since": "2026-02-28T11:00:00Z"}
    assert reason(manual(find=lambda _: old, lookup=since)) == "dispatched"


def test_a_stored_receipt_that_is_no_proof_is_named_as_stored():
    contract = manual(find=lambda _: receipt(dispatchRunId="test"))
    assert "receipt: the newest stored one is not accepted (placeholder)" in contract["block"]


def test_what_is_ignored_and_looks_as_if_it_was_meant_is_warned_of():
    warnings = manual(
        taskstate="done", sameApprovedPlan_=True, source={}, comment="x", lookup={"sinse": 1},
        config={"enabeld": False},
    )["evaluation"]["warnings"]  # fmt: skip
    assert warnings == [
        "the configuration has an unknown key 'enabeld'",
        "lookup has an unknown key 'sinse'",
        "'taskstate' is ignored: is taskState meant?",
        "'sameApprovedPlan_' is ignored: is sameApprovedPlan meant?",
        "'source' is ignored: it is a field of the adapter generic-preflight",
    ]


@pytest.mark.parametrize("lookup", [7, "no", [], {"since": "noon"}, {"since": 7}])
def test_a_wrong_look_up_is_an_input_error(lookup):
    with pytest.raises(GateInputError) as raised:
        manual(lookup=lookup)
    assert raised.value.errors[0]["pointer"].startswith("/lookup")


# --- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "state"),
    [
        *((word, "complete") for word in ("complete", "Completed", "DONE", "finished ")),
        *((word, "in_progress") for word in ("in_progress", "In Progress", "in-progress",
                                             "running", "active", "inprogress")),
        ("blocked", "blocked"), ("WAITING-USER", "waiting_user"), ("failed", "failed"),
        ("pending verification", "pending_verification"), ("unknown", "unknown"),
        (None, "unknown"), (" ", "unknown"), ("almost", "unknown"), ("---", "unknown"),
    ],
)  # fmt: skip
def test_task_states_by_their_aliases(said, state):
    found, warnings = gate.normalize_input({"taskState": said})
    assert found.task_state == state
    assert bool(warnings) == (said in ("almost", "---"))


def test_an_unknown_closing_word_is_kept_in_the_same_spelling_as_the_legal_states():
    found, _ = gate.normalize_input({"replyClosureState": "Handed Over"})
    assert found.reply_closure_state == "handed_over"
    legal = manual(
        replyClosureState="Handed Over", taskBoundaryStop=False,
        config={"legalTerminalStates": ["handed-over"]},
    )  # fmt: skip
    assert reason(legal) == "legal_terminal_state"
    squashed = manual(
        replyClosureState="needsReview", taskBoundaryStop=False,
        config={"legalTerminalStates": ["needs_review"]},
    )  # fmt: skip
    assert reason(squashed) == "legal_terminal_state"
    assert squashed["input"]["replyClosureState"] == "needsreview"


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({}, False), ({"nextTaskId": "t"}, True), ({"nextTaskId": " "}, False),
        ({"nextTaskId": "t", "nextTaskKnown": False}, False), ({"nextTaskKnown": True}, True),
    ],
)  # fmt: skip
def test_a_next_task_is_known_where_it_is_named(given, known):
    assert gate.normalize_input(given)[0].next_task_known is known


@pytest.mark.parametrize(
    ("given", "action"),
    [
        (None, None), ({}, None), (" ", None), ("go on", {"type": "go on"}),
        ({"type": "x", "n": 1}, {"type": "x", "n": 1}),
    ],
)  # fmt: skip
def test_a_next_action_in_each_shape(given, action):
    assert gate.normalize_input({"nextDerivedAction": given})[0].next_derived_action == action


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, 7) for name in fields()),
        *((name, []) for name in fields()),
        ("highRiskStop", "true"),
        ("planId", True),
        ("planId", "\ud800"),
        ("nextDerivedAction", {"task": "x"}),
        ("nextDerivedAction", {"type": 7}),
        ("dispatchReceipt", "x"),
        ("dispatchReceipt", deep(40)),
        ("dispatchReceipt", {"a": float("nan")}),
        ("dispatchReceipt", {"a": 10**400}),
        ("dispatchReceipt", {"a": {1: 2}}),
        ("dispatchReceipt", {"a": {1}}),
        ("dispatchReceipt", {"\udfff": 1}),
    ],
)
def test_a_wrong_type_is_an_error_and_never_a_guess(name, wrong):
    with pytest.raises(GateInputError) as raised:
        gate.normalize_input({name: wrong}, at="/source")
    assert [each["pointer"] for each in raised.value.errors] == [f"/source/{name}"]


def test_every_wrong_field_is_told_at_once():
    with pytest.raises(GateInputError) as raised:
        manual(planId=1, taskState=2, lookup=3, config={"enabled": 4, "planMatchers": [5]})
    assert [each["pointer"] for each in raised.value.errors] == [
        "/planId", "/taskState", "/config/enabled", "/config/planMatchers/0", "/lookup",
    ]  # fmt: skip


@pytest.mark.parametrize("adapter", list(gate.ADAPTERS))
@pytest.mark.parametrize("request_", [None, [], "x", 7])
def test_a_request_that_is_no_object_is_an_input_error(adapter, request_):
    with pytest.raises(GateInputError):
        gate.evaluate(adapter, request_, now=NOW)


def test_what_the_caller_does_with_its_values_later_changes_no_contract():
    given = fields(dispatchReceipt=receipt(), nextDerivedAction={"type": "x", "deep": [1]})
    contract = gate.evaluate("manual", given, now=NOW)
    before = copy.deepcopy(contract)
    given["dispatchReceipt"].clear()
    given["nextDerivedAction"]["deep"].append(2)
    assert contract == before
    with pytest.raises(ValueError, match="'no-such'; there are generic-preflight, manual"):
        gate.evaluate("no-such", {})
    with pytest.raises(GateInputError, match="source must be an object"):
        gate.evaluate("generic-preflight", {})
    with pytest.raises(GateInputError, match="those of the adapter `manual`"):
        gate.evaluate("generic-preflight", fields())
