"""`force-recall` finds each field where a host has it; all adapters come to the same contract."""

import pytest
from gate_tools import NOW, fields, receipt

from ownerreportd import gate
from ownerreportd.gate import GateInputError

WRAPPER = {
    "planId": ("planId", "approvedPlanId", "plan.id", "plan_id", "approved_plan_id"),
    "currentTask": ("currentTask", "taskId", "task.id", "current_task", "task_id"),
    "taskState": ("taskState", "task.state", "state", "task_state"),
    "replyClosureState": ("replyClosureState", "closureState", "reply.closureState",
                          "reply.closure_state"),
    "dispatchReceipt": ("dispatchReceipt", "receipt", "dispatch.receipt", "dispatch_receipt"),
    "highRiskStop": ("highRiskStop", "stop.highRisk", "stop.high_risk"),
    "taskBoundaryStop": ("taskBoundaryStop", "stop.taskBoundary"),
    "nextDerivedAction": ("nextDerivedAction", "next_derived_action"),
    "nextTaskId": ("nextTaskId",),
    "nextTaskKnown": ("nextTaskKnown",),
    "sameApprovedPlan": ("sameApprovedPlan", "same_approved_plan"),
}  # fmt: skip
PLANNER = {
    "planId": ("planId", "approvedPlanId", "plan.id"),
    "currentTask": ("currentTask", "fromTask", "from_task"),
    "taskState": ("taskState",),
    "replyClosureState": ("replyClosureState",),
    "dispatchReceipt": ("dispatchReceipt", "receipt", "dispatch.receipt"),
    "highRiskStop": ("highRiskStop", "stop.highRisk"),
    "taskBoundaryStop": ("taskBoundaryStop", "stop.taskBoundary"),
    "nextDerivedAction": ("nextDerivedAction", "nextAction", "next.action"),
    "nextTaskId": ("nextTaskId", "nextTask.id", "next.taskId", "next_task.id", "next.task_id"),
    "nextTaskKnown": ("nextTaskKnown",),
    "sameApprovedPlan": ("sameApprovedPlan",),
}
SIDES = {"wrapperResult": WRAPPER, "autoChainPlanResult": PLANNER}
VALUES = {
    "planId": ("approved-plan-1", "approved-plan-2"),
    "currentTask": ("task-3", "task-9"),
    "taskState": ("complete", "failed"),
    "replyClosureState": ("complete", "handed_over"),
    "dispatchReceipt": (receipt(), receipt(dispatchRunId="run-99")),
    "highRiskStop": (True, False),
    "taskBoundaryStop": (True, False),
    "nextDerivedAction": ({"type": "one"}, {"type": "two"}),
    "nextTaskId": ("task-4", "task-5"),
    "nextTaskKnown": (True, False),
    "sameApprovedPlan": (True, False),
}
WRONG = {name: [7] for name in VALUES}
PLACES = [
    (side, field, place)
    for side, places in SIDES.items()
    for field, names in places.items()
    for place in names
]


def placed(path, value, into=None):
    """The object that has the value at a dotted path."""
    whole = {} if into is None else into
    *above, last = path.split(".")
    at = whole
    for name in above:
        at = at.setdefault(name, {})
    at[last] = value
    return whole


def read(**sides):
    return gate.read_request("force-recall", sides, now=NOW).given


@pytest.mark.parametrize(("side", "field", "place"), PLACES)
def test_a_field_is_found_at_each_of_its_places(side, field, place):
    given = read(**{side: placed(place, VALUES[field][0])})
    assert given.input.to_json()[field] == VALUES[field][0]
    assert given.warnings == ()


@pytest.mark.parametrize("field", list(VALUES))
def test_the_first_place_that_has_it_is_taken_and_the_wrapper_comes_first(field):
    mine, other = VALUES[field]
    names = [n for n in WRAPPER[field] if "_" not in n]
    for number, place in enumerate(names):
        wrapper = placed(place, mine)
        for later in names[number + 1 :]:
            placed(later, other, wrapper)
        planner = placed(PLANNER[field][0], other)
        given = read(wrapperResult=wrapper, autoChainPlanResult=planner)
        assert given.input.to_json()[field] == mine


@pytest.mark.parametrize(("side", "field", "place"), PLACES)
def test_a_wrong_type_is_an_error_at_the_first_place_and_else_a_warning(side, field, place):
    canonical = place.replace("_", "").casefold() == field.casefold()
    wrong = {side: placed(place, WRONG[field])}
    if canonical:
        with pytest.raises(GateInputError) as raised:
            read(**wrong)
        assert [each["pointer"] for each in raised.value.errors] == [f"/{side}/{field}"]
        return
    given = read(**wrong)
    assert given.input.to_json()[field] == gate.GateInput().to_json()[field]
    assert len(given.warnings) == 1
    assert given.warnings[0].startswith(f"{side}.")


def test_a_wrong_type_above_a_place_counts_as_absent():
    given = read(wrapperResult={"plan": "x", "task": {"id": "task-3"}}, autoChainPlanResult=None)
    assert (given.input.plan_id, given.input.current_task) == (None, "task-3")
    assert given.warnings == ("wrapperResult.plan.id is not taken: plan is the string 'x'",)


@pytest.mark.parametrize("absent", [None, "", " "])
def test_null_and_blank_give_way_to_the_next_place(absent):
    given = read(
        wrapperResult={"planId": absent, "approvedPlanId": absent},
        autoChainPlanResult={"planId": "approved-plan-1"},
    )
    assert given.input.plan_id == "approved-plan-1"


@pytest.mark.parametrize(
    ("wrapper", "planner", "same"),
    [
        ({"planId": "p"}, {"planId": "p"}, True),
        ({"plan": {"id": "p"}}, {"approvedPlanId": "p"}, True),
        ({"planId": "p"}, {"planId": "q"}, False),
        ({"planId": "p"}, {}, False),
        ({}, {}, False),
        ({"planId": "p", "sameApprovedPlan": False}, {"planId": "p"}, False),
        ({"planId": "p"}, {"planId": "q", "sameApprovedPlan": True}, True),
    ],
)
def test_two_sides_that_name_one_plan_say_that_the_next_task_is_of_it(wrapper, planner, same):
    given = read(wrapperResult=wrapper, autoChainPlanResult=planner)
    assert given.input.same_approved_plan is same


def test_one_side_is_enough_and_none_is_an_error():
    assert read(wrapperResult={}).input == gate.GateInput()
    assert read(auto_chain_plan_result={"plan_id": "p"}).input.plan_id == "p"
    assert read(wrapperResult=None, wrapper_result={"planId": "p"}).input.plan_id == "p"
    for sides in ({}, {"wrapperResult": None, "autoChainPlanResult": None}):
        with pytest.raises(GateInputError, match="must have wrapperResult or autoChainPlanResult"):
            read(**sides)
    with pytest.raises(GateInputError) as raised:
        read(wrapperResult=[], autoChainPlanResult="x")
    assert [each["pointer"] for each in raised.value.errors] == [
        "/wrapperResult", "/autoChainPlanResult",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["dryRun", "dry_run"])
def test_the_planners_dry_run_makes_a_receipt_on_either_side_unreal(name):
    for side in SIDES:
        sides = {"wrapperResult": {}, "autoChainPlanResult": {name: True}}
        sides[side] = {**sides[side], **fields(dispatchReceipt=receipt())}
        contract = gate.evaluate("force-recall", sides, now=NOW)
        assert contract["result"]["reason"] == "missing_auto_next_dispatch"
        assert [e["code"] for e in contract["evaluation"]["receiptErrors"]] == ["dry_run"]
    stored = gate.evaluate(
        "force-recall", {"wrapperResult": fields(), "autoChainPlanResult": {name: True}},
        now=NOW, find=lambda _: receipt(),
    )  # fmt: skip
    assert stored["result"]["reason"] == "dispatched"
    with pytest.raises(GateInputError) as raised:
        read(autoChainPlanResult={name: "yes"})
    assert raised.value.errors[0]["pointer"] == "/autoChainPlanResult/dryRun"


def test_a_receipt_in_snake_case_is_the_same_receipt():
    snake = {
        "plan_id": "approved-plan-1", "current_task": "task-3", "dispatch_run_id": "run-17",
        "child_session_key": "agent:main:subagent:17", "reply_closure_state": "in_progress",
        "dispatched_at": receipt()["dispatchedAt"],
        "next_derived_action": {"type": "message_subagent", "task": "continue"},
    }  # fmt: skip
    assert read(wrapperResult={"receipt": snake}).input.dispatch_receipt == receipt()
    both = {**snake, "planId": "other"}
    assert read(wrapperResult={"receipt": both}).input.dispatch_receipt["planId"] == "other"


def test_each_adapter_has_its_switch_and_its_label():
    config = {"adapter": {
        "forceRecall": {"enabled": False}, "genericPreflight": {"injectBlockLabel": "MINE"},
    }}  # fmt: skip
    results = {
        "manual": gate.evaluate("manual", fields(config=config), now=NOW),
        "generic": gate.evaluate(
            "generic-preflight", {"source": fields(), "config": config}, now=NOW
        ),
        "recall": gate.evaluate(
            "force-recall", {"wrapperResult": fields(), "config": config}, now=NOW
        ),
    }
    assert results["manual"]["block"].startswith("[MINE]\n")
    assert results["generic"]["block"] == results["manual"]["block"]
    assert results["recall"]["result"]["reason"] == "disabled"
    assert [each["meta"] for each in results.values()] == [
        {"adapterName": name, "hostAgnostic": agnostic, "contractVersion": 1}
        for name, agnostic in (
            ("manual-preflight", True), ("generic-preflight", True), ("force-recall", False),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"dispatchReceipt": receipt()}, {"dispatchReceipt": receipt(planId="x")},
        {"taskState": "odd"}, {"nextDerivedAction": "go on"}, {"replyClosureState": None},
        {"planId": "另一個"}, {"highRiskStop": True},
    ],
)  # fmt: skip
def test_the_same_input_gives_the_same_contract_by_every_adapter(changes):
    given = fields(**changes)
    found = [
        gate.evaluate("manual", given, now=NOW),
        gate.evaluate("generic-preflight", {"source": given}, now=NOW),
        gate.evaluate("force-recall", {"wrapperResult": given}, now=NOW),
        gate.evaluate("force-recall", {"autoChainPlanResult": given}, now=NOW),
    ]
    first, *others = [{k: v for k, v in each.items() if k != "meta"} for each in found]
    assert all(other == first for other in others)
