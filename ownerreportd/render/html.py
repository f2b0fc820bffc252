"""Owns how a report's Markdown looks as HTML in a mail.

Rules: HTML in the text is shown as text; nothing is loaded from anywhere, so an image becomes a
link to it; a text that no person wrote is shown as it is, unparsed.
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

from ownerreportd.render.blocks import is_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

# Measured: the parser takes up to 20 µs a character in the worst texts.
PARSED_CHARACTERS_MAX = 500_000
_PAGE = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><style>'
    "pre,code{{font-family:monospace}}pre{{white-space:pre-wrap}}"
    "table{{border-collapse:collapse}}td,th{{border:1px solid #999;padding:2px 6px}}"
    "</style></head>\n<body>\n{}</body></html>\n"
)


def html_of(markdown: str) -> str:
    """The Markdown as a whole HTML page; every character of the text is on it."""
    return _PAGE.format(fragment_of(markdown))


def fragment_of(markdown: str) -> str:
    """The Markdown as what stands in a page's body."""
    if len(markdown) > PARSED_CHARACTERS_MAX or not is_bounded(markdown.split("\n")):
        return f"<pre>{escape(markdown)}</pre>\n"
    rendered: str = _parser().render(markdown)
    return rendered


@cache
def _parser() -> MarkdownIt:
    # Link definitions would take their line out of what is seen.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.enable(["table", "strikethrough"]).disable("reference")
    parser.add_render_rule("image", _image)
    return parser


def _image(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    """A link to the image, with its description as the text."""
    image = tokens[index]
    address = escape(str(image.attrs.get("src", "")))
    return f'<a href="{address}">{escape(image.content) or address}</a>'
