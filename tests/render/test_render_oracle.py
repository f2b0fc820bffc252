from pathlib import Path

import pytest

from ownerreportd.core.report import Report
from ownerreportd.render.dialects import DISCORD, MARKDOWN
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference, same_text
from ownerreportd.render.parts import render_parts

LONG = Path(__file__).parents[1] / "data" / "good" / "03-long-with-fences.md"
BODY = read_report(LONG.read_bytes()).report.body
REPORT = Report("i", BODY)


def texts_of(report, dialect=DISCORD):
    parts = render_parts(report, text_max=2000, unit="code_points", dialect=dialect)
    return [part.plain.decode() for part in parts]


TEXTS = texts_of(REPORT)
LINES = [
    (part, number)
    for part, text in enumerate(TEXTS)
    for number, line in enumerate(text.split("\n"))
    if line.strip()
]


def with_lines(part, change):
    """The texts after `change` was applied to the list of one part's lines."""
    lines = TEXTS[part].split("\n")
    change(lines)
    return [*TEXTS[:part], "\n".join(lines), *TEXTS[part + 1 :]]


@pytest.mark.parametrize("part", range(len(TEXTS)))
def test_no_line_can_be_lost_doubled_or_swapped(part):
    lines = TEXTS[part].split("\n")
    for number in [number for found, number in LINES if found == part]:
        lost = with_lines(part, lambda found, number=number: found.pop(number))
        assert not same_text(BODY, lost, REPORT), f"lost {lines[number]!r}"
        doubled = with_lines(part, lambda found, n=number: found.insert(n, found[n]))
        assert not same_text(BODY, doubled, REPORT), f"doubled {lines[number]!r}"
        if number + 1 < len(lines) and lines[number + 1].strip():
            swapped = with_lines(part, lambda found, n=number: found.insert(n, found.pop(n + 1)))
            assert not same_text(BODY, swapped, REPORT), f"swapped {lines[number]!r}"


@pytest.mark.parametrize(("old", "new"), [("bad keys", "keys"), ("Nothing", ""), ("2,373", "2,37")])
def test_no_word_can_be_lost(old, new):
    changed = [text.replace(old, new, 1) for text in TEXTS]
    assert changed != TEXTS
    assert not same_text(BODY, changed, REPORT)


def test_no_part_can_be_lost_doubled_or_swapped():
    assert same_text(BODY, TEXTS, REPORT)
    for number in range(len(TEXTS)):
        assert not same_text(BODY, TEXTS[:number] + TEXTS[number + 1 :], REPORT)
        assert not same_text(BODY, TEXTS[: number + 1] + TEXTS[number:], REPORT)
    assert not same_text(BODY, [TEXTS[1], TEXTS[0], *TEXTS[2:]], REPORT)


def test_the_table_must_be_a_code_block_where_there_are_no_tables():
    assert not same_text(BODY, texts_of(REPORT, MARKDOWN), REPORT, dialect=DISCORD)
    assert same_text(BODY, texts_of(REPORT, MARKDOWN), REPORT, dialect=MARKDOWN)


def test_either_form_of_each_part_will_do():
    report = Report("i", BODY, title="T", notes=("n",), corrected=True)
    for language in ("en", "zh-TW"):
        parts = render_parts(
            report, text_max=2000, unit="code_points", dialect=DISCORD, language=language
        )
        mixed = [(part.marked, part.plain)[part.number % 2].decode() for part in parts]
        assert difference(BODY, mixed, report) is None


def test_a_head_counts_only_as_the_reports_own():
    assert same_text("text", ["**T**\n\ntext"], Report("i", "text", title="T"))
    assert not same_text("text", ["**U**\n\ntext"], Report("i", "text", title="T"))
    assert not same_text("text", ["**T**\n\ntext"], Report("i", "text"))


def test_the_difference_is_told_in_words():
    assert (
        difference("a b c", ["a b"], Report("i", "a b c"))
        == "after the last part there is still 'c'"
    )
    assert difference("a b c", ["a c"], Report("i", "")) == "part 1 does not go on with 'abc'"
    assert (
        difference("a b", ["a\n\n(1/2)", "b"], Report("i", "")) == "part 2 does not end with (2/2)"
    )
    assert difference("a b", ["a\n\n(1/2)", "c\n\n(2/2)"], Report("i", "")) == (
        "part 2 does not go on with 'b'"
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["```sh\nab\n\n(1/2)", "```sh\ncd\n```\n\n(2/2)"],
        ["```sh\nab\n```\n\n(1/2)", "cd\n```\n\n(2/2)"],
        ["```sh\nab\n```\n\n(1/2)", "```py\ncd\n```\n\n(2/2)"],
        ["```sh\nab\n```\n\n(1/2)", "```sh\ncd\n\n(2/2)"],
        ["```sh\nab\n```\n```\n\n(1/2)", "```sh\ncd\n```\n\n(2/2)"],
        ["```sh\nab\ncd\n\n(1/2)", "end\n\n(2/2)"],
    ],
    ids=["not closed", "not opened", "other info", "its own close lost", "closed twice", "lost"],
)
def test_the_fence_lines_at_a_seam_must_be_a_pair(texts):
    source = "```sh\nab\ncd\n```"
    whole = ["```sh\nab\n```\n\n(1/2)", "```sh\ncd\n```\n\n(2/2)"]

    assert same_text(source, whole, Report("i", source))
    assert not same_text(source, texts, Report("i", source))
