"""Owns the step from Markdown to the text and spans that Telegram shows.

Rules: nothing of the source's text is lost, and none of its notation is left. What cannot be
parsed within bounds, or is nested too deeply, is shown as it stands.

Headings become bold, tables a block of even columns or (where wide, or with links) lines of
`column: value`, images and links their words, with the address as the link or in brackets, rules
a line, and HTML what it means where it is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt

from ownerreportd.render.blocks import is_bounded
from ownerreportd.render.head import is_visible
from ownerreportd.render.html_blocks import unwrapped
from ownerreportd.render.outline import Place
from ownerreportd.render.telegram_html import RULE, tag_of
from ownerreportd.render.telegram_links import is_linkable, shown_address
from ownerreportd.render.telegram_pen import Level, Pen
from ownerreportd.render.telegram_tables import columns, words_of
from ownerreportd.render.telegram_text import Rich, cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from ownerreportd.render.telegram_html import Tag
    from ownerreportd.render.telegram_text import Kind

NESTING_MAX: Final = 60
# The parser looks for the end of a link from each bracket on.
BRACKETS_MAX: Final = 20_000
_BULLETS: Final = ("• ", "◦ ", "▪ ")
_BLANK: Final = re.compile(r"[\s>]*")
_TASK: Final = re.compile(r"\[([ xX])\]\s+(?=\S)")
_DEFINED: Final = re.compile(r"\[(.+?)\]:")
_LANGUAGE: Final = re.compile(r"[\w+#.-]{1,32}", re.ASCII)
_STYLES: Final[dict[str, Kind]] = {
    "em": "italic", "strong": "bold", "s": "strikethrough",
}  # fmt: skip


def _parser() -> MarkdownIt:
    options = {"maxNesting": NESTING_MAX, "html": True, "store_labels": True}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.disable("html_block")
    # Addresses are judged by `is_linkable`, and shown as they were written.
    setattr(parser, "validateLink", _is_any)  # noqa: B010 - its own hook, typed as a method
    setattr(parser, "normalizeLink", _as_it_is)  # noqa: B010 - likewise
    return parser


def _is_any(_address: str) -> bool:
    return True


def _as_it_is(address: str) -> str:
    return address


_PARSER: Final = _parser()


def rich_of(markdown: str, *, has_spans: bool = True) -> Rich:
    """The Markdown text as Telegram is to show it. Never raises; not empty unless the text is.

    Without `has_spans` it is for a service that shows nothing but text: addresses are told, and
    quotes and what is struck out are marked.
    """
    text = markdown.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not is_bounded(lines) or text.count("[") > BRACKETS_MAX:
        return Rich(cleaned(text))
    lines = unwrapped(lines)
    text = "\n".join(lines)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    tokens = _PARSER.parse(text, found)
    if any(token.level >= NESTING_MAX - 1 for token in tokens):  # the parser leaves out the rest
        return Rich(cleaned(text))
    writer = _Writer(lines, has_spans=has_spans)
    writer.write_blocks(tokens)
    writer.write_definitions(found.get("references", {}))
    rich = writer.rich()
    return rich if is_visible(rich.text) else Rich(cleaned(text))


class _Writer:
    """The text while it is written, token by token."""

    def __init__(self, lines: list[str], *, has_spans: bool) -> None:
        self._lines = lines
        self._has_spans = has_spans
        self._pen = Pen()
        self._after_heading = False
        self._lists: list[str] = []
        self._used_labels: set[str] = set()

    def rich(self) -> Rich:
        """What was written."""
        return self._pen.rich()

    # --- blocks -----------------------------------------------------------------------------

    def write_blocks(self, tokens: Sequence[Token]) -> None:
        """Write the parser's blocks."""
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token.type == "table_open":
                end = next(
                    n for n in range(position, len(tokens)) if tokens[n].type == "table_close"
                )
                self._table(tokens[position:end])
                position = end
            else:
                self._block(token)
            position += 1

    def _block(self, token: Token) -> None:
        match token.type:
            case "paragraph_open":
                self._start(token)
            case "heading_open":
                self._start(token, Place.HEADING)
                self._pen.open("bold")
            case "heading_close":
                self._pen.close()
                self._after_heading = True
            case "inline":
                self._inline(token)
            case "fence" | "code_block":
                self._code(token)
            case "hr":
                self._start(token)
                self._pen.put(RULE)
            case "blockquote_open" | "blockquote_close":
                self._quote(token)
            case _:
                self._list(token)

    def _start(self, token: Token, place: Place = Place.BLOCK) -> None:
        """Begin a block on a line of its own, behind a blank one where the source has one."""
        if self._pen.is_fresh:
            return
        number = token.map[0] if token.map else 0
        is_apart = number > 0 and _BLANK.fullmatch(self._lines[number - 1]) is not None
        self._pen.breaks = max(self._pen.breaks, 2 if is_apart else 1)
        if self._after_heading or self._pen.announces():
            place = Place.LINE  # what heads or announces a block stays with it
        elif self._pen.levels and place is not Place.ITEM:
            place = Place.SUB_ITEM
        self._pen.place = place
        self._after_heading = False

    def _quote(self, token: Token) -> None:
        is_inner = any(level.is_quote for level in self._pen.levels)
        if token.nesting > 0:
            self._start(token)
            # Telegram has one quote in none other; what is further in is marked on each line.
            is_marked = is_inner or not self._has_spans
            self._pen.levels.append(Level("┃ " if is_marked else "", is_quote=True))
            self._pen.open("blockquote")
            self._pen.is_fresh = True
        else:
            self._pen.levels.pop()
            self._pen.close()
            self._pen.is_fresh = False

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._start(token, Place.SUB_ITEM if self._pen.levels else Place.BLOCK)
                self._lists.append(token.type)
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                self._start(token, Place.SUB_ITEM if self._pen.levels else Place.ITEM)
                self._pen.levels.append(Level(self._marker(token)))
                self._pen.is_fresh = True
            case "list_item_close":
                if not self._pen.levels[-1].is_used:
                    self._pen.put(" ")
                self._pen.levels.pop()
                self._pen.is_fresh = False
            case _:
                pass

    def _marker(self, token: Token) -> str:
        if self._lists[-1] == "ordered_list_open":
            return f"{token.info}{token.markup} "
        depth = self._lists.count("bullet_list_open") - 1
        return _BULLETS[min(depth, len(_BULLETS) - 1)]

    def _code(self, token: Token) -> None:
        self._start(token)
        language = _LANGUAGE.match(token.info.strip())
        self._pen.open("pre", language[0] if language else "")
        self._pen.write(token.content.removesuffix("\n"), as_code=True)
        self._pen.close()

    # --- tables -----------------------------------------------------------------------------

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
        self._start(tokens[0])
        block = columns(rows, tokens)
        if block is not None:
            self._pen.open("pre")
            self._pen.write(block, as_code=True)
            self._pen.close()
        else:
            self._records(rows[0], rows[1:])

    def _records(self, header: list[Token], rows: list[list[Token]]) -> None:
        """Each row as lines of `column: value`."""
        for number, row in enumerate(rows or [header]):
            self._pen.breaks = max(self._pen.breaks, 2 if number else 0)
            for name, cell in zip(header, row, strict=False):
                if not cell.content:
                    continue
                if name.content and rows:
                    self._pen.open("bold")
                    self._inline(name)
                    self._pen.write(":")
                    self._pen.close()
                    self._pen.write(" ")
                self._inline(cell)
                self._pen.breaks += 1

    # --- inline -----------------------------------------------------------------------------

    def _inline(self, token: Token) -> None:
        before = len(self._pen.opened)
        children = list(token.children or [])
        self._task(children)
        for child in children:
            match child.type:
                case "text":
                    self._pen.write(child.content)
                case "softbreak" | "hardbreak":
                    self._pen.breaks += 1
                case "code_inline":
                    self._pen.open("code")
                    self._pen.write(child.content)
                    self._pen.close()
                case "link_open":
                    self._use(child)
                    self._pen.open("text_link", str(child.attrGet("href") or ""), "a")
                case "link_close":
                    self._end_link("a")
                case "image":
                    self._use(child)
                    self._image(str(child.attrGet("src") or ""), words_of(child.children or []))
                case "html_inline":
                    self._html(child.content)
                case _:
                    self._style(child)
        self._close_down_to(before)

    def _is_linkable(self, address: str) -> bool:
        return self._has_spans and is_linkable(address)

    def _style(self, token: Token) -> None:
        kind = _STYLES[token.tag]
        self._mark(kind)
        if token.nesting > 0:
            self._pen.open(kind, tag=token.tag)
        else:
            self._close_tag(token.tag)

    def _mark(self, kind: Kind | None) -> None:
        """Say what is struck out where no span does; without it the text would say more."""
        if kind == "strikethrough" and not self._has_spans:
            self._pen.write("~")

    def _close_tag(self, tag: str) -> None:
        """Close the innermost span of that tag, and all that was opened in it since."""
        tags = [opened.tag for opened in self._pen.opened]
        if tag in tags:
            at = len(tags) - 1 - tags[::-1].index(tag)
            while at < len(self._pen.opened):
                self._pen.close()

    def _task(self, children: list[Token]) -> None:
        """Turn the `[ ]` that begins an item into its box."""
        level = self._pen.levels[-1] if self._pen.levels else None
        if level is None or level.is_used or not children or children[0].type != "text":
            return
        found = _TASK.match(children[0].content)
        if found is None or level.is_quote:
            return
        box = "☐ " if found[1] == " " else "☑ "
        level.first = box if level.first in _BULLETS else level.first + box
        children[0].content = children[0].content[found.end() :]

    def _use(self, token: Token) -> None:
        if label := token.meta.get("label"):
            self._used_labels.add(label)

    def _end_link(self, tag: str) -> None:
        """Close the innermost link; an address that is none is told behind its words."""
        pen = self._pen
        if all(opened.tag != tag for opened in pen.opened):
            return
        while pen.opened[-1].tag != tag:  # HTML that was opened in it
            pen.close()
        _, address, start, _ = pen.opened[-1]
        words = pen.since(start) if start >= 0 else ""
        shown = shown_address(address)
        if words and words != shown and self._is_linkable(address):
            pen.close()
            return
        pen.opened.pop()  # an address alone is a link by itself
        if not words:
            pen.write(shown)
        elif shown not in {"", words}:
            pen.write(f" ({shown})")

    def _close_down_to(self, count: int) -> None:
        """Close HTML that nothing closes."""
        while len(self._pen.opened) > count:
            if self._pen.opened[-1].tag == "<a":
                self._end_link("<a")
            else:
                self._pen.close()

    def _image(self, address: str, words: str) -> None:
        """The image's words, linked to it; in a link they are the link's."""
        shown = shown_address(address)
        name = words or shown.rstrip("/").rpartition("/")[2] or shown
        if any(opened.kind == "text_link" for opened in self._pen.opened):
            self._pen.write(name)
        elif self._is_linkable(address):
            self._pen.open("text_link", address)
            self._pen.write(name)
            self._pen.close()
        else:
            self._pen.write(name if name == shown or not shown else f"{name} ({shown})")

    def _html(self, source: str) -> None:
        """A tag as what it means; one that is not known is text."""
        tag = tag_of(source)
        self._mark(tag.style if tag else None)
        if tag is None:
            self._pen.write(source)
        elif tag.is_closing and tag.name == "a":
            self._end_link("<a")
        elif tag.is_closing:
            self._close_tag(f"<{tag.name}")
        else:
            self._open_tag(tag)

    def _open_tag(self, tag: Tag) -> None:
        self._pen.write(tag.text)
        address = tag.values.get("href", "")
        if tag.style is not None:
            self._pen.open(tag.style, tag=f"<{tag.name}")
        elif tag.name == "img":
            self._image(tag.values.get("src", ""), tag.values.get("alt", ""))
        elif tag.name == "a" and address:
            self._pen.open("text_link", address, "<a")

    # --- definitions ------------------------------------------------------------------------

    def write_definitions(self, definitions: dict[str, dict[str, Any]]) -> None:
        """Name the addresses of links that the text defines and does not use."""
        for label, definition in definitions.items():
            if label not in self._used_labels:
                self._pen.breaks = max(self._pen.breaks, 1)
                source = self._lines[definition["map"][0]]
                written = _DEFINED.search(source)
                name = written[1] if written else label
                self._pen.write(f"{name}: {shown_address(definition['href'])}")
