"""Owns what a channel's Markdown can show.

Rule: a dialect changes how text is wrapped, never the text: the oracle must find all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ZERO_WIDTH = "\u200b"
# What Discord's apps replace: a person, a role, a channel, a time, a page, a command, an emoji.
_DISCORD_ACTS = re.compile(
    r"<(?=(?:@[!&]?\d+|#\d+|t:-?\d+(?::\w)?|id:[\w:-]+|/[^<>\n:]+:\d+|a?:\w+:\d+)>)"
)


@dataclass(frozen=True, slots=True)
class Shows:
    """What a service shows of Markdown; the rest is rewritten so that it reads well.

    `heading_max` is the deepest heading, `underline` the mark for underlined text, `escape` what
    stands before a character that would act, `has_links` whether `[text](address)` is shown as a
    link, `has_rules` whether `---` is a line across. What `acts` matches is what the service would
    replace; `gap` behind it keeps it as text.
    """

    heading_max: int = 6
    underline: str = "*"
    escape: str = "\\"
    has_links: bool = True
    has_rules: bool = False
    acts: re.Pattern[str] | None = None
    gap: str = _ZERO_WIDTH


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of Markdown. Where it has no `tables`, one is shown as a code block of its rows.

    Without `shows` everything else stays as it was written.
    """

    name: str
    tables: bool
    shows: Shows | None = None


DISCORD = Dialect(
    name="discord",
    tables=False,
    shows=Shows(heading_max=3, underline="__", acts=_DISCORD_ACTS),
)
MARKDOWN = Dialect(name="markdown", tables=True)
# What becomes HTML afterwards: HTML in the text is said in Markdown first.
FOR_HTML = Dialect(name="for-html", tables=True, shows=Shows(has_rules=True))
