"""Owns what a channel's Markdown can show.

Rule: a dialect changes how text is wrapped, never the text: the oracle must find all of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of Markdown. Where it has no `tables`, one is shown as a code block of its rows."""

    name: str
    tables: bool


DISCORD = Dialect(name="discord", tables=False)
MARKDOWN = Dialect(name="markdown", tables=True)
