"""Owns how a report reads in ntfy: plain text on a phone, Markdown in the web app.

Rule: what is sent must read well as it stands, since most apps show the characters themselves. So
a table becomes its rows in even columns, an image its words and its address, HTML the marks that
people write by hand, and an entity its character. There are no mentions in ntfy.

Source: ntfy's docs/publish.md, "Markdown formatting" (web app only) and "Limitations".
"""

from __future__ import annotations

from typing import Final

from ownerreportd.render.dialects import Dialect, Shows

NTFY: Final = Dialect(name="ntfy", tables=False, shows=Shows(escape="", has_links=False))
