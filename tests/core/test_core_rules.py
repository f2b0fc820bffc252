"""The small rules: where to, how long to wait, what things are called."""

import re

import pytest

from ownerreportd.core import errors, events
from ownerreportd.core.backoff import Backoff, probe_delay_s
from ownerreportd.core.channel import Part, measure
from ownerreportd.core.clock import Clock
from ownerreportd.core.compose import with_metadata
from ownerreportd.core.lane import step
from ownerreportd.core.lane_words import (
    Arrived,
    Cleared,
    Fetch,
    Head,
    Hindered,
    Lane,
    Left,
    PartState,
    Phase,
    Retried,
)
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    outcome_name,
)
from ownerreportd.core.report import Report
from ownerreportd.core.routing import Decision, Route, Routing

KNOWN = frozenset({"owner", "phone", "team"})


# --- routing -------------------------------------------------------------------------------------


def decided(report, *routes, override=()):
    return Routing(("owner",), KNOWN, routes, override).decide(report)


def test_a_report_goes_to_the_default_unless_it_names_its_own():
    assert decided(Report("i", "b")) == Decision(("owner",), ())
    assert decided(Report("i", "b", to=("phone", "phone"))) == Decision(("phone",), ())


def test_the_defaults_stand_in_for_a_name_that_is_unknown():
    report = Report("i", "b", to=("phone", "nobody"))
    assert decided(report) == Decision(("phone", "owner"), ("nobody",))
    assert decided(Report("i", "b", to=("nobody", "owner"))).destinations == ("owner",)


def test_the_first_route_that_matches_replaces_or_adds():
    failed = Route({"status": ("failed", "blocked")}, also_to=("phone",))
    prod = Route({"team": ("prod-*",)}, to=("team",))
    assert decided(Report("i", "b", status="failed"), failed, prod).destinations == (
        "owner", "phone",
    )  # fmt: skip
    assert decided(Report("i", "b", team="prod-1"), failed, prod).destinations == ("team",)
    both = Report("i", "b", team="prod-1", status="failed")
    assert decided(both, failed, prod).destinations == ("owner", "phone")
    assert decided(Report("i", "b", team="Prod-1"), failed, prod).destinations == ("owner",)


def test_every_field_of_a_route_must_match():
    route = Route({"team": ("a",), "status": ("f?iled", "[bx]locked")}, to=("phone",))
    assert decided(Report("i", "b", team="a", status="failed"), route).destinations == ("phone",)
    assert decided(Report("i", "b", team="a", status="blocked"), route).destinations == ("phone",)
    assert decided(Report("i", "b", team="a", status="done"), route).destinations == ("owner",)
    assert decided(Report("i", "b", team="b", status="failed"), route).destinations == ("owner",)
    assert decided(Report("i", "b"), Route({"nonsense": ("x",)}, to=("phone",))) == Decision(
        ("owner",), ()
    )


def test_what_a_report_names_is_not_replaced_by_a_route_and_is_added_to():
    route = Route({}, to=("team",), also_to=("phone",))
    assert decided(Report("i", "b", to=("owner",)), route).destinations == ("owner", "phone")


def test_an_override_takes_the_place_of_everything():
    route = Route({}, also_to=("phone",))
    report = Report("i", "b", to=("nobody",))
    assert decided(report, route, override=("team",)) == Decision(("team",), ())


# --- backoff -------------------------------------------------------------------------------------


def test_delays_grow_to_the_ceiling_and_are_spread():
    steady = Backoff(2, 2, 300, 0)
    assert [steady.delay_s(n, 0.5) for n in (1, 2, 3, 8, 9, 10_000)] == [2, 4, 8, 256, 300, 300]
    spread = Backoff(10, 2, 300, 0.2)
    assert [spread.delay_s(1, chance) for chance in (0, 0.5)] == [8, 10]
    assert spread.delay_s(50, 0.99) == 300


def test_probes_become_rarer():
    assert [probe_delay_s(n) / 60 for n in range(6)] == [1, 5, 15, 60, 60, 60]


# --- events, outcomes, errors --------------------------------------------------------------------


def test_every_kind_of_event_is_a_word_and_a_deed():
    assert len(events.KINDS) == 22
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", kind) for kind in events.KINDS)
    assert "lane.blocked" in events.KINDS


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Confirmed(Receipt("1")), "confirmed"),
        (Throttled(1), "throttled"),
        (NotSent("x"), "not_sent"),
        (InDoubt("x"), "in_doubt"),
        (Rejected("c", "report", "d", "h"), "rejected"),
    ],
)
def test_every_outcome_has_its_name(outcome, name):
    assert outcome_name(outcome) == name


def test_an_error_says_what_happened_and_what_to_do():
    error = errors.StorageError("the disk is full", hint="make room")
    assert (str(error), error.hint, error.code) == ("the disk is full", "make room", "storage")
    assert errors.StorageError("x", hint="h", code="ledger").code == "ledger"
    assert errors.StorageError.code == "storage"
    config = errors.ConfigError("two mistakes", hint="h", mistakes=("a", "b"))
    assert (config.mistakes, config.exit_status) == (("a", "b"), 78)


def test_every_error_has_a_code_of_its_own_and_a_known_exit_status():
    kinds = errors.OperatorError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.exit_status for kind in kinds} <= {64, 65, 66, 69, 73, 74, 75, 76, 77, 78}
    assert all(400 <= kind.http_status < 600 for kind in kinds)


# --- channel and clock ---------------------------------------------------------------------------


def test_a_part_sends_the_bytes_of_its_form():
    part = Part(1, 1, b"plain", b"marked", "key")
    assert part.payload == b"plain"
    assert part.as_form("marked").payload == b"marked"
    assert part.as_form("marked").as_form("plain") == part


def test_text_is_measured_in_the_channels_own_unit():
    text = "a任\N{GRINNING FACE}"
    units = ("code_points", "utf16", "bytes")
    assert [measure(text, unit) for unit in units] == [3, 4, 8]
    assert [measure("\udcff", unit) for unit in units] == [1, 1, 3]


def test_a_clock_is_a_protocol():
    assert {"monotonic", "utc"} <= set(dir(Clock))


# --- a disk or ledger that failed ----------------------------------------------------------------


@pytest.mark.parametrize("code", ["disk_error", "ledger"])
def test_after_a_failed_disk_only_a_restart_lets_the_lane_go_on(code):
    lane, _ = step(Lane(), Arrived(Head(7, (PartState(1),)), 0))
    lane, _ = step(lane, Hindered(code, "fsync", "restart", 1))
    assert step(lane, Retried(2)) == (lane, ())
    assert step(lane, Hindered("disk_full", "full", "room", 2)) == (lane, ())
    assert step(lane, Cleared("disk_full", 2)) == (lane, ())
    left, commands = step(lane, Left(2))
    assert (left.phase, left.head, left.block, commands) == (Phase.BLOCKED, None, lane.block, ())


def test_another_hindrance_can_be_left():
    lane, _ = step(Lane(), Arrived(Head(7, (PartState(1),)), 0))
    lane, _ = step(lane, Hindered("disk_full", "full", "room", 1))
    assert step(lane, Left(2)) == (Lane(), (Fetch(),))


# --- a report from fields: what a cautious look at front matter takes for no mapping --------------


@pytest.mark.parametrize(
    ("block", "extended"),
    [
        (b'title: "a: b"\n', True),
        (b'title: "a: b\n', False),
        (b'title: "a" "b"\n', False),
        (b"title: \xff\n", False),
        (b"title:\n", True),
    ],
)
def test_metadata_goes_into_a_block_only_where_it_surely_is_one(block, extended):
    data = b"---\n" + block + b"---\ntext\n"
    made = with_metadata(data, title="T", to=())
    assert made.endswith(b"---\ntext\n")
    assert made.count(b"---\n") == (2 if extended else 4)
