import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd.core.report import Report
from ownerreportd.render import front_matter
from ownerreportd.render.front_matter import FRONT_MATTER_BYTES_MAX, read_report, reject_reason

DATA = Path(__file__).parents[1] / "data"
FULL = b"""---
id: 01JD.a-b_c
team: general-task
worker: alice
task_id: 007
progress: 50%
status: no
source: manual-checkpoint
title: "Week 2: done"
created: 2026-02-30
to: [owner, phone]
other: {is: ignored}
---
Body.
"""


def test_every_field_is_read_as_the_string_that_stands_there():
    read = read_report(FULL)

    assert read.warnings == ()
    assert read.front_id == "01JD.a-b_c"
    assert read.report == Report(
        id="01JD.a-b_c",
        body="Body.\n",
        team="general-task",
        worker="alice",
        task_id="007",
        progress="50%",
        status="no",
        source="manual-checkpoint",
        title="Week 2: done",
        created="2026-02-30",
        to=("owner", "phone"),
    )


def test_the_given_id_wins_and_the_files_own_is_told():
    read = read_report(FULL, report_id="other")
    assert (read.report.id, read.front_id) == ("other", "01JD.a-b_c")


@pytest.mark.parametrize(
    ("name", "worker", "body_begins", "warned"),
    [
        ("01-checkpoint-zh.md", "alice", "## 進度回報", False),
        ("02-plain.md", "", "Nightly migration", False),
        ("04-scripts-of-the-world.md", "wörker-ß", "Greek", False),
        ("06-front-matter-odd-keys.md", "", "The decoration is odd", False),
        ("07-crlf-and-bom.md", "ci", "Build **green**", False),
        ("08-front-matter-not-yaml.md", "", "---\nstatus: [unclosed", True),
        ("12-rule-lines-not-front-matter.md", "", "A first line, then rules", False),
    ],
)
def test_real_files(name, worker, body_begins, warned):
    data = (DATA / "good" / name).read_bytes()
    read = read_report(data)

    assert reject_reason(data, 1 << 20) is None
    assert read.report.worker == worker
    assert read.report.body.startswith(body_begins)
    assert "\r" not in read.report.body
    assert bool(read.warnings) is warned


@pytest.mark.parametrize(
    ("data", "body", "team"),
    [
        (b"\xef\xbb\xbf---\r\nteam: a\r\n---\r\nx\r\ny\r\n", "x\ny\n", "a"),
        (b"---\nteam: a\n---\n", "", "a"),
        (b"---\nteam: a\n---", "", "a"),
        (b"--- \nteam: a\n---\t\nx", "x", "a"),
        (b"---\n---\nx", "x", ""),
        (b"---\n# nothing\n---\nx", "x", ""),
        (b"---\rteam: a\r---\rx\ry", "x\ny", "a"),
        (b"x\n---\nteam: a\n---\n", "x\n---\nteam: a\n---\n", ""),
        (b" ---\nteam: a\n---\n", " ---\nteam: a\n---\n", ""),
        (b"----\nteam: a\n---\n", "----\nteam: a\n---\n", ""),
        (b"---\ntitle: |\n  ---\nteam: a\n---\nx", "x", "a"),
    ],
)
def test_where_front_matter_begins_and_ends(data, body, team):
    read = read_report(data)
    assert (read.report.body, read.report.team, read.warnings) == (body, team, ())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"---\nteam: a\nbody", "has no closing ---"),
        (b"---", "has no closing ---"),
        (b"---\n[a, b]\n---\nx", "is not a mapping"),
        (b"---\nJust words.\n---\nx", "is not a mapping"),
        (b"---\nteam: a\n\tb: c\n---\nx", "is not valid YAML"),
        (b"---\nteam: [a\n---\nx", "is not valid YAML (line"),
        (b'---\nteam: "\\U00110000"\n---\nx', "is not valid YAML"),
        (b"---\nteam: &a b\n---\nx", "uses an anchor or an alias"),
        (b"---\nteam: *a\n---\nx", "uses an anchor or an alias"),
        (b"---\n? [a]\n: b\n---\nx", "is not valid YAML"),
        (b"---\na: 1\n...\nb: 2\n---\nx", "is not valid YAML"),
        (b"---\nx: " + b"[" * 40 + b"]" * 40 + b"\n---\nx", "is nested too deeply"),
        (b"---\nx: " + b"y" * FRONT_MATTER_BYTES_MAX + b"\n---\nx", "is over 65,536 bytes"),
    ],
)
def test_front_matter_that_is_not_valid_is_text_with_a_warning(data, why):
    read = read_report(data, report_id="i")

    assert read.report == Report(id="i", body=data.decode())
    assert len(read.warnings) == 1
    assert why in read.warnings[0]
    assert read.front_id is None


@pytest.mark.parametrize(
    ("line", "to", "warned"),
    [
        (b"to: owner", ("owner",), False),
        (b"to:", (), False),
        (b"to: []", (), False),
        (b"to: [a, b, a]", ("a", "b"), False),
        (b"to:\n- a\n- 7", ("a", "7"), False),
        (b"to: [a, [b]]", (), True),
        (b"to: {a: b}", (), True),
    ],
)
def test_to_is_a_name_or_a_list_of_names(line, to, warned):
    read = read_report(b"---\nteam: t\n" + line + b"\n---\nx")
    assert (read.report.to, read.report.team, bool(read.warnings)) == (to, "t", warned)


def test_a_field_that_is_no_single_value_is_ignored_with_a_warning():
    read = read_report(b"---\nteam: [a, b]\nworker: alice\nid: {a: b}\n---\nx")

    assert (read.report.team, read.report.worker, read.front_id) == ("", "alice", None)
    assert read.warnings == (
        "front matter: id is not a single value; it is ignored",
        "front matter: team is not a single value; it is ignored",
    )


@pytest.mark.parametrize("report_id", ["a/b", "x" * 65, "ünï", "a b"])
def test_an_id_that_is_not_valid_is_ignored_with_a_warning(report_id):
    read = read_report(f"---\nid: {report_id}\n---\nx".encode())

    assert (read.front_id, read.report.id) == (None, "")
    assert "is not valid" in read.warnings[0]


def test_a_field_is_one_line_without_control_characters():
    read = read_report(b'---\ntitle: "a\\nb\\0c\\u2028d\\x9be"\nworker: |\n  two\n  lines\n---\nx')
    assert (read.report.title, read.report.worker) == ("a b c d e", "two lines")


def test_tags_are_ignored_and_make_nothing(tmp_path):
    read = read_report(
        b"---\nteam: !!python/object/apply:os.system [touch x]\nworker: !!int a\n---\n"
    )

    assert (read.report.team, read.report.worker) == ("", "a")
    assert not os.path.exists("x")


@pytest.mark.parametrize("loader", [yaml.BaseLoader, yaml.CBaseLoader])
def test_hostile_files_are_read_or_refused(tmp_path, monkeypatch, loader):
    monkeypatch.setattr(front_matter, "_LOADER", loader)
    subprocess.run([sys.executable, DATA / "make_hostile.py", tmp_path], check=True)
    refused = {
        name: reject_reason((tmp_path / name).read_bytes(), 1 << 20)
        for name in ("empty.md", "blank.md", "binary.md", "latin1.md", "nul-tail.md",
                     "too-large.md", "front-matter-only.md", "good-among-them.md")
    }  # fmt: skip

    assert refused == {
        "empty.md": "The file is empty.",
        "blank.md": "The file holds only white space.",
        "binary.md": "There is a NUL byte at byte 0; a report is text.",
        "latin1.md": "The text is not UTF-8: byte 0 is 0xdc.",
        "nul-tail.md": "There is a NUL byte at byte 32; a report is text.",
        "too-large.md": "The file has 5,242,880 bytes; a report may have 1,048,576.",
        "front-matter-only.md": None,
        "good-among-them.md": None,
    }
    bomb = (tmp_path / "yaml-bomb.md").read_bytes()
    tracemalloc.start()
    read = read_report(bomb)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read.report.body == bomb.decode()
    assert peak_bytes < 1_000_000
    assert read_report((tmp_path / "yaml-object.md").read_bytes()).report.body == "body\n"


def test_a_byte_that_is_no_utf8_is_named_by_its_place_in_the_file():
    assert reject_reason(b"\xef\xbb\xbfab\xff", 99) == "The text is not UTF-8: byte 5 is 0xff."
    assert reject_reason(b"\xef\xbb\xbf \n", 99) == "The file holds only white space."
    assert reject_reason(b"x" * 9, 9) is None


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | st.text(alphabet="-\n:[]{}&*!|>'\"\\ ux0a%#", max_size=80).map(
    lambda text: b"---\n" + text.encode() + b"\n---\nbody"
))  # fmt: skip
def test_reading_never_raises(data):
    read = read_report(data, report_id="i")
    assert "\r" not in read.report.body
    assert "\n" not in read.report.title
