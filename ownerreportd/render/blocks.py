"""Owns finding Markdown's blocks in lines: which lines are headings, items, code, tables.

Rule: blocks only name lines; whoever uses them takes the text from the lines themselves. HTML and
link definitions are not looked for: the services' Markdown has neither, and text stays text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

Kind: TypeAlias = Literal["heading", "item", "fence", "table", "code", "rule", "other"]

# Measured: the parser needs 10 to 30 µs a line, as much for each container that the line opens,
# and 10 µs a table's cell.
# Beyond these a text is no report that a person wrote, and a plain scan of its lines must do.
PARSED_LINES_MAX = 20_000
PARSED_PREFIXES_MAX = 200_000
PARSED_CELLS_MAX = 60_000
_PREFIX = re.compile(r"[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]*)+")
_OPENING = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})(.*)")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]")
_KINDS: dict[str, Kind] = {
    "heading_open": "heading",
    "list_item_open": "item",
    "fence": "fence",
    "table_open": "table",
    "paragraph_open": "other",
    "code_block": "code",
    "hr": "rule",
    "bullet_list_open": "other",
    "ordered_list_open": "other",
    "blockquote_open": "other",
}


class Block(NamedTuple):
    """Lines `start` to `end` (exclusive). `level` is 0 outside of every list and quote.

    `markup`, `info` and `closed` are a fence's, and `markup` is a heading's too; `in_item` says of
    a table that it begins on the very line that begins a list item.
    """

    kind: Kind
    start: int
    end: int
    level: int
    markup: str = ""
    info: str = ""
    closed: bool = False
    in_item: bool = False


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").disable(["reference", "html_block"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


_PARSER = _parser()


def find_blocks(lines: list[str]) -> list[Block]:
    """The blocks in the order in which they begin; a container stands before what it holds."""
    return list(_parsed(lines) if is_bounded(lines) else _scanned(lines))


def is_bounded(lines: list[str]) -> bool:
    """Whether the parser may have these lines; a longer text takes it too long."""
    if len(lines) > PARSED_LINES_MAX or sum(line.count("|") for line in lines) > PARSED_CELLS_MAX:
        return False
    prefixes = (match.end() for line in lines if (match := _PREFIX.match(line)))
    return sum(prefixes) <= PARSED_PREFIXES_MAX


def _parsed(lines: list[str]) -> Iterator[Block]:
    item_starts: set[int] = set()
    for token in _PARSER.parse("\n".join(lines) + "\n"):
        kind = _KINDS.get(token.type)
        if kind is None or token.map is None:
            continue
        start, end = token.map
        if kind == "fence":
            yield _fence(token, start, end)
            continue
        if kind == "item":
            item_starts.add(start)
        markup = token.markup if kind == "heading" else ""
        yield Block(kind, start, end, token.level, markup, in_item=start in item_starts)


def _fence(token: Token, start: int, end: int) -> Block:
    content_lines = token.content.count("\n")
    closed = end - start - 1 > content_lines
    return Block("fence", start, end, token.level, token.markup, token.info, closed)


def _scanned(lines: list[str]) -> Iterator[Block]:
    """Headings, items, paragraphs and fences outside of containers, in one pass over the lines."""
    position, blank_before = 0, True
    while position < len(lines):
        line = lines[position]
        opening = _OPENING.fullmatch(line)
        if opening is not None:
            block = _scanned_fence(lines, position, opening)
            yield block
            position, blank_before = block.end, False
            continue
        if _HEADING.match(line):
            yield Block("heading", position, position + 1, 0)
        elif _ITEM.match(line):
            yield Block("item", position, position + 1, 1)
        elif blank_before and line.strip():
            yield Block("other", position, position + 1, 0)
        blank_before = not line.strip()
        position += 1


def _scanned_fence(lines: list[str], start: int, opening: re.Match[str]) -> Block:
    markup, info = opening[2], opening[3]
    closing = re.compile(rf" {{0,3}}{re.escape(markup[0])}{{{len(markup)},}}[ \t]*")
    for position in range(start + 1, len(lines)):
        if closing.fullmatch(lines[position]):
            return Block("fence", start, position + 1, 0, markup, info, closed=True)
    return Block("fence", start, len(lines), 0, markup, info)
