"""What makes a receipt a proof, field by field."""

from datetime import timedelta

import pytest
from gate_tools import NOW, receipt

from ownerreportd import gate


def pointers(given):
    return [each["pointer"] for each in gate.validate_receipt(given, NOW).problems()]


def test_a_whole_receipt_is_valid_and_real():
    found = gate.validate_receipt(receipt(), NOW)
    assert (found.valid, found.real, found.warnings) == (True, True, ())
    assert found.receipt == receipt()
    assert gate.is_valid_receipt(receipt(), NOW)


@pytest.mark.parametrize("name", list(receipt()))
@pytest.mark.parametrize("wrong", [None, "", "  ", 7, [], {}, True, "x" * 257, "\ud800"])
def test_each_missing_or_wrong_field_is_told(name, wrong):
    given = receipt(**{name: wrong})
    long_is_fine = name in ("replyClosureState", "nextDerivedAction") and wrong == "x" * 257
    assert pointers(given) == ([] if long_is_fine else [f"/{name}"])


@pytest.mark.parametrize("whole", [None, [], "x", 7])
def test_what_is_no_object_is_no_receipt(whole):
    assert pointers(whole) == [""]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T20:00:00+08:00", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01t12:00:00z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01 12:00:00.123456789Z", "2026-03-01T12:00:00.123456+00:00"),
        ("2026-03-01T12:00:60Z", "2026-03-01T12:00:59+00:00"),
        ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500000+00:00"),
        *((text, None) for text in (
            "2026-03-01T12:00:00", "2026-03-01", "2026-02-30T12:00:00Z", "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+05:00", "2026-03-01T12:00:00+8:00", "2026-03-01T12:00:00+25:00",
            "２０２６-03-01T12:00:00Z", "2026-03-01T12:00:00Z\n", "", 7, None,
        )),
    ],
)  # fmt: skip
def test_times_are_those_of_rfc_3339_with_an_offset(text, utc):
    found = gate.parse_time(text)
    assert (found and found.isoformat()) == utc


@pytest.mark.parametrize(("ahead_s", "valid"), [(299, True), (300, True), (301, False)])
def test_five_minutes_ahead_of_the_clock_is_as_far_as_it_goes(ahead_s, valid):
    given = receipt(NOW + timedelta(seconds=ahead_s))
    assert pointers(given) == ([] if valid else ["/dispatchedAt"])
    assert gate.validate_receipt(given, NOW).ahead is not valid


@pytest.mark.parametrize("name", ["dispatchRunId", "childSessionKey"])
@pytest.mark.parametrize(
    "text",
    ["dry-run", "DryRun", "dry_run", "Test", "fake", "mock", "placeholder", "TODO", "tbd", "none",
     "null", "N/A", "unknown", "-", "dry-run-7", "DRYRUN7", "dry_run:x", " test "],
)  # fmt: skip
def test_a_placeholder_is_not_real(name, text):
    found = gate.validate_receipt(receipt(**{name: text}), NOW)
    assert (found.valid, found.unreal) == (True, ("placeholder",))


@pytest.mark.parametrize("text", ["testing-1", "run-test", "nonesuch", "a-dry-run", "--"])
def test_a_name_that_only_looks_like_one_is_real(text):
    assert gate.validate_receipt(receipt(dispatchRunId=text), NOW).real


@pytest.mark.parametrize("name", ["dryRun", "dry_run"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_dry_run_is_not_real(name, inside):
    action = {"type": "message_subagent", "task": "x"}

    def given(value):
        if inside:
            return receipt(nextDerivedAction={**action, name: value})
        return receipt(**{name: value})

    assert gate.validate_receipt(given(True), NOW).unreal == ("dry_run",)
    assert gate.validate_receipt(given(False), NOW).real
    assert pointers(given("true")) == [f"/nextDerivedAction/{name}" if inside else f"/{name}"]


@pytest.mark.parametrize(
    ("action", "valid"),
    [
        ({"type": "message_subagent", "message": "go"}, True),
        ({"type": "message_subagent", "message": " "}, False),
        ({"type": "message_subagent"}, False),
        ({"type": "spawn_subagent", "task": "go"}, True),
        ({"type": "spawn_subagent", "message": "go"}, False),
        ({"type": "run_command", "command": "make"}, True),
        ({"type": "run_command", "command": ["make", "test"]}, True),
        ({"type": "run_command", "command": []}, False),
        ({"type": "wait", "until": 1790000000}, True),
        ({"type": "wait", "until": False}, False),
        ({"type": "wait", "until": "noon"}, True),
        ({"type": "wait", "reason": "a build"}, True),
        ({"type": "wait"}, False),
        ("wait", False),
        ({"type": " "}, False),
        ({"task": "x"}, False),
    ],
)
def test_known_actions_need_what_they_are_about(action, valid):
    assert pointers(receipt(nextDerivedAction=action)) == ([] if valid else ["/nextDerivedAction"])


@pytest.mark.parametrize("action", [{"type": "open_ticket"}, "open_ticket"])
def test_an_unknown_action_passes_with_a_warning(action):
    found = gate.validate_receipt(receipt(nextDerivedAction=action), NOW)
    assert found.valid
    assert found.warnings == ("the action type 'open_ticket' is not known",)


def test_a_receipt_has_room_for_what_a_host_adds_and_not_for_everything():
    assert pointers(receipt(extra="x" * 60_000)) == []
    assert pointers(receipt(extra="x" * 66_000)) == [""]


def test_the_name_of_a_file_tells_time_plan_and_task_and_stays_in_its_folder():
    name = gate.receipt_name(receipt())
    assert name.startswith("20260301T115900Z-approved-plan-1-task-3-")
    assert name.endswith(".json")
    assert name == gate.receipt_name(dict(reversed(receipt().items())))
    assert name != gate.receipt_name(receipt(dispatchRunId="run-18"))
    odd = gate.receipt_name(receipt(planId="../../etc/passwd\0", currentTask="計" * 200))
    assert "/" not in odd
    assert "\0" not in odd
    assert len(odd.encode()) <= 255
    early = gate.receipt_name({**receipt(), "dispatchedAt": "0007-01-01T00:00:00Z"})
    assert early.startswith("00070101T000000Z-")
    with pytest.raises(ValueError, match="dispatchedAt"):
        gate.receipt_name({**receipt(), "dispatchedAt": "noon"})
