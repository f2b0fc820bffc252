"""Owns what a Matrix room shows: a part's Markdown as plain text, and the same as HTML beside it.

Rules: only tags and attributes that the specification lets clients show; nothing is loaded, so an
image is a link; what a client would take away (another address than a web address) stays as text.
Where HTML would not hold all of the text, or not fit the event, the plain text goes alone.

Source: the Client-Server API (v1.18), "m.room.message msgtypes" and "Size limits".
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from ownerreportd.render.blocks import find_blocks
from ownerreportd.render.dialects import FOR_HTML
from ownerreportd.render.parts import render_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ownerreportd.core.channel import Part
    from ownerreportd.core.report import Report

# A whole event has at most 65,536 bytes. The homeserver adds less than 11,500 of them even in the
# oldest room versions, whose events name others by 20 ids and hashes; 700 were measured. JSON
# writes a control character in six bytes: plain text of 8,192 bytes is always below the rest.
CONTENT_BYTES_MAX: Final = 54_000
EXTRAS_BYTES_MAX: Final = 1_300  # what the channel adds to a payload: key, mentions, thread
FORMAT: Final = "org.matrix.custom.html"
TABLES: Final = FOR_HTML
NO_TABLES: Final = replace(FOR_HTML, tables=False)
_NESTING_MAX: Final = 40
_CELLS_MAX: Final = 20_000
_SCHEME: Final = re.compile(r"(?:https?|ftp)://|mailto:|magnet:", re.IGNORECASE)
_PIPE: Final = re.compile(r"(?<!\\)\|")
_TASK: Final = re.compile(r"\[([ xX])\](?=\s)")
_ATTRIBUTES: Final = {"a": {"href"}, "ol": {"start"}, "code": {"class"}}


def render_matrix(report: Report, *, text_max: int, language: str = "en") -> list[Part]:
    """The report as parts of at most `text_max` bytes of text, each the JSON of an event's text.

    Tables stay tables, unless a limit would cut one in two: a row without its head is no table.
    """
    parts = render_parts(report, text_max=text_max, unit="bytes", dialect=TABLES, language=language)
    if _rows([report.body]) != _rows(part.plain.decode() for part in parts):
        parts = render_parts(
            report, text_max=text_max, unit="bytes", dialect=NO_TABLES, language=language
        )
    return [
        replace(part, plain=_payload(part.plain.decode()), marked=_payload(part.marked.decode()))
        for part in parts
    ]


def _rows(texts: Iterable[str]) -> int:
    """How many lines of tables the texts have."""
    return sum(
        block.end - block.start
        for text in texts
        for block in find_blocks(text.split("\n"))
        if block.kind == "table"
    )


def _payload(text: str) -> bytes:
    """The text with its HTML, as far as that says more and fits."""
    content = {"body": text}
    marked_up = html(text)
    if marked_up is None or marked_up == f"<p>{escapeHtml(text)}</p>":
        return canonical(content)
    whole = canonical({**content, "format": FORMAT, "formatted_body": marked_up})
    return whole if len(whole) + EXTRAS_BYTES_MAX <= CONTENT_BYTES_MAX else canonical(content)


def canonical(content: dict[str, Any]) -> bytes:
    """The content as Matrix's canonical JSON, in whose bytes an event is measured."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode("utf-8")


def html(markdown: str) -> str | None:
    """The Markdown as HTML that any client may show; None if some of its text would be missing."""
    lines = markdown.split("\n")
    if len(lines) * max(line.count("|") for line in lines) > _CELLS_MAX:
        return None
    tokens = _PARSER.parse(markdown)
    if _leaves_out(tokens, lines):
        return None
    for number, token in enumerate(tokens):
        _strip(token)
        if token.children is not None:
            token.children = list(_shown(token.children))
            if number >= 2 and tokens[number - 2].type == "list_item_open":
                _check_box(token.children)
    tokens = [each for token in tokens for each in _titled(token)]
    text: str = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return text.rstrip("\n")


def _leaves_out(tokens: list[Token], lines: list[str]) -> bool:
    """Whether the parser has left text out: nested too deeply, or cells beyond a table's head."""
    columns = 0
    for token in tokens:
        if token.nesting == 1 and token.level + 1 >= _NESTING_MAX:
            return True
        if token.type == "table_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_open" and columns and token.map is not None:
            row = lines[token.map[0]].lstrip(" \t>").removeprefix("|").rstrip()
            if len(_PIPE.split(row.removesuffix("|"))) > columns:
                return True
    return False


def _parser() -> MarkdownIt:
    options = {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": _NESTING_MAX}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    # A definition would be shown nowhere, and may stand in another part than its link.
    return parser.disable(["reference"])


_PARSER: Final = _parser()


def _strip(token: Token) -> None:
    """Take away the attributes that clients do not show."""
    kept = _ATTRIBUTES.get(token.tag, set())
    token.attrs = {name: value for name, value in token.attrs.items() if name in kept}


def _titled(token: Token) -> Iterator[Token]:
    """The token; before a code block, what is said behind its language, as a paragraph."""
    title = token.info.partition(" ")[2].strip() if token.type == "fence" else ""
    if title:
        yield Token("paragraph_open", "p", 1, block=True)
        yield Token("inline", "", 0, children=[_text(title)])
        yield Token("paragraph_close", "p", -1, block=True)
    yield token


def _shown(tokens: list[Token]) -> Iterator[Token]:
    """The tokens of a line with links that clients show, and the other addresses as text."""
    href, said = "", ""
    for token in tokens:
        if token.type == "link_open":
            href, said = str(token.attrs.get("href", "")), ""
            if _SCHEME.match(href):
                _strip(token)
                yield token
        elif token.type == "link_close":
            if _SCHEME.match(href):
                yield token
            elif href not in {"", said}:
                yield _text(f" ({href})")
            href = ""
        elif token.type == "image":
            yield from _linked(token, within=href)
        else:
            said += token.content
            yield token


def _linked(image: Token, *, within: str) -> Iterator[Token]:
    """The image as a link with its description; within a link only the description."""
    source = str(image.attrs.get("src", ""))
    said = "".join(child.content for child in image.children or ()) or source
    if within or not _SCHEME.match(source):
        yield _text(said if within or said == source else f"{said} ({source})")
        return
    yield Token("link_open", "a", 1, attrs={"href": source})
    yield _text(said)
    yield Token("link_close", "a", -1)


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _check_box(line: list[Token]) -> None:
    """Show the box of a task, at the start of a list's item, as a character."""
    box = _TASK.match(line[0].content) if line and line[0].type == "text" else None
    if box is not None:
        line[0].content = ("☐" if box[1] == " " else "☑") + line[0].content[box.end() :]
