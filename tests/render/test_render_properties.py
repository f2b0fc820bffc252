from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ownerreportd.core.channel import measure
from ownerreportd.core.report import Report
from ownerreportd.render.cut import clusters
from ownerreportd.render.dialects import DISCORD, MARKDOWN
from ownerreportd.render.head import is_visible
from ownerreportd.render.oracle import difference
from ownerreportd.render.parts import render_parts
from ownerreportd.render.words import words

WORDS = [
    *("the lock", "shard-14", "Done. Next!", "報告完成。下一步？", "ภาษาไทย", "עברית"),
    *(
        "e\u0301\u0302",
        "👨\u200d👩\u200d👧\u200d👦",
        "🇹🇼🇪🇺",
        "zero\u200bwidth",
        "`code`",
        "**bold**",
    ),
    *("a|b", "C:\\temp", "<@123>", "&amp;", "``` x", "~~~", "1. one", "# no", "- dash", "> q"),
    *("---", "===", "(1/2)", "\u3000", "x" * 70, "報" * 60),
]
words_line = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
noise_line = st.text(alphabet="`~>-*#|:1. \tx報\u0301", max_size=60)
line = words_line | noise_line | st.just("")
info = st.sampled_from(["", "sh", "python title=x", "text " * 30])


@st.composite
def fence(draw):
    run = draw(st.sampled_from("`~")) * draw(st.sampled_from([3, 3, 3, 4, 7, 40]))
    content = draw(st.lists(line, max_size=14))
    closing = draw(st.sampled_from([[run], [run], [run + run[0]], []]))
    indent = " " * draw(st.integers(0, 3))
    label = draw(info) if run[0] == "~" else draw(info).replace("`", "")
    return [indent + run + label, *content, *closing]


@st.composite
def table(draw):
    cell = st.sampled_from(["a", "2,373", "報告", "**b**", "x\\|y", "```", "w" * 30])
    columns = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cell, min_size=1, max_size=columns), min_size=1, max_size=9))
    delimiter = "|" + draw(st.sampled_from(["---|", "---:|", ":-:|"])) * columns
    head = "|" + "head|" * columns
    return [head, delimiter, *("| " + " | ".join(row) + " |" for row in rows)]


plain = st.lists(line, min_size=1, max_size=5)
leaf = plain | fence() | table() | words_line.map(lambda text: ["## " + text])


def inside(marker):
    def contained(lines):
        later = marker if ">" in marker else " " * len(marker)
        return [marker + lines[0], *((later + text).rstrip() for text in lines[1:])]

    return contained


def containers(children):
    marker = st.sampled_from(["- ", "1. ", "10) ", "> ", ">", "  * "])
    return st.builds(lambda m, lines: inside(m)(lines or [""]), marker, children) | st.builds(
        lambda a, gap, b: [*a, *gap, *b], children, st.sampled_from([[], [""], ["", ""]]), children
    )


blocks = st.recursive(leaf, containers, max_leaves=8)
markdown = st.lists(blocks, min_size=1, max_size=5).map(
    lambda found: "\n".join(text for lines in found for text in [*lines, ""])
)
anything = st.text(max_size=400)
units = st.sampled_from(["code_points", "utf16", "bytes"])
limits = st.integers(120, 400) | st.integers(120, 4000)
languages = st.sampled_from(["en", "zh-TW"])
dialects = st.sampled_from([DISCORD, MARKDOWN])
word = st.sampled_from(["", "", "alice", "報告 🚀", "a*b_c`d", "<@1>", "x" * 90, "\\"])
reports = st.builds(
    Report,
    id=st.just("01JD-x"),
    body=markdown | anything,
    title=word,
    worker=word,
    status=word,
    notes=st.lists(word.filter(bool), max_size=3).map(tuple),
    corrected=st.booleans(),
)

relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
PARSER = MarkdownIt("commonmark").enable("table").disable(["html_block", "reference"])


def texts_of(parts, form):
    return [part.as_form(form).payload.decode() for part in parts]


@relaxed
@given(reports, limits, units, dialects, languages)
def test_the_parts_hold_all_of_the_text_within_the_limit(report, limit, unit, dialect, language):
    parts = render_parts(report, text_max=limit, unit=unit, dialect=dialect, language=language)

    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert {part.count for part in parts} == {len(parts)}
    for form in ("plain", "marked"):
        texts = texts_of(parts, form)
        assert difference(report.body, texts, report, dialect=dialect) is None
        assert all(measure(text, unit) <= limit for text in texts)
        assert all(text == text.rstrip() for text in texts)
        assert all(text.split("\n")[0].strip() for text in texts)
    mark = words(language).mark
    assert all(text.startswith(mark) for text in texts_of(parts, "marked"))


@relaxed
@given(reports, limits, units, dialects)
def test_no_code_block_swallows_what_follows_it(report, limit, unit, dialect):
    parts = render_parts(report, text_max=limit, unit=unit, dialect=dialect)
    assume(len(parts) > 1)

    for part in parts:
        counter = f"({part.number}/{part.count})"
        tokens = PARSER.parse(part.plain.decode())
        assert [token.type for token in tokens[-3:]] == [
            "paragraph_open", "inline", "paragraph_close",
        ]  # fmt: skip
        assert tokens[-2].content == counter
        assert tokens[-2].level == 1


@relaxed
@given(reports, limits, units, dialects)
def test_no_part_is_empty_but_for_its_counter(report, limit, unit, dialect):
    for part in render_parts(report, text_max=limit, unit=unit, dialect=dialect):
        text = part.plain.decode().removesuffix(f"({part.number}/{part.count})")
        assert is_visible(text)


@relaxed
@given(reports, limits, units, dialects)
def test_rendering_twice_gives_the_same_bytes(report, limit, unit, dialect):
    first = render_parts(report, text_max=limit, unit=unit, dialect=dialect)
    assert render_parts(report, text_max=limit, unit=unit, dialect=dialect) == first


characters = st.sampled_from(["👨‍👩‍👧‍👦", "🇹🇼", "e\u0301", "報", "กำ", "각", "x", "🏽", "한"])


@relaxed
@given(st.lists(characters, min_size=60, max_size=300).map("".join), limits, units)
def test_no_character_is_cut_in_two(text, limit, unit):
    parts = render_parts(Report("x", text), text_max=limit, unit=unit, dialect=MARKDOWN)
    bodies = [
        part.plain.decode().removesuffix(f"\n\n({part.number}/{part.count})") for part in parts
    ]

    assert "".join(bodies) == text
    assert [found for body in bodies for found in clusters(body)] == clusters(text)
