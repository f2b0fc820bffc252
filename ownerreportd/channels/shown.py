"""Owns how the other side's words are shown: one line, cut short, without our secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_MAX = 200


def shown(text: object, secrets: Iterable[str] = ()) -> str:
    """What the other side said, for people; every secret in it is taken out first."""
    line = " ".join(str(text).split())
    for secret in secrets:
        line = line.replace(secret, "[secret]") if secret else line
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + "…"
