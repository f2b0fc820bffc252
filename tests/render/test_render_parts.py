import time
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ownerreportd.core.channel import measure
from ownerreportd.core.report import Report
from ownerreportd.render.cut import cut
from ownerreportd.render.dialects import DISCORD, MARKDOWN
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference
from ownerreportd.render.parts import ROOM_MIN, render_parts
from ownerreportd.render.words import GAP, words

PARSER = MarkdownIt("commonmark")
GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
MARK = "⚠ Possible duplicate: an earlier copy may have arrived."
ZH_MARK = "⚠ 可能重複：先前的一份可能已送達。"


def render(text, room=None, *, dialect=DISCORD, **fields):
    """The plain texts of a report, with `room` code points beside the mark."""
    limit = None if room is None else room + len(MARK + GAP)
    report = Report("i", text, **fields)
    parts = render_parts(report, text_max=limit, unit="code_points", dialect=dialect)
    texts = [part.plain.decode() for part in parts]
    assert difference(text, texts, report, dialect=dialect) is None
    return texts


def bodies(text, room, **fields):
    """The same without their counters."""
    texts = render(text, room, **fields)
    count = len(texts)
    return [text.removesuffix(f"\n\n({n}/{count})") for n, text in enumerate(texts, start=1)]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
@pytest.mark.parametrize("dialect", [DISCORD, MARKDOWN], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("language", ["en", "zh-TW"])
@pytest.mark.parametrize(
    ("limit", "unit"),
    [(2000, "code_points"), (4096, "utf16"), (4000, "bytes"), (160, "bytes"), (None, "bytes")],
)
def test_every_good_report_is_whole_in_its_parts(path, dialect, language, limit, unit):
    report = read_report(path.read_bytes(), report_id="i").report
    parts = render_parts(report, text_max=limit, unit=unit, dialect=dialect, language=language)

    for form in ("plain", "marked"):
        texts = [part.as_form(form).payload.decode() for part in parts]
        assert difference(report.body, texts, report, dialect=dialect) is None
        assert limit is None or all(measure(text, unit) <= limit for text in texts)


def test_a_plain_report_is_its_text():
    assert render("Done.\n\n- a\n- b\n", 1000) == ["Done.\n\n- a\n- b"]


def test_the_header_line_stands_above_the_first_part_only():
    texts = render("word " * 60, 200, title="T", worker="w")
    assert texts[0].startswith("**T** · w\n\nword")
    assert all("**T**" not in text for text in texts[1:])
    assert [text.split("\n")[-1] for text in texts] == ["(1/2)", "(2/2)"]


def test_the_marked_form_says_so_in_each_part():
    report = Report("i", "word " * 500, title="T")
    for language, mark in (("en", MARK), ("zh-TW", ZH_MARK)):
        parts = render_parts(report, text_max=400, unit="bytes", dialect=DISCORD, language=language)
        assert len(parts) > 2
        for part in parts:
            assert part.marked == f"{mark}\n\n".encode() + part.plain


def test_a_corrected_version_says_so_first():
    parts = render_parts(
        Report("i", "b", title="T", corrected=True),
        text_max=None, unit="bytes", dialect=DISCORD, language="zh-TW",
    )  # fmt: skip
    assert parts[0].plain.decode() == "更正版本\n**T**\n\nb"


def test_front_matter_alone_gives_one_readable_part():
    assert render("", 100) == ["(empty report i)"]
    assert render(" \n", 100, title="T") == ["**T**"]
    assert render("", None, dialect=MARKDOWN) == ["(empty report i)"]


def test_a_text_that_just_fills_the_limit_leaves_room_for_the_mark_and_is_two():
    report = read_report(GOOD[9].read_bytes()).report
    assert len(report.body) == 2000
    parts = render_parts(report, text_max=2000, unit="code_points", dialect=DISCORD)
    assert len(parts) == 2
    assert len(render(report.body, len(report.body))) == 1


def test_a_limit_without_room_for_text_is_misuse():
    with pytest.raises(ValueError, match="too small"):
        render("x", ROOM_MIN - 1)
    assert render("x", ROOM_MIN) == ["x"]


A, B, C = ("".join(letter * 5 + " " for _ in range(10)).strip() for letter in "abc")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (f"{A}\n\n# H\n\n{B}\n\n{C}", A),
        (f"{A}\n\n{B}\n\n{C}", f"{A}\n\n{B}"),
        (f"- {A}\n  {B[:20]}\n- {B}\n  {C}", f"- {A}\n  {B[:20]}"),
        (f"- {A}\n  - {B}\n    {C}", f"- {A}"),
        (f"{A}\n{B}\n{C}", f"{A}\n{B}"),
        (f"{A}. {B}! {C}", f"{A}. {B}!"),
        (f"{A} {B} {C}", f"{A} {B} ccccc ccccc"),
        ("x" * 200, "x" * 133),
        ("報告完成。" * 40, "報告完成。" * 26),
        ("報" * 200, "報" * 133),
        (f"Short.\n{'x' * 200}", f"Short.\n{'x' * 126}"),
        (f"# H\n\n{A}\n\n{B}\n\nTo do:\n\n- {A}", f"# H\n\n{A}\n\n{B}"),
        (f"{A}\n\n# H\n\n## I\n\n{B} {C}", A),
    ],
    ids=[
        "heading", "block", "item", "sub-item", "line", "sentence", "word", "character",
        "CJK sentence", "CJK character", "no part of a few words", "announced", "headings together",
    ],
)  # fmt: skip
def test_the_best_place_to_split_wins(text, first):
    assert bodies(text, 140)[0] == first


def test_a_code_block_is_closed_and_opened_again_with_its_info_string():
    code = "\n".join(f"line {number:02}" for number in range(30))
    first, *middle, last = bodies(f"Look:\n\n~~~~python title=x\n{code}\n~~~~\n\nEnd.", 140)

    assert first.startswith("Look:\n\n~~~~python title=x\nline 00\n")
    assert last.endswith("line 29\n~~~~\n\nEnd.")
    for text in (*middle, last):
        assert text.startswith("~~~~python title=x\nline ")
    for text in (first, *middle):
        assert text.endswith("\n~~~~")


def test_a_code_block_in_a_list_is_opened_again_outside_of_it():
    code = "\n".join(f"     if {number:02}:" for number in range(20))
    found = bodies(f"1. Item\n   ```sh\n{code}\n   ```\n2. Next", 140)

    assert found[0].startswith("1. Item\n   ```sh\n     if 00:\n")
    assert found[0].endswith(":\n   ```")
    assert found[1].startswith("```sh\n  if ")
    assert found[-1].endswith("\n  if 19:\n```\n2. Next")


def test_a_code_block_in_a_quote_stays_in_it():
    code = "\n".join(f"> > line {number:02}" for number in range(20))
    found = bodies(f"> > ```\n{code}\n> > ```", 140)

    assert all(line.startswith((">", ">>")) for text in found for line in text.split("\n"))
    assert found[1].startswith(">> ```\n>> line")
    assert found[1].split("\n")[-1] in {">> ```", "> > ```"}


def test_a_fence_that_nobody_closed_does_not_swallow_the_counter():
    code = "\n".join(f"line {number:02}" for number in range(20))
    assert render(f"```\n{code}", 140)[-1].endswith("line 19\n```\n\n(2/2)")


def test_a_closing_line_never_begins_a_part():
    for room in range(100, 140):
        for text in bodies("```\n" + "x" * 40 + "\n" + "y" * 40 + "\n\n\n```\n" + "z" * 60, room):
            assert "```\n```" not in text


def test_a_line_that_only_a_cut_would_turn_into_markdown_is_shielded():
    found = bodies("word " * 24 + "# no heading " + "word " * 24, 127)
    assert found[1].startswith("\u00a0# no heading")


def test_one_character_over_the_limit_is_cut_since_nothing_else_can_be_done():
    assert "".join("".join(bodies("e" + "\u0301" * 500, 120)).split()) == "e" + "\u0301" * 500


def test_code_that_looks_like_a_fence_line_does_not_end_it():
    long_run = "`" * 300
    indented_run = "> " * 20 + long_run
    for line in (long_run + " x", "word " * 20 + long_run, " " * 90 + "```", indented_run):
        for text in render(f"~~~\n{line}\n~~~\n\n```\n{line} x\n{line} y\n```\n{A}\n{B}\n{C}", 130):
            tokens = PARSER.parse(text)
            assert tokens[-2].content.startswith("(")


@pytest.mark.parametrize("space", ["\t", " ", "\u3000", "\u00a0"])
@pytest.mark.parametrize("before", ["", "```\n", "> ```\n> ", "a"])
def test_white_space_longer_than_a_part_makes_none(space, before):
    for text in bodies(f"{before}{space * 500}x\n{space * 500}y", 130):
        assert "".join(text.split()).strip("`>")


def test_indentation_of_the_first_line_of_a_part_stays():
    assert bodies(f"{A}\n{A}\n    {B}\n    {C}", 140)[1].startswith("    b")


@pytest.mark.parametrize(
    ("text", "room", "unit", "end"),
    [
        ("One. Two three", 12, "code_points", 4),
        ("(One.) Two three", 12, "code_points", 6),
        ("v1.2.3 next", 9, "code_points", 6),
        ("好。下一步還有", 5, "code_points", 2),
        ("他說「好。」下一步", 8, "code_points", 6),
        ("好。下一步還有", 12, "bytes", 2),
        ("🚀🚀🚀", 5, "utf16", 2),
        ("🚀🚀🚀", 3, "bytes", None),
        ("🇹🇼🇪🇺", 3, "code_points", 2),
        ("a e\u0301e\u0301", 4, "code_points", 1),
        ("ae\u0301e\u0301", 4, "code_points", 3),
    ],
)
def test_where_a_line_is_cut(text, room, unit, end):
    assert cut(text, 0, room, unit) == end


MIB = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        "x" * MIB, "word " * (MIB // 5), "`" * MIB, "> " * (MIB // 2), "- " * (MIB // 2), "[" * MIB,
        "報" * (MIB // 3), "e" + "\u0301" * (MIB // 2), " " * MIB + "x", "> - " * 250_000 + "x",
        "".join(" " * depth + "- x\n" for depth in range(1400)), ("> - " * 12 + "x\n") * 20_000,
        "|" + "a|" * 200_000 + "\n|" + "-|" * 200_000 + "\n|x|", "[\n" * 40_000, "*" * MIB,
        "x: a long enough line of a log file\n" * 29_000, "```\nx\n```\n\n" * 9_000,
    ],
    ids=str.split("""line words backticks quotes lists brackets cjk marks spaces mixed nested
                     containers wide-table bracket-lines stars log fences"""),
)  # fmt: skip
def test_a_mebibyte_of_anything_is_rendered_in_seconds(text):
    began_s = time.process_time()
    parts = render_parts(Report("i", text), text_max=2000, unit="code_points", dialect=DISCORD)
    assert time.process_time() - began_s < 4  # 0.1 to 1.5 on the machine it was written on
    assert max(len(part.marked.decode()) for part in parts) <= 2000


def test_every_language_has_its_own_words_and_others_get_english():
    assert words("zh-TW").mark == ZH_MARK
    assert words("fr") == words("en")
