"""What a Matrix room shows: HTML of the permitted kind only, all of the text, and it fits."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from doubles.matrix import EVENT_BYTES_MAX, event_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from render.test_render_properties import markdown, relaxed

from ownerreportd.channels.matrix import TEXT_MAX
from ownerreportd.core.report import Report
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.matrix import NO_TABLES, TABLES, html, render_matrix
from ownerreportd.render.oracle import difference

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
# The specification's own list of tags, and of attributes with what their values may be.
TAGS = {
    "del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a", "ul", "ol", "sup", "sub",
    "li", "b", "i", "u", "strong", "em", "s", "code", "hr", "br", "div", "table", "thead", "tbody",
    "tr", "th", "td", "caption", "pre", "span", "details", "summary",
}  # fmt: skip
ATTRIBUTES = {
    ("a", "href"): re.compile(r"(https?|ftp|mailto|magnet):.*", re.IGNORECASE),
    ("ol", "start"): re.compile(r"\d+"),
    ("code", "class"): re.compile(r"language-\S+"),
}
TABLE = """<table>
<thead>
<tr>
<th>a</th>
<th>b</th>
</tr>
</thead>
<tbody>
<tr>
<td>1</td>
<td></td>
</tr>
</tbody>
</table>"""
VOID = {"br", "hr"}
# As much as the channel can add to what is rendered.
EXTRAS = {
    "msgtype": "m.notice", "m.mentions": {}, "org.ownerreportd.part": "k" * 24,
    "m.relates_to": {
        "rel_type": "m.thread", "event_id": "$" + '"' * 254, "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$" + '"' * 254},
    },
}  # fmt: skip


class Reader(HTMLParser):
    """Reads HTML as strictly as a careful client: what may be shown, and what is then read."""

    def __init__(self, text):
        super().__init__()
        self.open, self.said, self.hrefs, self.wrong, self.deepest = [], "", [], [], 0
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS:
            self.wrong.append(tag)
        for name, value in attrs:
            allowed = ATTRIBUTES.get((tag, name))
            if allowed is None or not allowed.fullmatch(value):
                self.wrong.append((tag, name, value))
            if name == "href":
                self.hrefs.append(value)
        if tag == "a" and "a" in self.open:
            self.wrong.append("a link in a link")
        if tag not in VOID:
            self.open.append(tag)
        self.deepest = max(self.deepest, len(self.open))
        self.said += "\n"

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")
        self.said += "\n"

    def handle_data(self, data):
        self.said += data

    def handle_comment(self, data):
        self.wrong.append(data)


def words_of(text):
    return re.findall(r"\w+", text)


def read(markdown):
    found = Reader(html(markdown))
    assert found.wrong == [], markdown
    assert found.deepest <= 100
    return found


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A *title*", "<h1>A <em>title</em></h1>"),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("**b** `c` ~~s~~", "<p><strong>b</strong> <code>c</code> <s>s</s></p>"),
        ("- [ ] to do\n- [x] done", "<ul>\n<li>☐ to do</li>\n<li>☑ done</li>\n</ul>"),
        ("- [x](http://a.b) link",
         '<ul>\n<li><a href="http://a.b">x</a> link</li>\n</ul>'),
        ("[ ] no list", "<p>[ ] no list</p>"),
        ("7. seven", '<ol start="7">\n<li>seven</li>\n</ol>'),
        ("```sh\nls <a>\n```", '<pre><code class="language-sh">ls &lt;a&gt;\n</code></pre>'),
        ("```sh title=a.sh\nls\n```",
         '<p>title=a.sh</p>\n<pre><code class="language-sh">ls\n</code></pre>'),
        ("---", "<hr>"),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>"),
        ("![alt *x*](http://a.b/c.png)", '<p><a href="http://a.b/c.png">alt x</a></p>'),
        ("![](http://a.b/c.png)", '<p><a href="http://a.b/c.png">http://a.b/c.png</a></p>'),
        ("![alt](c.png)", "<p>alt (c.png)</p>"),
        ("![](c.png)", "<p>c.png</p>"),
        ("[![alt](c.png)](http://a.b)", '<p><a href="http://a.b">alt</a></p>'),
        ('[t](http://a.b "title")', '<p><a href="http://a.b">t</a></p>'),
        ("[t](docs/x.md)", "<p>t (docs/x.md)</p>"),
        ("[t](tel:123)", "<p>t (tel:123)</p>"),
        ("<tel:123>", "<p>tel:123</p>"),
        ("<a@b.c>", '<p><a href="mailto:a@b.c">a@b.c</a></p>'),
        ("[t](javascript:x)", "<p>[t](javascript:x)</p>"),
        ("<b>x</b> <script>", "<p>&lt;b&gt;x&lt;/b&gt; &lt;script&gt;</p>"),
        ("<!-- x -->", "<p>&lt;!-- x --&gt;</p>"),
        ("[t][1]\n\n[1]: http://a.b", "<p>[t][1]</p>\n<p>[1]: http://a.b</p>"),
        ("| a | b |\n|---|--:|\n| 1 |",
         TABLE),
        ("@room @owner:example.org", "<p>@room @owner:example.org</p>"),
    ],
)  # fmt: skip
def test_markdown_becomes_what_clients_may_show(markdown, expected):
    assert html(markdown) == expected
    read(markdown)


@pytest.mark.parametrize(
    "markdown",
    [
        pytest.param("> " * 60 + "deep", id="quotes"),
        pytest.param("- " * 30 + "deep", id="items"),
        pytest.param("|a|\n|-|\n|b|lost|", id="more cells than the head has"),
        pytest.param("> a|b\n> -|-\n> c|d|lost", id="likewise in a quote"),
        pytest.param("|a" * 300 + "\n" + "|-" * 300 + "\n" + "|\n" * 3000, id="cells"),
    ],
)
def test_what_html_would_not_hold_or_would_grow_without_measure_is_left_plain(markdown):
    assert html(markdown) is None


def test_html_and_references_are_said_in_markdown_first():
    body = "<b>x</b> <!-- c -->\n\n---\n\n- [t][1]\n\n<pre>a &lt; b</pre>\n\n[1]: http://e.org"
    (part,) = render_matrix(Report("i", body), text_max=TEXT_MAX)
    shown = json.loads(part.plain)["formatted_body"]
    assert "<p><strong>x</strong> (c)</p>\n<hr>\n<ul>\n<li>t [1]</li>\n</ul>" in shown
    assert "<pre><code>a &lt; b\n</code></pre>\n<p>[1]: http://e.org</p>" in shown


def test_plain_text_has_no_html():
    (part,) = render_matrix(Report("r", "All is < well."), text_max=TEXT_MAX)
    assert json.loads(part.plain) == {"body": "All is < well."}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
@pytest.mark.parametrize("text_max", [TEXT_MAX, 1000])
def test_every_good_report_is_whole_in_text_and_in_html(path, text_max):
    report = read_report(path.read_bytes()).report
    parts = render_matrix(report, text_max=text_max)
    for form in ("plain", "marked"):
        contents = [json.loads(part.as_form(form).payload) for part in parts]
        texts = [content["body"] for content in contents]
        found = [difference(report.body, texts, report, dialect=d) for d in (TABLES, NO_TABLES)]
        assert None in found, found
        for content in contents:
            marked_up = Reader(content.get("formatted_body", ""))
            assert marked_up.wrong == []
            if "formatted_body" in content:
                missing = set(words_of(content["body"])) - set(
                    words_of(marked_up.said + " ".join(marked_up.hrefs))
                )
                # Only what a fence says of its own language is not text.
                assert missing <= set(words_of(" ".join(re.findall(r"```(.*)", content["body"]))))


def test_a_table_that_is_whole_is_one_and_one_that_would_be_cut_is_code():
    table = "| task | state |\n|---|---|\n" + "| a | done |\n" * 5
    (one,) = render_matrix(Report("r", table), text_max=TEXT_MAX)
    assert "<table>" in json.loads(one.plain)["formatted_body"]
    long = "Some words.\n\n" * 30 + table
    parts = [json.loads(p.plain) for p in render_matrix(Report("r", long), text_max=400)]
    assert "<table>" in "".join(part.get("formatted_body", "") for part in parts)
    cut = "| task | state |\n|---|---|\n" + "| a | done |\n" * 90
    parts = [json.loads(p.plain) for p in render_matrix(Report("r", cut), text_max=400)]
    assert all("<pre><code>" in part["formatted_body"] for part in parts)
    assert not any("<p>|" in part["formatted_body"] for part in parts)


@relaxed
@given(markdown)
def test_any_markdown_keeps_its_words_and_stays_within_what_is_permitted(text):
    if html(text) is None:
        return
    said = read(text).said
    for word in ("lock", "shard", "Next", "bold", "報告", "ภาษาไทย", "head", "dash", "emp"):
        assert said.count(word) == text.count(word), (word, text)


SEEDS = st.sampled_from(
    ["\x01", '"', "\\", "&", "<", "\n- ", "\n> ", "|a", "\n|", "**a**", "報", "😀", "\n\n", "\n#",
     "![", "](http://x)", "`", "\n```\n", "_a_", "\n1. ", "~~x~~", " "]
)  # fmt: skip


@pytest.mark.timeout(180)  # the parser needs more than a second for thousands of `![`
@settings(relaxed, max_examples=50)
@given(st.lists(st.tuples(SEEDS, st.integers(1, 8000)), min_size=1, max_size=6))
def test_no_event_is_ever_too_large(seeds):
    body = "".join(seed * count for seed, count in seeds)[:9000]
    for part in render_matrix(Report("r", body, title="T"), text_max=TEXT_MAX):
        for form in ("plain", "marked"):
            content = json.loads(part.as_form(form).payload)
            assert len(content["body"].encode()) <= TEXT_MAX
            assert event_bytes({**content, **EXTRAS}) <= EVENT_BYTES_MAX
