"""Owns how a text becomes roff: escapes, paragraphs, lists and examples of a manual page.

Rule: the output is ASCII, and a hyphen is always a minus, so that what a reader copies can be
typed. A sentence has a line of its own, as man pages are written, so that a change is a small diff.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIDTH: Final = 66  # the escapes make it longer, and 80 is the most
_ESCAPES: Final = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)
_TYPED: Final = re.compile(r"`([^`]+)`|(?<![\w-])(--?[a-z][\w-]*)")
_KEPT: Final = "\0"  # a space at which no line ends
_SENTENCE: Final = re.compile(r"(?<=[.:;?])\s+(?=[A-Z`-])")


def plain(text: str) -> str:
    """The text with everything escaped that roff would take for its own."""
    escaped = text.translate(_ESCAPES)
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)


def bold(text: str) -> str:
    """As it is typed."""
    return rf"\fB{plain(text)}\fP"


def italic(text: str) -> str:
    """As it is replaced by a value."""
    return rf"\fI{plain(text)}\fP"


def quoted(text: str) -> str:
    """One argument of a macro."""
    return '"' + plain(text).replace('"', r"\(dq") + '"'


def prose(text: str) -> Iterator[str]:
    """Lines of running text; what stands in backquotes, and each flag, is bold."""
    kept = _TYPED.sub(lambda m: m[0].replace(" ", _KEPT), " ".join(text.split()))
    for sentence in _SENTENCE.split(kept):
        for line in textwrap.wrap(sentence, WIDTH, break_on_hyphens=False, break_long_words=False):
            yield _safe(_marked(line.replace(_KEPT, " ")))


def paragraphs(text: str) -> Iterator[str]:
    """Running text with its paragraphs."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield from prose(paragraph)


def item(tag: str, text: str) -> Iterator[str]:
    """An entry of a list: the tag, as roff, and what it means."""
    yield ".TP"
    yield _safe(tag)
    yield from prose(text)


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A section; nothing where it would be empty."""
    found = list(lines)
    if found:
        yield f".SH {quoted(title.upper())}"
        yield from found


def example(lines: Iterable[str]) -> Iterator[str]:
    """Lines as they are."""
    yield from (".PP", ".RS 4", ".nf")
    yield from (_safe(plain(line)) for line in lines)
    yield from (".fi", ".RE")


def tidied(lines: Iterable[str]) -> Iterator[str]:
    """Without the paragraphs that begin right after a heading."""
    before = ""
    for line in lines:
        if line != ".PP" or not before.startswith((".SH", ".SS", ".PP")):
            yield line
        before = line


def _marked(line: str) -> str:
    found, end = [], 0
    for match in _TYPED.finditer(line):
        found += [plain(line[end : match.start()]), bold(match[1] or match[2])]
        end = match.end()
    return "".join([*found, plain(line[end:])])


def _safe(line: str) -> str:
    """A line that roff does not take for a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
