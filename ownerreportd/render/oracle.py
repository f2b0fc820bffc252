"""Owns the test of "whole": whether the parts together are the source, and nothing else.

The source as the dialect shows it must have every letter, digit and sign of the source, in order:
compared without the marks that rewriting may take or change, and by rules of this module's own.
The parts without head, counters and mark, as Markdown text without white space, must equal that.
What the program may have added is taken away exactly where the source allows it:

- the two fence lines around each table (where the dialect has no tables), and the closing line of
  a code block that has none: the outline names them, and each of them must be there;
- where a part ends within a code block: that block's closing line at the part's end together with
  that block's opening line (with its info string, or without) at the next one's start, both or
  neither; and its quote markers again if the seam is in the middle of a line.

Everything else must be there once, in order.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from html import unescape
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd.render.dialects import DISCORD, Dialect
from ownerreportd.render.head import heads
from ownerreportd.render.inline import TAGS
from ownerreportd.render.outline import Fence, outline, source_lines
from ownerreportd.render.words import GAP, LANGUAGES, counter, marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ownerreportd.core.report import Report

# What rewriting may take, add or change. Letters, digits and all other signs must stay.
_MARKS = frozenset("\\`*_~[]()!#=^─•-\u200b")
_ANCHOR = re.compile(
    r"""<a\s[^<>]*?href\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)[^<>]*>((?:(?!</?a\b).)*)</a>""",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"<\s?!--|-->")  # a mention's gap may be in it
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)(?:\s[^<>]*)?/?>")
_ATTRIBUTE = re.compile(r"""\s(alt|src)\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)""", re.IGNORECASE)
_QUOTES = re.compile(r"(?m)^[ \t>]+")  # they are said again where a line is parted
_MARKER = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+(?:>[ \t]*)?)"
_BOX = re.compile(rf"(?m)^({_MARKER}+)\[([ xX])\](?=[ \t]|$)")
_FOOTNOTE = re.compile(rf"(?m)^({_MARKER}*\[\^[^\[\]\s]{{1,60}}\]):(?=[ \t])")


class _State(NamedTuple):
    """How far the text is read, and the code block that was closed there for the time being."""

    position: int
    fence: Fence | None


def same_text(
    source: str, texts: Sequence[str], report: Report, *, dialect: Dialect = DISCORD
) -> bool:
    """Whether the parts' texts, in order and either form, are all of the source and no more."""
    return difference(source, texts, report, dialect=dialect) is None


def difference(
    source: str, texts: Sequence[str], report: Report, *, dialect: Dialect = DISCORD
) -> str | None:
    """What keeps the parts from being the source, in words; None where they are.

    `source` is the report's body, `report` says what head to expect.
    """
    shown = "\n".join(source_lines(source, dialect))
    if dialect.shows is None and squeezed(shown) != squeezed(source):
        return "the text is not the source"
    if essence(shown) != essence(source):
        return "the rewritten text is not the source"
    expected = _Expected(source, dialect)
    if expected.bare_source != squeezed(shown):
        return "the outline is not the source"
    states = {_State(0, None)}
    for number, text in enumerate(texts, start=1):
        end = GAP + counter(number, len(texts)) if len(texts) > 1 else ""
        if not text.endswith(end):
            return f"part {number} does not end with {end.strip()}"
        bodies = list(_bodies(text.removesuffix(end), report if number == 1 else None))
        if len(texts) == 1 and squeezed(shown) in map(squeezed, bodies):
            return None
        following = {
            after for state in states for body in bodies for after in expected.read(state, body)
        }
        if not following:
            near = expected.text[max(state.position for state in states) :][:40]
            return f"part {number} does not go on with {near!r}"
        states = following
    if _State(len(expected.text), None) not in states:
        rest = expected.text[max(state.position for state in states) :][:40]
        return f"after the last part there is still {rest!r}"
    return None


def essence(text: str) -> str:
    """What must never be lost: the text without white space, marks, and tags that are known.

    An image is its words and address, a box its sign, an entity its character, a comment its words.
    """
    text = _QUOTES.sub("", text)
    text = _BOX.sub(lambda box: box[1] + ("☐" if box[2] == " " else "☑"), text)
    text = _FOOTNOTE.sub(r"\1", text)
    while (plain := unescape(text)) != text:
        text = plain
    text = _COMMENT.sub("", text)
    text = _TAG.sub(_tag, _ANCHOR.sub(_anchor, text))
    return "".join(c for c in text if not c.isspace() and c not in _MARKS)


def _anchor(found: re.Match[str]) -> str:
    """A link's words, and its address unless that is the words."""
    address, words = str(found[1]).strip("\"'"), str(found[2])
    return words if words.strip() == address else words + address


def _tag(found: re.Match[str]) -> str:
    """Nothing of a known tag but an image's words and address."""
    if found[1].lower() not in TAGS:
        return str(found[0])
    if found[1].lower() != "img":
        return ""
    values: dict[str, str] = {
        name.lower(): value.strip("\"'") for name, value in _ATTRIBUTE.findall(found[0])
    }
    return values.get("alt", "") + values.get("src", "")


def squeezed(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


def _bodies(text: str, report: Report | None) -> Iterator[str]:
    """What the part's own text can be, without the mark, and of the first part without a head."""
    unmarked = {text}
    for language in LANGUAGES:
        mark = marked("", language)
        if text.startswith(mark):
            unmarked.add(text.removeprefix(mark))
    if report is None:
        yield from unmarked
        return
    for language in LANGUAGES:
        for head in heads(report, language):
            for body in unmarked:
                if not head or body == head or body.startswith(head + GAP):
                    yield body.removeprefix(head)


class _Expected:
    """The source's outline without white space, with the code blocks' positions in it."""

    def __init__(self, source: str, dialect: Dialect) -> None:
        self._outline = outline(source, dialect)
        lines = [squeezed(line) for line in self._outline.lines]
        self.text = "".join(lines)
        self.bare_source = "".join(
            line for number, line in enumerate(lines) if number not in self._outline.added
        )
        starts = [0, *accumulate(map(len, lines))]
        self._line_starts = frozenset(starts)
        self._ends = [starts[fence.last + 1] for fence in self._outline.fences]
        self._closings = [squeezed(fence.closing) for fence in self._outline.fences]
        self._firsts = [starts[fence.first] for fence in self._outline.fences]

    def read(self, state: _State, body: str) -> Iterator[_State]:
        """Every state in which the text can be behind this part."""
        lines = self._continued(state, body.split("\n"))
        if lines is None:
            return
        closing = squeezed(lines[-1])
        text = squeezed("".join(lines[:-1]))
        if not self.text.startswith(text, state.position):
            return
        inside = state.position + len(text)
        if self.text.startswith(closing, inside):
            yield _State(inside + len(closing), None)
        at = self._fence_at(inside)
        if at is not None and closing == self._closings[at]:
            yield _State(inside, self._outline.fences[at])

    def _continued(self, state: _State, lines: list[str]) -> list[str] | None:
        """The lines without what opens a code block again; None if that is not there."""
        fence = state.fence
        if fence is None:
            return lines
        openings = {squeezed(fence.opening), squeezed(fence.quotes + fence.markup)}
        if len(lines) < 2 or squeezed(lines[0]) not in openings:
            return None
        first = squeezed(lines[1])
        markers = squeezed(fence.quotes)
        if state.position not in self._line_starts:
            if not first.startswith(markers):
                return None
            first = first.removeprefix(markers)
        return [first, *lines[2:]]

    def _fence_at(self, position: int) -> int | None:
        """The number of the code block that has that place in it."""
        at = bisect_left(self._ends, position + 1)
        if at == len(self._ends) or not self._firsts[at] < position:
            return None
        return at
