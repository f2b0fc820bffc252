"""Owns how a table looks where it can stand in even columns, and inline tokens as words alone.

Rule: a table that is too wide for a telephone, or has links in it, is not for columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ownerreportd.render.tables import aligned
from ownerreportd.render.telegram_text import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

TABLE_WIDTH_MAX: Final = 60  # columns; a telephone shows about 40, and wraps the rest


def words_of(children: Sequence[Token]) -> str:
    """Inline tokens as text alone."""
    texts = []
    for child in children:
        if child.type == "image":
            texts.append(words_of(child.children or []))
        elif child.type in {"softbreak", "hardbreak"}:
            texts.append(" ")
        else:
            texts.append(child.content)
    return "".join(texts)


def columns(rows: list[list[Token]], tokens: Sequence[Token]) -> str | None:
    """The table in even columns; None where it is too wide for them, or has links in it."""
    if any(_has_links(cell) for row in rows for cell in row):
        return None
    texts = [[cleaned(words_of(cell.children or [])).strip() for cell in row] for row in rows]
    if any("|" in cell or "\n" in cell for row in texts for cell in row):
        return None
    sides = [str(t.attrGet("style") or "") for t in tokens if t.type == "th_open"]
    delimiter = " | ".join("-:" if "right" in side else "-" for side in sides)
    head, *body = (" | ".join(row) for row in texts)
    lines = [line.rstrip() for line in aligned([head, delimiter, *body])]
    width = max(map(len, (lines[0], *lines[2:])))
    lines[1] = "─" * width
    return "\n".join(lines) if width <= TABLE_WIDTH_MAX else None


def _has_links(cell: Token) -> bool:
    kinds = {"link_open", "image", "html_inline"}
    return any(child.type in kinds for child in cell.children or [])
