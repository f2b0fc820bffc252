"""Reports as Telegram shows them: whole, in order, readable, within both limits, pinging nobody."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from doubles.telegram_rules import checked_entities, cleaned, found_in
from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd.core.channel import measure
from ownerreportd.core.report import Report
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.telegram import render_telegram, same_text
from ownerreportd.render.telegram_links import is_linkable
from ownerreportd.render.telegram_markdown import rich_of
from ownerreportd.render.telegram_text import nested

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))


def shown(markdown):
    """The text, and each entity as its kind with the words that it is on."""
    (part,) = render_telegram(Report("an-id", markdown), language="en")
    value = json.loads(part.plain)
    return value["text"], told(value)


def told(message):
    whole = message["text"].encode("utf-16-le")
    return [
        (e["type"], whole[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le"))
        + ((e["url"],) if "url" in e else (e["language"],) if "language" in e else ())
        for e in message["entities"]
    ]


def messages(report, language="en"):
    parts = render_telegram(report, language=language)
    return [json.loads(form) for part in parts for form in (part.plain, part.marked)]


def claim_taken(message):
    """Telegram takes it as it is: text, limits, entities; and nobody is pinged."""
    for each in (message, message["stub"]):
        cleaned(each["text"])
        kept = checked_entities(each["text"], each["entities"])
        assert kept == each["entities"], "entities are dropped silently"
        assert found_in(each["text"], kept) == []


# --- the dialect ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "text", "entities"),
    [
        ("# A *b* c", "A b c", [("bold", "A b c"), ("italic", "b")]),
        ("Title\n===\nand text", "Title\nand text", [("bold", "Title")]),
        ("## `x` y", "x y", [("code", "x"), ("bold", "y")]),
        ("**a *b* c** ~~d~~", "a b c d",
         [("bold", "a b c"), ("italic", "b"), ("strikethrough", "d")]),
        ("**a `b` c**", "a b c", [("bold", "a"), ("code", "b"), ("bold", "c")]),
        ("**a **b** c**", "a b c", [("bold", "a b c")]),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree", []),
        ("- a\n- b\n  - c\n    d\n1. e\n2) f", "• a\n• b\n  ◦ c\n    d\n1. e\n2) f", []),
        ("- a\n\n- b", "• a\n\n• b", []),
        ("- - x\n  - y", "• ◦ x\n  ◦ y", []),
        ("7. a\n8.\n9. c", "7. a\n8.  \n9. c", []),
        ("- [ ] open\n- [x] done\n- [y] no", "☐ open\n☑ done\n• [y] no", []),
        ("1. [x] a", "1. ☑ a", []),
        ("> a\n> b\n\nc", "a\nb\n\nc", [("blockquote", "a\nb")]),
        ("> a\n> > b\n> >\n> > c", "a\n┃ b\n\n┃ c", [("blockquote", "a\n┃ b\n\n┃ c")]),
        ("> - a `b`", "• a b", [("blockquote", "• a b"), ("code", "b")]),
        ("- a\n  > q", "• a\n  q", [("blockquote", "q")]),
        ("```python x=1\nif a:\n\tb\n```", "if a:\n    b", [("pre", "if a:\n    b", "python")]),
        ("    code\n    more", "code\nmore", [("pre", "code\nmore")]),
        ("- a\n  ```\n  b\n  ```", "• a\nb", [("pre", "b")]),
        ("```\n  indented\n```", "  indented", [("pre", "  indented")]),
        ("a\n\n---\n\nb", "a\n\n──────────\n\nb", []),
        ("[a](https://b.cc/d)", "a", [("text_link", "a", "https://b.cc/d")]),
        ("[**a**](https://b.cc)", "a", [("bold", "a"), ("text_link", "a", "https://b.cc")]),
        ("[`a`](https://b.cc)", "a", [("text_link", "a", "https://b.cc")]),
        ("[a][r] [r]\n\n[r]: https://b.cc", "a r",
         [("text_link", "a", "https://b.cc"), ("text_link", "r", "https://b.cc")]),
        ("a\n\n[Unused]: https://b.cc", "a\nUnused: https://b.cc", []),
        ("<https://b.cc/d>", "https://b.cc/d", []),
        ("[](https://b.cc)", "https://b.cc", []),
        ("[a](docs/b.html)", "a (docs/b.html)", []),
        ("[a](#b)", "a (#b)", []),
        ("[a](http://localhost:80/b)", "a (http://localhost:80/b)", []),
        ("[a](javascript:alert(1))", "a (javascript:alert(1))", []),
        ("[a](mailto:b@c.dd)", "a (b@c.dd)", []),
        ("<b@c.dd>", "b@c.dd", []),
        ("[a](tg://user?id=1)", "a (tg://user?id=1)", []),
        ("[a](TG:user?id=1)", "a (TG:user?id=1)", []),
        ("[a](tg://resolve?domain=b)", "a", [("text_link", "a", "tg://resolve?domain=b")]),
        ("![a](https://b.cc/d.png)", "a", [("text_link", "a", "https://b.cc/d.png")]),
        ("![](d/e.png)", "e.png (d/e.png)", []),
        ("[![a](d.png)](https://b.cc)", "a", [("text_link", "a", "https://b.cc")]),
        ("a<br>b &amp; &#33; \\*c\\*", "a\nb & ! *c*", []),
        ("<b>a <i>b</b> c</i> <kbd>d</kbd>", "a b c d",
         [("bold", "a b"), ("italic", "b"), ("code", "d")]),
        ("<details><summary>a</summary>\n\nb\n</details>", "a\n\nb", [("bold", "a")]),
        ('<a href="https://b.cc">a</a> <img src="c.png" alt="d">', "a d (c.png)",
         [("text_link", "a", "https://b.cc")]),
        ("List<String> <!-- c --> <x-y> <!-- d", "List<String> (c) <x-y> <!-- d", []),
        ('<a href="c/x">a</a> <a href="y">b', "a (c/x) b (y)", []),
        ("<pre>a &lt; b</pre>", "a < b", [("pre", "a < b")]),
        ("x^2^ snake_case_name 2*3*4 *open", "x^2^ snake_case_name 234 *open", [("italic", "3")]),
    ],
)  # fmt: skip
def test_markdown_becomes_what_telegram_shows(markdown, text, entities):
    assert shown(markdown) == (text, entities)


def test_a_narrow_table_is_a_block_of_even_columns():
    text, entities = shown("|name|n|\n|---|--:|\n|**a**|1|\n|`bcd`|22|\n\nend")
    assert text == "name |  n\n─────────\na    |  1\nbcd  | 22\n\nend"
    assert entities == [("pre", text.removesuffix("\n\nend"))]


def test_a_wide_table_or_one_with_links_is_lines():
    wide = "w" * 40
    text, entities = shown(f"|a|b|\n|-|-|\n|{wide}|{wide}|\n|x||")
    assert text == f"a: {wide}\nb: {wide}\n\na: x"
    assert entities == [("bold", "a:"), ("bold", "b:"), ("bold", "a:")]
    text, entities = shown("|a|\n|-|\n|[b](https://c.dd)|")
    assert (text, entities[-1]) == ("a: b", ("text_link", "b", "https://c.dd"))


# --- mentions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "code"),
    [
        ("hi @name!", ["@name"]),
        ("@al, @bo and @ce", ["@al, @bo", "@ce"]),
        ("**@name** x", ["@name"]),
        ("@na**me**", ["@name"]),
        ("mail a@b.cc", []),
        ("請@name看", ["@name"]),
        ("(@name)", ["@name"]),
        ("/start and and/or 1/2 /etc/passwd", ["/start"]),
        ("run ./build now", ["./build"]),
        ("see `@name` and [@name](https://b.cc)", ["@name"]),
        ("/cmd@a_bot", ["/cmd@a_bot"]),
        ("README.md, docs/a-b.py and setup.cfg", ["README.md", "docs/a-b.py"]),
        ("example.org/x.md node.js", []),
        ("#tag $CASH", []),
    ],
)
def test_what_would_ping_or_act_is_code_and_the_text_is_the_same(markdown, code):
    text, entities = shown(markdown)
    assert [each[1] for each in entities if each[0] == "code"] == code
    assert text == re.sub(r"[*`\[\]]|\(https.*?\)", "", markdown)


def test_a_name_in_an_address_leaves_the_address_a_link():
    text, entities = shown("see https://b.cc/@name, and http://localhost/@name")
    assert entities == [
        ("text_link", "https://b.cc/@name", "https://b.cc/@name"),
        ("code", "@name"),
    ]
    assert found_in(text, []) != []


def test_names_in_the_head_and_in_the_stub_are_code_too():
    report = Report("i", "x", title="by @alice", worker="@bob_x", notes=("@carol",))
    for message in messages(report):
        claim_taken(message)
        assert "@alice" in message["stub"]["text"]


def test_a_mention_that_only_the_cut_makes_one_is_code():
    report = Report("i", "x" * 4095 + "@name" * 900)
    for message in messages(report):
        claim_taken(message)


# --- limits -----------------------------------------------------------------------------------


def claim_whole(report, language="en"):
    parts = render_telegram(report, language=language)
    assert same_text(report, [p.plain for p in parts], language=language)
    assert same_text(report, [p.marked for p in parts], language=language)
    for message in messages(report, language):
        claim_taken(message)
    return parts


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_good_report_is_whole_and_taken(path):
    report = read_report(path.read_bytes()).report
    claim_whole(report)
    text = "".join(m["text"] for m in messages(report))
    assert not re.search(r"\*\*|^#{1,6} |^```|\]\(", text, re.MULTILINE), "raw markup is left"


@pytest.mark.parametrize(
    "body",
    [
        "🚀" * 5000, "a" * 9000, "字" * 9000, "**b** " * 900, "@name\n\n" * 500,
        "[l](https://b.cc/x) " * 700, "> quote\n\n" * 900, "```\n" + "code line\n" * 900 + "```",
        "- item\n" * 2000, "|a|b|\n|-|-|\n" + "|1|2|\n" * 900, "\u200b" * 9000, "x\n" * 9000,
        "README.md " * 1000, "**@na @nb** /x " * 700, "> " * 80 + "deep", "*" * 9000, "[" * 9000,
    ],
    ids=range(17),
)  # fmt: skip
def test_whatever_is_long_is_parted_and_nothing_is_dropped(body):
    claim_whole(Report("an-id", body, title="T"))


def test_code_goes_on_as_code_of_its_language():
    report = Report("i", "```python\n" + "print('a line of code')\n" * 400 + "```")
    parts = [m for m in messages(report) if m["text"].startswith("print")]
    assert len(parts) > 2
    for message in parts:
        assert [(e["type"], e["language"]) for e in message["entities"]] == [("pre", "python")]


def test_parts_end_at_headings_and_blocks_where_they_can():
    body = "\n\n".join(f"# H{n}\n\n" + f"Sentence {n}. " * 90 for n in range(12))
    parts = [m["text"] for m in messages(Report("i", body))[::2]]
    assert len(parts) > 2
    assert all(text.startswith("H") for text in parts)


@pytest.mark.parametrize("marker", ["> ", "- "])
@pytest.mark.parametrize("depth", [1, 20, 28, 29, 30, 31, 57, 58, 59, 60, 61, 70, 200])
def test_nothing_is_lost_however_deep_it_is(marker, depth):
    text, _ = shown(f"before\n\n{marker * depth}deep\n\nbehind")
    assert re.findall("[a-z]+", text) == ["before", "deep", "behind"]


def test_what_is_beyond_the_parsers_bounds_is_shown_as_it_stands():
    deep = "> " * 70 + "**deep** @name"
    text, entities = shown(deep)
    assert text == deep
    assert entities == [("code", "@name")]


def test_what_telegram_takes_away_is_not_in_the_text():
    text, _ = shown("a\x01b\tc\u202ed A\u030a e\u2028f")
    assert text == "a b cd Å e\nf"
    assert cleaned(text) == text


WORDS = st.lists(st.from_regex(r"\A[a-z]{1,9}\Z"), min_size=1, max_size=6).map(" ".join)
INLINE = st.one_of(
    WORDS,
    WORDS.map("**{}**".format), WORDS.map("*{}*".format), WORDS.map("`{}`".format),
    WORDS.map("[{}](https://b.cc/d)".format), WORDS.map("[{}](d/e)".format),
    WORDS.map("@{}".format), WORDS.map("~~{}~~".format), WORDS.map("🚀{}".format),
    WORDS.map("<b>{}</b>".format),
)  # fmt: skip
LINE = st.lists(INLINE, min_size=1, max_size=5).map(" ".join)


def stairs(lines):
    return "\n".join(f"{'  ' * depth}- {line}" for depth, line in enumerate(lines))


BLOCK = st.one_of(
    LINE, LINE.map("# {}".format), LINE.map("> {}".format), LINE.map("> > {}".format),
    st.lists(LINE, min_size=1, max_size=4).map(lambda x: "\n".join(f"- {y}" for y in x)),
    st.lists(LINE, min_size=1, max_size=4).map(stairs),
    st.lists(WORDS, min_size=1, max_size=4).map(lambda x: "```sh\n" + "\n".join(x) + "\n```"),
    st.tuples(LINE, LINE).map(lambda x: f"| {x[0]} | {x[1]} |\n|---|--:|\n| {x[1]} | {x[0]} |"),
)  # fmt: skip
DOCUMENTS = st.lists(BLOCK, min_size=1, max_size=6).map("\n\n".join)


@given(DOCUMENTS, st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_every_word_of_a_document_is_shown_once_and_in_order(body, title):
    report = Report("i", body, title=title)
    claim_whole(report)
    in_source = re.sub(r"\(https://b.cc/d\)|```sh|<b>|</b>", " ", body)
    if "|" not in body:  # a table that is told line by line names its columns again and again
        assert re.findall("[a-z]+", rich_of(body).text) == re.findall("[a-z]+", in_source)


@given(
    st.text(
        alphabet=st.sampled_from("ab @/_*`[]()<>#|-+~\\!&;:.1\n\t\u200b🚀字e\u0301"), max_size=400
    )
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_taken_whole(body):
    claim_whole(Report("i", body))


@given(st.text(max_size=300), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_any_long_text_is_taken_whole(body, times):
    claim_whole(Report("i", body * times, worker="w"), "zh-TW")


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_an_address_that_is_linked_is_one_that_telegram_takes(tail):
    for address in (f"https://{tail}", f"https://b.cc{tail}", f"tg://{tail}"):
        if is_linkable(address):
            entity = {"type": "text_link", "offset": 0, "length": 1, "url": address}
            assert checked_entities("x", [entity]) == [entity]
            assert found_in("x", [entity]) == []


def test_the_same_report_becomes_the_same_bytes():
    report = read_report(GOOD[2].read_bytes()).report
    assert render_telegram(report, language="en") == render_telegram(report, language="en")


def test_a_part_has_room_for_the_mark():
    report = Report("i", "a" * 5000)
    assert max(measure(m["text"], "utf16") for m in messages(report)) == 4096
    assert len(nested(rich_of("x"))) == 0
