"""Owns where a line that is too long is cut: after a sentence, between words, between characters.

Rule: never inside a grapheme cluster (UAX #29), the character as a person counts it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import regex  # type: ignore[import-untyped] # its stubs are a package of their own

from ownerreportd.core.channel import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ownerreportd.core.channel import TextUnit

_CLUSTER = regex.compile(r"\X")
_SENTENCE_END = regex.compile(r"""[.!?…]+["'”’»)\]]*(?=\s)|[。！？…]+[」』”’）"']*""")
_WORD_END = regex.compile(r"(?<=\S)(?=\s)")


def cut(text: str, start: int, room: int, unit: TextUnit, *, least: int = 0) -> int | None:
    """The column behind the longest good piece of `text[start:]` that is at most `room` long.

    A sentence or a word ends the piece only where it is at least `least` long, else a character
    does. None where not even one character fits. The text from `start` on must be over `room`.
    """
    length = fitting(text, start, room, unit)
    window = text[start : start + length + 1]  # whether a cluster ends shows in the next character
    ends = _cluster_ends(window, length)
    for pattern in (_SENTENCE_END, _WORD_END):
        end = _last_end(pattern, window, ends)
        if end and measure(window[:end], unit) >= least:
            return start + end
    return start + ends[-1] if ends else None


def fitting(text: str, start: int, room: int, unit: TextUnit) -> int:
    """How many code points from `start` on are at most `room` long."""
    if room <= 0:
        return 0
    window = text[start : start + room]
    if unit == "code_points":
        return len(window)
    if unit == "utf16":
        encoded = window.encode("utf-16-le", "surrogatepass")[: 2 * room]
        return len(encoded.decode("utf-16-le", "ignore"))
    return len(window.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore"))


def clusters(text: str) -> list[str]:
    """The text's characters as a person counts them."""
    return [match[0] for match in _CLUSTER.finditer(text)]


def _cluster_ends(window: str, length: int) -> Sequence[int]:
    """Where the clusters end that lie within the first `length` code points, rising."""
    if window.isascii() and "\r" not in window:
        return range(1, length + 1)
    ends = [match.end() for match in _CLUSTER.finditer(window)]
    return ends[: bisect_right(ends, length)]


def _last_end(pattern: regex.Pattern[str], window: str, ends: Sequence[int]) -> int:
    """The last match's end that is a cluster's end too; 0 where there is none."""
    found: list[int] = [match.end() for match in pattern.finditer(window)]
    for end in reversed(found):
        at = bisect_right(ends, end)
        if at and ends[at - 1] == end:
            return end
    return 0
