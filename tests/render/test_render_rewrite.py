"""What a service cannot show becomes something readable, and code stays what it is."""

import re
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ownerreportd.core.channel import measure
from ownerreportd.core.report import Report
from ownerreportd.render.dialects import DISCORD, MARKDOWN, Dialect
from ownerreportd.render.ntfy import NTFY
from ownerreportd.render.oracle import difference, essence
from ownerreportd.render.outline import outline
from ownerreportd.render.parts import render_parts
from ownerreportd.render.slack import SLACK

ALL = [DISCORD, SLACK, NTFY]
RULE = "─" * 10
ZERO = "\u200b"
THIN = "\u2009"
FIXED = "\u00a0"


def shown(text, dialect=DISCORD):
    return "\n".join(outline(text, dialect).lines)


EVERYWHERE = {
    "# One\n## Two\n### Three": "# One\n## Two\n### Three",
    "Two\nlines\n===": "# Two lines",
    "Second\n---": "## Second",
    "> In\n> a quote\n> ---": "> **In a quote**",
    "- In an item\n  ---": "- **In an item**",
    "####": "####",
    "a\n\n***\nb": f"a\n\n{RULE}\n\nb",
    "a\n\n---\n\nb": f"a\n\n{RULE}\n\nb",
    "> a\n>\n> ---": f"> a\n>\n> {RULE}",
    "- * * *": f"- {RULE}",
    "- [ ] a\n- [x] b\n- [X] c": "- ☐ a\n- ☑ b\n- ☑ c",
    "* [ ] a\n  1. [x] b": "* ☐ a\n  1. ☑ b",
    "> - [ ] a": "> - ☐ a",
    "a - [ ] no box, [x](u) a link": "a - [ ] no box, [x](u) a link",
    "no [ ] box, [x](u) a link": "no [ ] box, [x](u) a link",
    "- a\n  - b\n    - c": "- a\n  - b\n    - c",
    "![](http://e.org/a.png)": "http://e.org/a.png",
    "![a plot](out/plot(1).png)": "a plot (out/plot(1).png)",
    "a<br>b<br/>c<BR />": "a\nb\nc",
    "> a<br>b": "> a\n> b",
    "- a<br>b\n- c": "- a\n  b\n- c",
    "a<br>```x": f"a\n{FIXED}```x",
    "a<br># b": f"a\n{FIXED}# b",
    "## a<br>b": "## a b",
    "a<hr>b": f"a\n{RULE}\nb",
    "<p>one</p><p>two</p>": "one\ntwo",
    "<b>x</b> <strong> y </strong>.": "**x**  **y** .",
    "<i>x</i> <em>y</em> <s>z</s> <del>w</del>": "*x* *y* ~~z~~ ~~w~~",
    "<b>a **b** c</b>": "**a b c**",
    "<b>\n</b>x": "\nx",
    "<code>a &lt; b</code> <kbd>`</kbd>": "`a < b` `` ` ``",
    "List<String> a <name> <b> Vec<p> x": "List<String> a <name> <b> Vec<p> x",
    "<details><summary>More</summary>": "<details>\n**More**",
    "<details>\n\nx\n\n</details>": "\n\nx\n\n",
    "1 &lt; 2 &amp; 3 &gt; 2&nbsp;&hellip; &#8364;": f"1 < 2 & 3 > 2{FIXED}… €",
    "&unknown; &amp AT&T &;": "&unknown; &amp AT&T &;",
    "a[^1] b[^note] c[^a-z]\n\n[^1]: One.\n[^note]: Two.": (
        "a[1] b[note] c[^a-z]\n\n[1] One.\n[note] Two."
    ),
    "`<b>x</b> &amp; [^1] ![a](b) <@1>`": "`<b>x</b> &amp; [^1] ![a](b) <@1>`",
    "`` a ` <br> `` <br>x": "`` a ` <br> ``\nx",
    "a `x\ny <b>z</b>` b": "a `x\ny <b>z</b>` b",
    "```\n#### <b>x</b> &amp;\n---\n- [ ] x\n```": "```\n#### <b>x</b> &amp;\n---\n- [ ] x\n```",
    "- ~~~\n  &amp; <br>\n  ~~~": "- ~~~\n  &amp; <br>\n  ~~~",
    "    <b>x</b> &amp;": "    <b>x</b> &amp;",
    "\\<b>x\\</b> \\&amp; \\![a](b)": "\\<b>x\\</b> \\&amp; \\![a](b)",
    "<https://e.org/?a=1&amp;b> <a@e.org>": "<https://e.org/?a=1&amp;b> <a@e.org>",
    "|a|b|\n|-|-|\n|x<br>y|<b>z</b> &amp; &#124;|": (
        "```\n| a   | b      |\n| -   | -      |\n| x y | z & \\| |\n```"
    ),
    "&nbsp;": "&nbsp;",
    "<br>": "<br>",
    "a <!-- an aside --> b": "a (an aside) b",
    "<!--\n- one\n\n- two -->\nthree": "(\n- one\n\n- two)\nthree",
    "<!-- a\n\n```\n-->\n```\n\nb --> c": "(a\n\n```\n-->\n```\n\nb) c",
    "```\n<!-- a -->\n```": "```\n<!-- a -->\n```",
    "<pre>\na &lt; b\n\n    c\n</pre>": "```\na < b\n\n    c\n```",
    '<pre class="x"><code>a <b>b</b>\n&#96;``\n</code></pre> c': "````\na b\n```\n````\nc",
    "x\n<pre>one</pre>": "x\n```\none\n```",
    "<pre> never closed": "<pre> never closed",
    "```\n<pre>a</pre>\n```": "```\n<pre>a</pre>\n```",
    "[the *docs*][1] [Log][] [b] [x][none]\n\n[1]: https://e.org/a\n[LOG]: /log 'T'": (
        "the *docs* [1] [Log] [b] [x][none]\n\n[1]: https://e.org/a\n[LOG]: /log 'T'"
    ),
    "![plot][fig 1] [![a](b.png)][1]\n\n> [fig  1]: p.png\n\n[1]: c": (
        "plot [fig 1] a (b.png) [1]\n\n> [fig  1]: p.png\n\n[1]: c"
    ),
    "`[a][1]` \\[a][1]\n\n[1]: b": "`[a][1]` \\[a][1]\n\n[1]: b",
}


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(("text", "expected"), EVERYWHERE.items())
def test_what_reads_alike_everywhere(text, expected, dialect):
    assert shown(text, dialect) == expected
    assert essence(text) == essence(shown(text, dialect).replace("```", "")) or "```" in text


OF_EACH = {
    "#### Deep **er** `**k` ##\ntext": (
        "**Deep er `**k`**\ntext",
        "#### Deep **er** `**k`\ntext",
        "#### Deep **er** `**k`\ntext",
    ),
    "- ##### In an item": ("- **In an item**", "- ##### In an item", "- ##### In an item"),
    "#### a\\": ("**a\\\\**", "#### a\\", "#### a\\"),
    "![pic](https://e.org/a.png 'T')": (
        "[pic](https://e.org/a.png 'T')",
        "[pic](https://e.org/a.png 'T')",
        "pic (https://e.org/a.png 'T')",
    ),
    "[![ci](https://b/x.svg)](https://ci)": (
        "[ci](https://b/x.svg) (https://ci)",
        "[ci](https://b/x.svg) (https://ci)",
        "ci (https://b/x.svg) (https://ci)",
    ),
    '<img src="https://i/x" alt="im"> <a href="https://e.org">e</a> <a href="/x">y</a>': (
        "[im](https://i/x) [e](https://e.org) y (/x)",
        "[im](https://i/x) [e](https://e.org) y (/x)",
        "im (https://i/x) e (https://e.org) y (/x)",
    ),
    "<u>x</u>": ("__x__", "*x*", "*x*"),
    "&lt;b&gt; &ast;x&#42; &amp;lt;": (
        "\\<b> \\*x\\* \\&lt;",
        "\\<b> \\*x\\* \\&lt;",
        "<b> *x* &lt;",
    ),
    "&#35; x": ("\\# x", "\\# x", f"{FIXED}# x"),
    "<t:1618953630:R> <id:guide> </do it:12> <:e:12>": (
        f"<{ZERO}t:1618953630:R> <{ZERO}id:guide> <{ZERO}/do it:12> <{ZERO}:e:12>",
        "<t:1618953630:R> <id:guide> </do it:12> <:e:12>",
        "<t:1618953630:R> <id:guide> </do it:12> <:e:12>",
    ),
    "<#1> <@2> <@&3> <@!4>": (
        f"<{ZERO}#1> <{ZERO}@2> <{ZERO}@&3> <{ZERO}@!4>",
        f"<{THIN}#1> <{THIN}@2> <{THIN}@&3> <{THIN}@!4>",
        "<#1> <@2> <@&3> <@!4>",
    ),
    "&lt;@2&gt; \\<@2>": (
        f"\\<{ZERO}@2> \\<{ZERO}@2>",
        f"\\<{THIN}@2> \\<{THIN}@2>",
        "<@2> \\<@2>",
    ),
    "<!-- open": ("<!-- open", f"<{THIN}!-- open", "<!-- open"),
    "a --> b `<!--` \\<!-- c -->": (
        "a --> b `<!--` \\<!-- c -->",
        f"a --> b `<!--` \\<{THIN}!-- c -->",
        "a --> b `<!--` \\<!-- c -->",
    ),
    "    <@2>": (f"    <{ZERO}@2>", f"    <{THIN}@2>", "    <@2>"),
}


@pytest.mark.parametrize("number", range(len(ALL)), ids=[dialect.name for dialect in ALL])
@pytest.mark.parametrize(("text", "expected"), OF_EACH.items())
def test_what_each_service_is_sent(text, expected, number):
    assert shown(text, ALL[number]) == expected[number]
    assert essence(text) == essence(expected[number])


@pytest.mark.parametrize("text", [*EVERYWHERE, *OF_EACH])
def test_the_markdown_for_machines_stays_as_it_is(text):
    assert shown(text, MARKDOWN) == text
    if "|-" not in text:
        assert shown(text, Dialect("other", tables=False)) == text


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("text", [*EVERYWHERE, *OF_EACH])
def test_the_oracle_finds_all_of_it_again(text, dialect):
    body = "\n\n".join([text, "filling words " * 20, text])
    report = Report("i", body)
    parts = render_parts(report, text_max=160, unit="code_points", dialect=dialect)
    assert difference(body, [p.plain.decode() for p in parts], report, dialect=dialect) is None


@pytest.mark.parametrize(
    ("source", "lost"),
    [
        ("#### a b", "**a**"),
        ("![alt words](https://e.org/x)", "[alt](https://e.org/x)"),
        ("![alt](https://e.org/x)", "alt"),
        ("<b>bold</b> x", "****x"),
        ('<a href="https://e.org">e</a>', "e"),
        ("a &lt; b", "a b"),
        ("- [x] a", "- ☐ a"),
        ("- [ ] a", "- a"),
        ("a[^1]", "a[]"),
        ("<!-- a -->", ""),
        ("<pre>a</pre>", "```\n```"),
        ("[a][1]\n\n[1]: b", "a\n\n[1]: b"),
        ("1,000", "1000"),
    ],
)
def test_the_oracle_sees_what_rewriting_loses(source, lost, monkeypatch):
    assert essence(source) != essence(lost)
    monkeypatch.setattr(
        "ownerreportd.render.outline.rewritten", lambda _lines, _dialect: lost.split("\n")
    )
    found = difference(source, [lost], Report("i", source))
    assert found == "the rewritten text is not the source"


def test_the_oracle_sees_what_a_part_loses_of_the_rewritten_text():
    source = "#### a b\n\n- [ ] c ![d](https://e.org)"
    whole = "**a b**\n\n- ☐ c [d](https://e.org)"
    assert difference(source, [whole], Report("i", source)) is None
    for word in ("b", "☐", "d", "https://e.org", "**"):
        assert difference(source, [whole.replace(word, "")], Report("i", source)) is not None


def test_a_bold_line_stays_with_what_it_heads():
    body = "\n\n".join(f"#### Heading {n}\n\n" + "words " * 12 for n in range(20))
    parts = render_parts(Report("i", body), text_max=200, unit="code_points", dialect=DISCORD)
    texts = [
        part.plain.decode().removesuffix(f"\n\n({part.number}/{part.count})") for part in parts
    ]
    assert all(text.startswith("**Heading") and not text.endswith("**") for text in texts)


def test_a_paragraph_that_no_person_wrote_is_only_defused():
    text = "<@1> <br> " + "x" * 20_000
    assert shown(f"{text}\n\na<br>b") == f"<{ZERO}" + text[1:] + "\n\na\nb"


def test_a_text_that_no_person_wrote_is_only_defused():
    text = "\n".join(["<@1> <b>x</b> `y", "```", "<@1>", "```", *["x"] * 20_000])
    assert shown(text).startswith(f"<{ZERO}@1> <b>x</b> `y\n```\n<@1>\n```\nx")


CONSTRUCTS = [
    *("#### deep", "##### deeper **x**", "Set\n---", "Set\nmore\n===", "---", "* * *"),
    *("![pic](https://e.org/a.png)", "x ![p](a.png) y", "[![a](https://b)](https://c)"),
    *(
        "<b>bold</b> x",
        "a <i>it</i>",
        "x<br>y",
        "<u>u</u>",
        "<p>para</p>",
        "<code>c</code>",
        "<hr>",
    ),
    *("a &amp; b", "&nbsp;x", "1 &lt; 2", "note[^1] x", "[^1]: The note."),
    *("<t:1618953630:R>", "<#12>", "<@12>", "<@&12>", "<id:guide>", "</cmd:12>", "報告 **x** 完成"),
    *("- [ ] open", "- [x] done\n  - [ ] nested", "> - [ ] quoted <br> x", "1. [X] one<br>two"),
    *("<!-- aside -->", "<!-- a\n\nb -->", "<pre>\nx &lt;\n</pre>", "[t][r] ![i][r]\n\n[r]: u"),
    *("> ##### q", "- a\n\n  ---\n  b", "| a | b |\n|---|---|\n| <b>x</b><br>y | &amp; |"),
]
CODE = [
    "```\n#### <b>k</b> &amp; [^1]\n---\n- [ ] <@12> ![a](b)\n```",
    "text `<b>k</b> &amp; [^1] <@12> ![a](b) - [ ]` end",
    "~~~sh\necho <br> &lt; <t:12>\n~~~",
]
RAW = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^[ >*-]*(?:-{3,}|={3,}|\* \* \*)$", r"!\[", r"</?(?:b|i|u|p|br|hr|code)\b", r"&\w+;",
        r"\[\^1\]", r"[-*.] \[[ xX]\]", r"<!--|-->|</?pre", r"\]\[",
    )
]  # fmt: skip
RAW_IN = {
    "discord": re.compile(r"^[ >*-]*#{4}|<(?:t:|#|@|id:|/cmd)", re.MULTILINE),
    "slack": re.compile(r"<[#@!]"),
}
FENCED = re.compile(r"^(```|~~~)[\s\S]*?^\1$", re.MULTILINE)
relaxed = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
bodies = st.lists(st.sampled_from(CONSTRUCTS + CODE), min_size=1, max_size=14)


@relaxed
@given(bodies, st.sampled_from(ALL))
def test_nothing_raw_is_left_outside_of_code(pieces, dialect):
    body = "\n\n".join(pieces)
    text = shown(body, dialect)
    for found in (piece for piece in pieces if piece in CODE):
        assert found in text
    outside = re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))
    for raw in [*RAW, *filter(None, [RAW_IN.get(dialect.name)])]:
        assert not raw.search(outside)
    tables = [found[0] for found in FENCED.finditer(text) if "| a" in found[0]]
    assert not any(raw.search(table) for table in tables for raw in RAW[2:4])


@relaxed
@given(
    st.lists(st.sampled_from([*CONSTRUCTS, *CODE, "word " * 30, "報" * 90, "", "- x", "> y", "```"])
        .flatmap(lambda text: st.sampled_from([text, "> " + text.replace("\n", "\n> "),
                                               "- " + text.replace("\n", "\n  ")])),
        max_size=14),
    st.sampled_from(["\n", "\n\n", " "]),
    st.sampled_from(ALL),
    st.sampled_from(["code_points", "utf16", "bytes"]),
    st.integers(150, 900),
)  # fmt: skip
def test_the_parts_hold_all_of_it_within_the_limit(pieces, gap, dialect, unit, limit):
    body = gap.join(pieces)
    report = Report("i", body)
    parts = render_parts(report, text_max=limit, unit=unit, dialect=dialect)
    assert render_parts(report, text_max=limit, unit=unit, dialect=dialect) == parts
    texts = [part.plain.decode() for part in parts]
    assert difference(body, texts, report, dialect=dialect) is None
    forms = chain.from_iterable((part.plain, part.marked) for part in parts)
    assert all(0 < measure(form.decode(), unit) <= limit for form in forms)
