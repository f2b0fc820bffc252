"""The gate's configuration: the existing file loads, every wrong value is named, nothing shared."""

import copy
import json

import pytest

from ownerreportd import gate

EXAMPLE = json.loads("""
{
  "enabled": true,
  "planMatchers": ["approved-plan"],
  "legalTerminalStates": ["waiting_user", "blocked", "pending_verification"],
  "receiptDir": "state/approved-plan-continuity",
  "requireRealDispatchReceipt": true,
  "allowReplyClosureWithoutDispatch": false,
  "debug": false,
  "adapter": {
    "forceRecall":      {"enabled": true, "injectBlockLabel": "APPROVED_PLAN_CONTINUITY_GATE"},
    "genericPreflight": {"enabled": true, "injectBlockLabel": "APPROVED_PLAN_CONTINUITY_GATE"}
  }
}
""")


def leaves(value, path=()):
    """Every value in it, containers too, with its path."""
    if path:
        yield path
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from leaves(item, (*path, key))


def shown(path):
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def with_value(path, value):
    changed = copy.deepcopy(EXAMPLE)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def test_an_existing_file_loads_unchanged_and_is_the_default():
    found = gate.validate_config(EXAMPLE)
    assert (found.ok, found.errors, found.warnings) == (True, (), ())
    assert found.config.to_json() == EXAMPLE == gate.default_config()
    assert gate.validate_config({}).config == found.config


@pytest.mark.parametrize("path", list(leaves(EXAMPLE)), ids=shown)
@pytest.mark.parametrize("wrong", [7, None, "", " ", "\0", [], {"a": 1}, "lower label", 1.5])
def test_each_single_wrong_value_is_told_with_its_path(path, wrong):
    old = EXAMPLE
    for key in path:
        old = old[key]
    if isinstance(old, str) and wrong == "lower label" and path[-1] != "injectBlockLabel":
        assert gate.validate_config(with_value(path, wrong)).ok
        return
    if isinstance(old, dict) and wrong == {"a": 1}:
        assert gate.validate_config(with_value(path, wrong)).warnings
        return
    if wrong == [] and path in (("legalTerminalStates",), ("planMatchers",)):
        assert gate.validate_config(with_value(path, wrong)).ok  # none is legal, or the gate's
        return
    found = gate.validate_config(with_value(path, wrong))
    assert found.config is None
    assert [each["path"] for each in found.errors] == [shown(path)]
    assert found.errors[0]["code"] in ("wrong_type", "wrong_value")
    assert found.errors[0]["message"]


@pytest.mark.parametrize(
    ("folder", "ok"),
    [("receipts", True), ("/var/lib/receipts", True), ("a..b/c", True), ("../x", False),
     ("a/../../x", False), (".", False), ("./", False), ("a/..", False)],
)  # fmt: skip
def test_a_relative_folder_of_receipts_stays_below_the_spool(folder, ok):
    assert gate.validate_config({"receiptDir": folder}).ok is ok


def test_every_mistake_is_told_at_once_and_an_unknown_key_only_warned_of():
    found = gate.validate_config(
        {"enabled": "yes", "planMatchers": [1, "ok", ""], "more": 1,
         "adapter": {"forceRecall": {"injectBlockLabel": "x"}, "other": {}}}
    )  # fmt: skip
    assert [each["path"] for each in found.errors] == [
        "enabled", "planMatchers[0]", "planMatchers[2]", "adapter.forceRecall.injectBlockLabel",
    ]  # fmt: skip
    assert found.warnings == (
        "adapter has an unknown key 'other'", "the configuration has an unknown key 'more'",
    )  # fmt: skip


@pytest.mark.parametrize("whole", [None, [], "x", 1])
def test_what_is_no_object_is_no_configuration(whole):
    found = gate.validate_config(whole)
    assert [each["path"] for each in found.errors] == [""]
    assert found.to_json()["config"] is None


def test_defaults_are_shared_with_nobody():
    first = gate.default_config()
    first["planMatchers"].append("mine")
    first["adapter"]["forceRecall"]["enabled"] = False
    assert gate.default_config() == EXAMPLE
    given = copy.deepcopy(EXAMPLE)
    config = gate.validate_config(given).config
    given["planMatchers"].clear()
    config.to_json()["legalTerminalStates"].clear()
    assert config.to_json() == EXAMPLE


def test_what_a_configuration_lacks_comes_from_the_base():
    base = gate.validate_config(
        {"debug": True, "adapter": {"forceRecall": {"injectBlockLabel": "MINE"}}}
    ).config
    found = gate.validate_config({"adapter": {"forceRecall": {"enabled": False}}}, base).config
    assert (found.debug, found.force_recall) == (True, gate.AdapterConfig(False, "MINE"))


def test_legal_states_are_words_as_the_rules_compare_them():
    found = gate.validate_config({"legalTerminalStates": ["Waiting-User", "waiting user", "Done"]})
    assert found.config.legal_terminal_states == ("waiting_user", "complete")


@pytest.mark.parametrize(
    ("matcher", "plan", "matches"),
    [
        ("approved-plan", "approved-plan", True),
        ("approved-plan", "Approved-Plan-1", True),
        ("approved-plan", "approved-planning", False),
        ("approved-plan", "my-approved-plan", False),
        *((("p", f"p{c}1", True)) for c in "-_:/.#@ \t\u3000"),
        ("p", "p+1", False),
        ("p", "p", True),
        ("plan-*", "PLAN-7", True),
        ("plan-?", "plan-77", False),
        ("plan-[12]", "plan-2", True),
        ("plan-[12]", "plan-[12]", True),
        ("計畫*", "計畫一", True),
        ("*a*a*a*a*a*a*a*b", "a" * 5000, False),
    ],
)
def test_a_matcher_means_a_plan_by_name_by_prefix_or_by_glob(matcher, plan, matches):
    assert gate.plan_matches(plan, [matcher]) is matches
