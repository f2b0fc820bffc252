"""A report as a mail: what standard readers get out of it is what went in."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownerreportd.core.channel import Part
from ownerreportd.core.report import Report
from ownerreportd.render.dialects import FOR_HTML
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.html import PARSED_CHARACTERS_MAX, html_of
from ownerreportd.render.mail import Writer
from ownerreportd.render.mail_lines import SUBJECT_MAX, date_of
from ownerreportd.render.oracle import difference, squeezed
from ownerreportd.render.parts import render_parts

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
WRITER = Writer("reports@example.org", ["owner@example.org", "second@example.org"])
ANY = st.text(st.characters(exclude_categories=()), max_size=300)
ODD = st.text("aZ9 .-=_?\r\n\t\v\f\x1c\u2028ü完\U0001f600\ud800\0>~", max_size=400)


def whole(report, part=None):
    """The parts of the mail's text, read by the standard library."""
    (only,) = render_parts(report, text_max=None, unit="code_points", dialect=FOR_HTML)
    data = WRITER.message(report, part or only, only.plain)
    return data, email.message_from_bytes(data, policy=email.policy.SMTP), only.plain.decode()


def plain(message):
    return message.get_body(("plain",)).get_content()


def page(message):
    return message.get_body(("html",)).get_content()


class Seen(HTMLParser):
    """What a reader of the page sees, with the addresses of its links."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.in_head = "", set(), False
        self.feed(text)

    def handle_starttag(self, tag, _attributes):
        self.tags.add(tag)
        self.in_head = tag == "head" or (self.in_head and tag != "body")

    def handle_endtag(self, tag):
        self.in_head = self.in_head and tag != "head"

    def handle_data(self, data):
        if not self.in_head:
            self.text += data


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_good_report_comes_back_whole_and_in_order(path):
    report = read_report(path.read_bytes()).report
    data, message, text = whole(report)
    assert not message.defects
    assert plain(message).replace("\r\n", "\n") == text.replace("\r", "\n")
    assert difference(report.body, [text], report, dialect=FOR_HTML) is None
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert b"\n" not in data.replace(b"\r\n", b"")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_word_of_every_good_report_is_on_its_page_in_order(path):
    report = read_report(path.read_bytes()).report
    _, message, text = whole(report)
    seen = squeezed(Seen(page(message)).text)
    at = 0
    outside = re.sub(r"(?m)^\s*(?:```|~~~).*$|^\s*\d+[.)]\s|\]\([^)]*\)", "", text)
    for word in re.findall(r"[^\W_]+", outside):
        at = seen.find(word, at)
        assert at >= 0, word
        at += len(word)


def test_markdown_is_shown_as_what_it_means():
    body = (
        "# Head\n\n- one\n- **two**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n~~gone~~"
    )
    tags = Seen(html_of(body)).tags
    assert {"h1", "ul", "li", "strong", "table", "td", "pre", "s"} <= tags


def test_html_in_the_report_is_shown_as_what_it_means():
    text = "<b>bold</b> <!-- an aside --><br>next\n\n---\n\n<pre>a &lt; b</pre>\n"
    _, message, _ = whole(Report("r1", text, title="t"))
    seen = Seen(page(message))
    assert {"strong", "br", "hr", "pre"} <= seen.tags
    assert "bold (an aside)" in seen.text
    assert "a < b" in seen.text


def test_nothing_is_loaded_and_nothing_runs():
    body = (
        '<script>alert(1)</script>\n\n<img src="https://spy.example/x.png">\n\n'
        "![a <b> picture](https://spy.example/y.png)\n\n![](https://spy.example/z.png)\n\n"
        "[here](javascript:alert(1)) ![j](javascript:alert(2)) <b onclick=x>bold</b>\n"
    )
    seen = Seen(html_of(body))
    assert seen.tags <= {"html", "head", "meta", "style", "body", "p", "a", "br"}
    assert "<script>alert(1)</script>" in seen.text
    assert "a <b> picture" in seen.text
    assert "https://spy.example/z.png" in seen.text
    assert 'href="javascript' not in html_of(body)


@pytest.mark.parametrize(
    "body", ["x" * (PARSED_CHARACTERS_MAX + 1), "> " * 200 + "x\n", "<&\n" * 20_001]
)
def test_what_no_person_wrote_is_shown_unparsed(body):
    seen = Seen(html_of(body))
    assert squeezed(body) in squeezed(seen.text) or ">" in body


@given(ANY | ODD)
def test_any_text_comes_back_and_breaks_no_rule_of_mail(body):
    report = Report("r1", body, title="t")
    data, message, text = whole(report)
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    assert data.isascii()
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    assert not message.defects
    assert [part.defects for part in message.walk()] == [[], [], []]
    back = re.sub(r"\r\n?|\n", "\n", plain(message))
    assert back == re.sub(r"\r\n?|\n", "\n", text)
    assert whole(report)[0] == data


@given(ANY | ODD, ANY | ODD, ANY | ODD)
def test_any_field_becomes_a_header_on_one_line_that_reads_back(title, worker, report_id):
    report = Report(report_id, "x", title=title, worker=worker, task_id="task")
    data, message, _ = whole(report)
    head = data.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    assert [name for name in message if name != "X-Report-Id"] == [
        "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["From"].addresses[0].addr_spec == "reports@example.org"
    assert [each.addr_spec for each in message["To"].addresses] == WRITER.recipients
    visible = "".join(c for c in title or "task" if c.isprintable() or c.isspace())
    expected = squeezed(visible)[: SUBJECT_MAX // 2] or "x"
    assert squeezed(str(message["Subject"])).startswith(expected)


def test_the_subject_is_the_title_and_counts_the_parts():
    report = Report("r1", "# A heading\n\ntext", title="Done: 完成", worker="alice")
    _, message, _ = whole(report)
    assert message["Subject"] == "Done: 完成"
    assert str(message["From"]) == "alice <reports@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Report-Id"] == "r1"
    _, message, _ = whole(replace(report, title=""), Part(2, 3, b"", b""))
    assert message["Subject"] == "A heading (2/3)"
    _, message, _ = whole(Report("r1", "", worker=""))
    assert message["Subject"] == "Report"
    assert str(message["From"]) == "ownerreportd <reports@example.org>"


@pytest.mark.parametrize("title", ["=?utf-8?q?no?=", "a\r\nBcc: x@y", 'x" <evil@example.org>, "y'])
def test_a_title_is_never_anything_but_a_title(title):
    _, message, _ = whole(Report("r1", "x", title=title, worker=title))
    assert str(message["Subject"]) == " ".join(title.split())
    assert message["Bcc"] is None
    assert [each.addr_spec for each in message["From"].addresses] == ["reports@example.org"]


@pytest.mark.parametrize(
    ("created", "written", "date"),
    [
        ("2026-11-27T20:15:03+01:00", "2020-01-01", "Fri, 27 Nov 2026 20:15:03 +0100"),
        ("soon", "2020-01-01T00:00:00+00:00", "Wed, 01 Jan 2020 00:00:00 +0000"),
        ("", "2020-01-01T00:00:00+00:00", "Wed, 01 Jan 2020 00:00:00 +0000"),
        ("", "", None),
    ],
)  # fmt: skip
def test_the_date_is_the_reports_own_else_its_files(created, written, date):
    _, message, _ = whole(Report("r1", "x", created=created, written=written))
    assert message["Date"] == date


@pytest.mark.parametrize(
    ("time", "date"),
    [
        ("2026-11-27", "Fri, 27 Nov 2026 00:00:00 -0000"),
        ("2026-11-27T20:15:03+05:30:15", "Fri, 27 Nov 2026 14:44:48 +0000"),
        ("0001-01-01", None),
        ("1969-12-31T23:00:00+00:00", None),
        ("0001-01-01T00:00:00+05:30:15", None),
        ("yesterday", None),
    ],
)
def test_a_time_that_no_mail_can_have_is_none(time, date):
    assert date_of(time) == date
