"""Names, ids and keys: the same everywhere, never empty, never too long, never another's."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownerreportd.core.report import (
    Report,
    derived_id,
    fitted_name,
    id_in_name,
    is_valid_id,
    numbered_name,
    part_key,
    shown_name,
    slug,
    submit_name,
    time_in_name,
    written_at,
)

AT = datetime(2026, 11, 22, 10, 54, 0, 123456, tzinfo=UTC)
ids = st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z")
texts = st.text(max_size=80)


# --- slug ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("general task", "general-task"),
        ("  a -- b  ", "a-b"),
        ("任務 回報", "任務-回報"),
        ("Übersetzung №5", "Übersetzung-5"),
        ("हिन्दी", "हिन्दी"),
        ("", "x"),
        ("...", "x"),
        (".", "x"),
        ("..", "x"),
        ("../../etc/passwd", "etc-passwd"),
        ("\udcff", "x"),
        ("a" * 61, "a" * 60),
        ("é" * 31, "é" * 30),
        ("任" * 21, "任" * 20),
        ("x" + "任" * 20, "x" + "任" * 19),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_a_slug_keeps_letters_and_digits_of_any_script(text, expected):
    assert slug(text) == expected


@given(texts)
def test_a_slug_is_1_to_60_bytes_of_what_may_be_in_a_name(text):
    made = slug(text)
    assert 1 <= len(made.encode()) <= 60
    assert made not in {".", ".."}
    assert not made.startswith("-")
    assert not made.endswith("-")
    assert "--" not in made
    assert all(c == "-" or unicodedata.category(c)[0] in "LNM" for c in made)
    assert slug(made) == made


# --- the name that submit gives ------------------------------------------------------------------


@given(ids, texts, texts, st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_a_submitted_name_gives_back_its_time_and_its_id(report_id, team, task_id, at):
    at = at.replace(tzinfo=UTC)
    name = submit_name(at, team, task_id, report_id)
    assert time_in_name(name) == at
    assert id_in_name(name, team, task_id) == report_id
    assert len(name.encode()) <= 255
    assert "/" not in name


def test_an_id_and_a_slug_full_of_hyphens_are_told_apart():
    name = submit_name(AT, "team-a", "task-1-b", "-id-with-hyphens-")
    assert name == "20261122T105400.123456Z-team-a-task-1-b--id-with-hyphens-.md"
    assert id_in_name(name, "team-a", "task-1-b") == "-id-with-hyphens-"
    assert id_in_name(name, "team-a", "task-1") != "-id-with-hyphens-"


def test_the_time_in_a_name_is_utc_whatever_the_clock_was_set_to():
    local = AT.astimezone(timezone(timedelta(hours=8)))
    assert submit_name(local, "", "", "id") == "20261122T105400.123456Z-x-id.md"


@pytest.mark.parametrize(
    "name",
    [
        "report.md",
        "20261122T105400Z-x-id.md",
        "20261122T105400.123456Z-x-id.txt",
        "20261322T105400.123456Z-x-id.md",
        "20261122T105400.123456Z-.md",
        "２０２６1122T105400.123456Z-x-id.md",
    ],
)
def test_any_other_name_carries_neither(name):
    assert id_in_name(name, "", "") is None
    assert time_in_name(name) is None or name.endswith("Z-.md")


@pytest.mark.parametrize("report_id", ["", "a b", "ä", "x" * 65, "a/b"])
def test_an_id_in_a_name_must_be_valid(report_id):
    assert not is_valid_id(report_id)
    assert id_in_name(f"20261122T105400.123456Z-x-{report_id}.md", "", "") is None


@given(ids)
def test_what_the_pattern_allows_is_a_valid_id(report_id):
    assert is_valid_id(report_id)


# --- derived ids and keys ------------------------------------------------------------------------


def test_a_derived_id_is_valid_the_same_everywhere_and_depends_on_everything():
    first = derived_id(b"a.md", 1, b"text")
    assert re.fullmatch("[a-z2-7]{26}", first)
    others = {
        derived_id(b"b.md", 1, b"text"),
        derived_id(b"a.md", 2, b"text"),
        derived_id(b"a.md", 1, b"Text"),
        derived_id(b"a.md1", 1, b"text"),
    }
    assert len(others | {first}) == 5
    assert derived_id(b"a.md", 1, b"text") == first


@given(st.lists(st.text(max_size=5), min_size=4, max_size=4), st.integers(1), st.integers(0))
def test_a_key_fits_every_channel_and_belongs_to_one_part(fields, number, generation):
    key = part_key(*fields, number=number, generation=generation)
    assert re.fullmatch("[a-z2-7]{24}", key)
    assert key == part_key(*fields, number=number, generation=generation)
    assert key != part_key(*fields, number=number + 1, generation=generation)
    assert key != part_key(*fields, number=number, generation=generation + 1)
    for place in range(4):
        changed = [*fields]
        changed[place] += "x"
        assert key != part_key(*changed, number=number, generation=generation)


# --- names that are taken, too long, or odd ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        (b"a.md", 1, b"a.md"),
        (b"a.md", 2, b"a~2.md"),
        (b"a.b.md", 3, b"a.b~3.md"),
        (b"noend", 1, b"noend"),
        (b"noend", 2, b"noend~2"),
        (b"\xff.md", 2, b"\xff~2.md"),
    ],
)
def test_a_taken_name_gets_a_number_before_its_ending(name, number, expected):
    assert numbered_name(name, number) == expected


@given(st.binary(min_size=200, max_size=252), st.integers(1, 99_999))
def test_a_numbered_name_is_never_too_long(stem, number):
    name = stem.replace(b"/", b"_").replace(b"\0", b"_") + b".md"
    made = numbered_name(name, number)
    assert len(made) <= 255
    assert made.endswith(b".md")
    assert made != numbered_name(name, number + 1)


def test_long_names_that_differ_where_they_are_cut_stay_different():
    one, two = (numbered_name(b"a" * 250 + last + b".md", 2) for last in (b"b", b"c"))
    assert one != two
    assert len(fitted_name("任".encode() * 85, b".reason.txt")) <= 255
    fitted_name("任".encode() * 85, b".reason.txt").decode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.md", "a.md"),
        ("任務.md".encode(), "任務.md"),
        (b"not-\xff\xfe.md", "not-\\xff\\xfe.md"),
        (b"new\nline.md", "new\\nline.md"),
        (b"\x1b[31m.md", "\\x1b[31m.md"),
    ],
)
def test_a_shown_name_can_be_printed(name, expected):
    assert shown_name(name) == expected


# --- what a report says of itself ----------------------------------------------------------------


def test_a_heading_is_the_title_else_the_task():
    assert Report("i", "b", title="T", task_id="t").heading == "T"
    assert Report("i", "b", task_id="t").heading == "t"
    assert Report("i", "b").heading == ""


def test_details_come_in_their_order_as_far_as_they_are_there():
    report = Report("i", "b", team="t", worker="w", progress="50%", status="normal")
    assert report.details == ("w", "t", "50%", "normal")
    assert Report("i", "b", status="done").details == ("done",)


def test_a_files_time_is_told_to_the_second_and_only_if_a_calendar_has_it():
    assert written_at(1_700_000_000_999_999_999) == "2023-11-14T22:13:20+00:00"
    assert written_at(-(2**90)) == written_at(2**90) == ""
