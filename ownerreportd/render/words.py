"""Owns the words that the program adds to a report, in each language.

Rule: whatever is added to a part is added here or in `head`, so that the oracle can take it away.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """One language's own lines."""

    mark: str
    corrected: str
    empty: tuple[str, str]  # before and after the report's id


_WORDS = {
    "en": Words(
        mark="⚠ Possible duplicate: an earlier copy may have arrived.",
        corrected="Corrected version",
        empty=("(empty report", ")"),
    ),
    "zh-TW": Words(
        mark="⚠ 可能重複：先前的一份可能已送達。",
        corrected="更正版本",
        empty=("（空白報告", "）"),
    ),
}
LANGUAGES = tuple(_WORDS)
GAP = "\n\n"


def words(language: str) -> Words:
    """The words of that language; English where it is not known."""
    return _WORDS.get(language, _WORDS["en"])


def marked(text: str, language: str) -> str:
    """The text as a part that says that it may be a duplicate."""
    return words(language).mark + GAP + text


def counter(number: int, count: int) -> str:
    """The last line of one of several parts."""
    return f"({number}/{count})"
