"""Owns what the HTML in a Markdown text means where it is known: a style, a break, a link.

Rule: what is not known is text; reports are full of `List<String>` and `<name>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ownerreportd.render.telegram_text import Kind

RULE: Final = "─" * 10
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s[^>]*)?)/?>", re.DOTALL)
_ATTRIBUTE: Final = re.compile(
    r"""\s(href|src|alt)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE
)
_STYLES: Final[dict[str, Kind]] = {
    "b": "bold", "strong": "bold", "summary": "bold", "th": "bold",
    "h1": "bold", "h2": "bold", "h3": "bold", "h4": "bold", "h5": "bold", "h6": "bold",
    "i": "italic", "em": "italic", "cite": "italic", "var": "italic",
    "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough",
    "code": "code", "kbd": "code", "samp": "code", "tt": "code",
}  # fmt: skip
_TEXTS: Final = {
    "br": "\n",
    "hr": f"\n{RULE}\n",
    "li": "\n• ",
    "tr": "\n",
    "td": " ",
    "th": " ",
}
_PLAIN: Final = frozenset({
    "a", "abbr", "big", "blockquote", "center", "dd", "details", "div", "dl", "dt", "font", "img",
    "mark", "ol", "p", "pre", "q", "small", "span", "sub", "sup", "table", "tbody", "tfoot",
    "thead", "ul",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tag:
    """A known tag. `style` is what its content is shown in, `text` what stands in its place."""

    name: str
    is_closing: bool
    style: Kind | None = None
    text: str = ""
    values: dict[str, str] = field(default_factory=dict)


def tag_of(source: str) -> Tag | None:
    """The tag that this is; None if it is none that is known."""
    found = _TAG.fullmatch(source)
    name = found[2].lower() if found else ""
    if found is None or not (name in _STYLES or name in _TEXTS or name in _PLAIN):
        return None
    values = {k.lower(): v.strip("\"'") for k, v in _ATTRIBUTE.findall(found[3])}
    return Tag(name, bool(found[1]), _STYLES.get(name), _TEXTS.get(name, ""), values)
