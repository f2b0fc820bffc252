import pytest

from ownerreportd.core.report import Report
from ownerreportd.render.head import escaped, escaped_line, fitting_head, header_line


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, ""),
        ({"source": "cron", "created": "2026"}, ""),
        ({"title": "T", "task_id": "k"}, "**T**"),
        ({"task_id": "example-task", "worker": "alice"}, "**example-task** · alice"),
        (
            {"task_id": "k", "worker": "w", "team": "t", "progress": "50%", "status": "normal"},
            "**k** · w · t · 50% · normal",
        ),
        ({"team": "t", "status": "failed"}, "t · failed"),
        ({"worker": "# w", "team": "> t"}, "\\# w · > t"),
    ],
)
def test_the_header_line_says_what_is_there(fields, line):
    assert header_line(Report("i", "", **fields)) == line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("shard_07_b", "shard_07_b"),
        ("_x_", "\\_x\\_"),
        ("__init__.py", "\\_\\_init\\_\\_.py"),
        ("a*b`c", "a\\*b\\`c"),
        ("~/x ~~y~~ a|b ||z||", "~/x \\~\\~y\\~\\~ a|b \\|\\|z\\|\\|"),
        ("C:\\temp\\*", "C:\\temp\\\\\\*"),
        ("ends\\", "ends\\\\"),
        ("<@1> a<b 1 < 2 <t:1>", "\\<@1> a\\<b 1 < 2 \\<t:1>"),
        ("&copy; A&B", "\\&copy; A&B"),
        ("[x](y) [z]", "[x]\\(y) [z]"),
        ("報告 🚀", "報告 🚀"),
    ],
)
def test_a_value_is_escaped_only_where_markdown_would_act(value, shown):
    assert escaped(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("# h", "\\# h"), ("#42 done", "#42 done"), ("- x", "\\- x"), ("-rf", "-rf"),
        ("-# sub", "\\-# sub"), ("> q", "\\> q"), ("1. x", "1\\. x"), ("1.5 x", "1.5 x"),
        ("===", "\\==="), ("---", "\\---"), ("=x", "=x"),
    ],
)  # fmt: skip
def test_a_line_of_its_own_begins_no_block(value, shown):
    assert escaped_line(value) == shown


def test_notes_and_the_correction_stand_around_the_header_line():
    report = Report("i", "b", title="T", notes=("no destination `x`", "# two"), corrected=True)

    assert fitting_head(report, "en", None, "bytes") == (
        "Corrected version\n**T**\nno destination \\`x\\`\n\\# two"
    )
    assert fitting_head(report, "zh-TW", None, "bytes").startswith("更正版本\n**T**\n")


def test_a_report_without_anything_says_so_with_its_id():
    assert fitting_head(Report("01JD", " \n"), "en", None, "bytes") == "(empty report 01JD)"
    assert fitting_head(Report("", ""), "en", None, "bytes") == "(empty report)"
    assert fitting_head(Report("01JD", "\u200b"), "zh-TW", None, "bytes") == "（空白報告 01JD）"


@pytest.mark.parametrize("size_max", [10, 30, 60, 100, 500, 2000])
@pytest.mark.parametrize("unit", ["code_points", "utf16", "bytes"])
def test_a_head_that_is_too_long_is_cut_in_its_values(size_max, unit):
    report = Report("i", "b", title="報告🚀*" * 500, worker="w" * 90, notes=("n" * 900,) * 40)
    head = fitting_head(report, "en", size_max, unit)

    assert len(head.encode()) <= size_max or unit != "bytes"
    assert len(head) <= size_max
    assert not head or head.startswith("**報告🚀\\*") or "…" in head
