"""Owns rewriting what a service cannot show: headings, rules, task lists, and what lines hold.

Rules: code stays as it is; a text that no person wrote is only defused; what is visible before is
visible after. It is done before a text is parted, so that the limits count what is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ownerreportd.render.blocks import find_blocks, is_bounded
from ownerreportd.render.head import is_visible
from ownerreportd.render.html_blocks import PARAGRAPH_MAX, unwrapped
from ownerreportd.render.inline import (
    RULE,
    defused,
    scope_of,
    shown_line,
    shown_lines,
    shown_row,
    strong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ownerreportd.render.blocks import Block
    from ownerreportd.render.dialects import Dialect, Shows
    from ownerreportd.render.inline import Scope

_LEAVES: Final = frozenset({"heading", "fence", "code", "rule", "table"})
_ATX: Final = re.compile(r"(?P<before>[^#]*)(?P<run>#{1,6})[ \t]+(?P<text>\S.*)")
_MARKERS: Final = re.compile(r"[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))[ \t]*)*")
_RULE: Final = re.compile(r"(?P<before>.*?)(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_MARKER: Final = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+(?:>[ \t]*)?)"
_TASK: Final = re.compile(rf"^(?P<before>[ \t>]*{_MARKER}+)\[(?P<mark>[ xX])\](?=[ \t]|$)")
_BOLD_LINE: Final = re.compile(r"[ ]{0,3}\*\*[^*](?:.*[^*])?\*\*")


def rewritten(lines: list[str], dialect: Dialect) -> list[str]:
    """The lines as the dialect's service can show them."""
    shows = dialect.shows
    if shows is None:
        return lines
    blocks = find_blocks(lines)
    if not is_bounded(lines):
        return _defused(lines, blocks, shows)
    unrolled = unwrapped(lines)
    if unrolled != lines:
        blocks = find_blocks(unrolled)
    shown = _Rewriter(unrolled, blocks, shows).lines()
    return shown if is_visible("\n".join(shown)) else lines


def is_bold_line(line: str) -> bool:
    """Whether the line is what a heading becomes that is too deep for the service."""
    return _BOLD_LINE.fullmatch(line) is not None


def _defused(lines: list[str], blocks: list[Block], shows: Shows) -> list[str]:
    """The lines with nothing changed but what the service would replace outside of code."""
    code = {
        number for block in blocks if block.kind == "fence"
        for number in range(block.start, block.end)
    }  # fmt: skip
    return [line if n in code else defused(line, shows) for n, line in enumerate(lines)]


class _Rewriter:
    """A text while its blocks are written anew."""

    def __init__(self, lines: list[str], blocks: list[Block], shows: Shows) -> None:
        self._lines = lines
        self._shows = shows
        self._starts = {block.start for block in blocks}
        self._leaves = {block.start: block for block in blocks if block.kind in _LEAVES}
        pieces = list(self._pieces())
        texts = (
            "\n".join(lines[start:end]) for start, end, leaf in pieces
            if (leaf is None or leaf.kind in {"heading", "table"})
            and not self._is_too_long(start, end)
        )  # fmt: skip
        self._scope: Scope = scope_of(texts, shows)
        self._rewritten = [
            line for start, end, leaf in pieces for line in self._piece(start, end, leaf)
        ]

    def lines(self) -> list[str]:
        """All of its lines."""
        return self._rewritten

    def _pieces(self) -> Iterator[tuple[int, int, Block | None]]:
        """The text as leaf blocks and runs of other lines that belong together."""
        start = 0
        while start < len(self._lines):
            leaf = self._leaves.get(start)
            end = start + 1
            if leaf is not None:
                end = max(end, leaf.end)
            elif self._lines[start].strip():
                while self._goes_on(end):
                    end += 1
            yield start, end, leaf
            start = end

    def _goes_on(self, number: int) -> bool:
        """Whether that line belongs to the same paragraph as the one before it."""
        in_text = number < len(self._lines) and number not in self._starts
        return in_text and bool(self._lines[number].strip())

    def _piece(self, start: int, end: int, leaf: Block | None) -> list[str]:
        lines = self._lines[start:end]
        if (leaf is None or leaf.kind == "heading") and self._is_too_long(start, end):
            return [defused(line, self._shows) for line in lines]
        if leaf is None:
            text = _TASK.sub(_task, lines[0], count=1) if start in self._starts else lines[0]
            return shown_lines("\n".join([text, *lines[1:]]), self._scope).split("\n")
        if leaf.kind == "heading":
            return [self._heading(lines, leaf)]
        if leaf.kind == "rule":
            return self._rule(start, leaf)
        if leaf.kind == "table":
            return [shown_row(line, self._scope) for line in lines]
        if leaf.kind == "code":  # a service without code by indentation shows it as text
            return [defused(line, self._shows) for line in lines]
        return lines

    def _is_too_long(self, start: int, end: int) -> bool:
        """Whether no person wrote a paragraph like that."""
        return sum(map(len, self._lines[start:end])) > PARAGRAPH_MAX

    def _heading(self, lines: list[str], block: Block) -> str:
        """The heading in the form with `#`, or as a bold line where that is not shown."""
        atx = _ATX.fullmatch(lines[0]) if len(lines) == 1 else None
        if len(lines) == 1 and (atx is None or not _unclosed(atx["text"])):
            return lines[0]
        if atx is not None:
            before, run, text = atx["before"], atx["run"], _unclosed(atx["text"])
        else:
            match = _MARKERS.match(lines[0])
            before = match[0] if match else ""
            texts = [lines[0][len(before) :], *(line.lstrip(" \t>") for line in lines[1:-1])]
            run, text = ("#" if block.markup == "=" else "##"), " ".join(map(str.strip, texts))
        shown = shown_line(text, self._scope).strip()
        if not is_visible(shown):
            return lines[0] if atx else before + shown
        if len(run) <= self._shows.heading_max and (atx is not None or block.level == 0):
            return f"{before}{run} {shown}"
        return before + strong(shown)

    def _rule(self, start: int, block: Block) -> list[str]:
        """A rule of characters; on its own between blank lines, so that no line joins it."""
        if self._shows.has_rules:
            return [self._lines[start]]
        match = _RULE.match(self._lines[start])
        before = match["before"] if match else ""
        if block.level > 0:
            return [before + RULE]
        above = [""] if start > 0 and self._lines[start - 1].strip() else []
        following = self._lines[start + 1 : start + 2]
        below = [""] if following and following[0].strip() else []
        return [*above, RULE, *below]


def _unclosed(text: str) -> str:
    """A heading's text without the run of # that may close it."""
    text = text.rstrip(" \t")
    bare = text.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else text


def _task(found: re.Match[str]) -> str:
    return found["before"] + ("☐" if found["mark"] == " " else "☑")
