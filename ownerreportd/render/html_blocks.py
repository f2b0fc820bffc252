"""Owns HTML over several lines: `<pre>` becomes a block of code, a comment words in brackets.

Rules: fenced code stays as it is, and so does a comment or a `<pre>` that nothing closes; what a
comment says is shown, since a report that leaves words out is not the report.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import groupby
from typing import TYPE_CHECKING, Final

from ownerreportd.render.blocks import find_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Measured: what looks for code spans needs a second for the worst paragraph of that length.
PARAGRAPH_MAX: Final = 20_000
_PRE: Final = re.compile(
    r"(?m)^ {0,3}<pre(?:\s[^<>]*)?>(?:\s*<code(?:\s[^<>]*)?>)?\n?"
    r"(?P<code>(?:(?!</?pre\b)[\s\S])*?)(?:</code>\s*)?</pre>[ \t]*",
    re.IGNORECASE,
)
_STYLES: Final = re.compile(
    r"</?(?:b|i|u|em|strong|span|code|font|small|mark|samp|kbd)(?:\s[^<>]*)?>", re.IGNORECASE
)
_MARKS: Final = re.compile(
    r"(?P<kept>\\.|(?<!`)(?P<run>`+)(?!`)[\s\S]*?(?<!`)(?P=run)(?!`))|(?P<begun><!--[ \t]*)"
)
_END: Final = re.compile(r"[ \t]*-->")


def unwrapped(lines: list[str]) -> list[str]:
    """The lines as Markdown that needs neither `<pre>` nor comments. They are not too many."""
    if any("<pre" in line.lower() for line in lines):
        lines = _outside_of_code(lines, frozenset({"fence"}), _fenced)
    if any("<!--" in line for line in lines):
        comments = _Comments("\n".join(lines).count("-->"))
        lines = _outside_of_code(lines, frozenset({"fence", "code"}), comments.bracketed)
    return lines


def _outside_of_code(
    lines: list[str], kinds: frozenset[str], change: Callable[[str], str]
) -> list[str]:
    """The lines with every run of them that is not code changed."""
    code = {
        number for block in find_blocks(lines) if block.kind in kinds
        for number in range(block.start, block.end)
    }  # fmt: skip
    changed: list[str] = []
    for is_code, numbers in groupby(range(len(lines)), key=code.__contains__):
        run = [lines[number] for number in numbers]
        changed += run if is_code else change("\n".join(run)).split("\n")
    return changed


def _fenced(text: str) -> str:
    """The text with fences around what `<pre>` holds, on lines of their own."""
    pieces: list[str] = []
    end = 0
    for found in _PRE.finditer(text):
        code = unescape(_STYLES.sub("", found["code"])).rstrip("\n")
        longest = max(map(len, re.findall("`{3,}", code)), default=2)
        fence = "`" * (longest + 1)
        above = text[end : found.start()]
        behind = "" if text[found.end() : found.end() + 1] in {"", "\n"} else "\n"
        pieces += [above, f"{fence}\n{code}\n{fence}{behind}" if code.strip() else ""]
        end = found.end()
    return "".join([*pieces, text[end:]])


class _Comments:
    """A text while its comments become words in brackets; one may reach over code."""

    def __init__(self, ends: int) -> None:
        self._ends = ends  # how many there are from here on
        self._is_open = False

    def bracketed(self, text: str) -> str:
        """That run of lines, paragraph by paragraph, as a code span ends with its paragraph."""
        return "".join(self._paragraph(piece) for piece in re.split(r"(\n[ \t>]*\n)", text))

    def _paragraph(self, text: str) -> str:
        if len(text) > PARAGRAPH_MAX:
            return text
        shown = "".join(self._pieces(text))
        self._ends -= text.count("-->")
        return shown

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            found = (_END if self._is_open else _MARKS).search(text, at)
            yield text[at : found.start() if found else len(text)]
            if found is None:
                return
            at = found.end()
            if self._is_open:
                self._is_open = False
                yield ")"
            elif found["begun"] and text.count("-->", at) + self._later(text) > 0:
                self._is_open = True
                yield "("
            else:
                yield found[0]

    def _later(self, text: str) -> int:
        """How many ends there are behind this paragraph."""
        return self._ends - text.count("-->")
