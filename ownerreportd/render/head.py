"""Owns what stands above a report's text: the header line, the notes, "Corrected version".

Rule: values are data. Markdown in them is escaped just as far as it would act, so that a value
neither breaks the line nor looks different to the reader.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from ownerreportd.core.channel import measure
from ownerreportd.render.cut import clusters
from ownerreportd.render.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ownerreportd.core.channel import TextUnit
    from ownerreportd.core.report import Report

# What a value is cut to, one after the other, where the head would leave no room for the text.
_VALUE_CAPS = (None, 400, 200, 100, 60, 40, 24, 16, 10, 6)
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_NOTES_CAPS = (8, 3, 1, 0)
_ACTIVE = re.compile(
    r"""
      [`*]                                      # code, emphasis
    | \\(?=[^\w\s]|_|$)                         # an escape, and one that would eat what follows
    | (?<![^\W_])_ | _(?![^\W_])                # emphasis; not within snake_case
    | ~(?=~) | (?<=~)~ | \|(?=\|) | (?<=\|)\|   # struck out, spoiler
    | <(?=[^\W\d_]|[@\#:/!?])                   # mention, time stamp, HTML
    | &(?=\#?\w+;)                              # entity
    | (?<=\])[(\[]                              # the second half of a link
    """,
    re.VERBOSE,
)
_BLOCK_START = re.compile(
    r">|#(?=#*(?:\s|$))|[-+](?=\s|$|[-#])|=(?==*\s*$)|(?P<number>\d{1,9})(?=[.)](?:\s|$))"
)


def is_visible(text: str) -> bool:
    """Whether there is anything to see: more than white space, controls and format characters."""
    return any(unicodedata.category(character) not in _INVISIBLE for character in text)


def escaped(value: str) -> str:
    """The value so that Markdown shows it as it is, within a line."""
    return _ACTIVE.sub(lambda match: "\\" + match[0], value)


def escaped_line(value: str) -> str:
    """The value so that Markdown shows it as it is, as a line of its own."""
    line = escaped(value)
    start = _BLOCK_START.match(line)
    if start is None:
        return line
    number = start["number"] or ""
    return f"{number}\\{line[len(number) :]}"


def clipped(value: str, length_max: int | None) -> str:
    """The value in at most that many characters as people count them, with … for what is cut."""
    if length_max is None or len(value) <= length_max:
        return value
    characters = clusters(value[: length_max * 8])
    if len(characters) <= length_max and len(value) <= length_max * 8:
        return value
    return "".join(characters[: length_max - 1])[: length_max * 8].rstrip() + "…"


def header_line(report: Report, value_max: int | None = None) -> str:
    """`**TITLE or task_id** · worker · team · progress · status`, as far as it is there."""
    fields = [escaped(clipped(value, value_max)) for value in report.details]
    if report.heading:
        return " · ".join([f"**{escaped(clipped(report.heading, value_max))}**", *fields])
    if not fields:
        return ""
    first = escaped_line(clipped(report.details[0], value_max))
    return " · ".join([first, *fields[1:]])


def heads(report: Report, language: str) -> Iterator[str]:
    """The head from the whole one to ever shorter ones; the last is empty.

    A report with nothing to show at all has a head that says so.
    """
    for value_max in _VALUE_CAPS:
        notes = [escaped_line(clipped(note, value_max)) for note in report.notes]
        yield "\n".join([*_top(report, language, value_max), *notes])
    for notes_max in _NOTES_CAPS:
        yield "\n".join([*_top(report, language, value_max), *notes[:notes_max]])
    yield words(language).corrected if report.corrected else ""
    yield ""


def _top(report: Report, language: str, value_max: int | None) -> list[str]:
    """The lines above the notes."""
    own = words(language)
    lines = [own.corrected] if report.corrected else []
    if header := header_line(report, value_max):
        lines.append(header)
    elif not is_visible(report.body):
        lines.append(f"{own.empty[0]} {clipped(report.id, value_max)}".rstrip() + own.empty[1])
    return lines


def fitting_head(report: Report, language: str, size_max: int | None, unit: TextUnit) -> str:
    """The fullest head that is at most `size_max` long in the channel's unit."""
    for head in heads(report, language):
        if size_max is None or measure(head, unit) <= size_max:
            return head
    return ""
