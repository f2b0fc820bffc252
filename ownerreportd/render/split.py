"""Owns parting an outline into texts that keep within a limit.

Rules: the best place wins, in the order heading, block, list item, line, sentence, word,
character, as long as it leaves the part a third full; a code block that is parted is closed and
opened again; nothing but white space is dropped, and only at the seams.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd.core.channel import measure
from ownerreportd.render.cut import cut, fitting
from ownerreportd.render.outline import Place

if TYPE_CHECKING:
    from ownerreportd.core.channel import TextUnit
    from ownerreportd.render.outline import Fence, Outline

# A no-break space: white space for the oracle and the reader, but no indentation for Markdown, so
# that what follows it stays the text that it is in the source.
_SHIELD = "\u00a0"
_FENCE_LIKE = re.compile(r"[ ]{0,3}(?:`{3}|~{3})")
_BLOCK_LIKE = re.compile(r"[ ]{0,3}(?:`{3}|~{3}|#{1,6}(?:\s|$)|>|[-*+](?:\s|$)|\d{1,9}[.)]\s)")
_INDENTED = re.compile(r"(?P<markers>(?:[ \t]*>)*)(?P<space>\s*)")
_INDENTATION = 5 * " "  # what it is cut to: behind a quote marker too, nothing is a fence there
_SPACE = re.compile(r"\s*")
_SHARE_MIN = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a part's text may be, in the channel's unit.

    `first_max` is the same for the first part, which also holds the report's head.
    """

    text_max: int
    first_max: int
    unit: TextUnit = "code_points"


class _Seam(NamedTuple):
    """A place in the text: before that column of that line."""

    line: int
    column: int


def split(markdown: Outline, limit: Limit) -> list[str]:
    """The outline's text in parts within the limit: none empty, none only white space.

    An outline without text gives no part at all.
    """
    splitter = _Splitter(markdown, limit.text_max, limit.unit)
    texts: list[str] = []
    seam = splitter.next_text(_Seam(0, 0))
    while seam.line < splitter.line_count:
        end = splitter.end_of_part(seam, limit.text_max if texts else limit.first_max)
        texts.append(splitter.text(seam, end))
        seam = splitter.next_text(end)
    return texts


def trimmed(text: str) -> str:
    """The text without blank lines before it and white space after it; indentation stays."""
    lines = text.rstrip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    return "\n".join(lines[first:])


class _Splitter:
    """An outline as one limit sees it."""

    def __init__(self, markdown: Outline, text_max: int, unit: TextUnit) -> None:
        self._unit: TextUnit = unit
        self._places = markdown.places + bytes([Place.NEVER])
        self._lead_max = text_max // _SHARE_MIN
        self.line_count = len(markdown.lines)
        self._fence_at = self._fences(markdown)
        self._lines = [self._shown(n, line) for n, line in enumerate(markdown.lines)]
        self._sizes = [measure(line, unit) for line in self._lines]
        self._blank = [not line or line.isspace() for line in self._lines]

    def _fences(self, markdown: Outline) -> list[Fence | None]:
        """Each line's code block; those whose fence lines would fill a part are left out."""
        fence_at: list[Fence | None] = [None] * self.line_count
        for fence in markdown.fences:
            opening = markdown.lines[fence.first][: fence.markup_end]
            closing = markdown.lines[fence.last]
            reopening = f"{fence.quotes}{fence.markup}\n{fence.quotes}"
            sizes = [measure(text, self._unit) for text in (opening, reopening, closing)]
            if max(sizes[:2]) + sizes[2] + 2 <= self._lead_max:
                fence_at[fence.first : fence.last + 1] = [fence] * (fence.last + 1 - fence.first)
        return fence_at

    def _shown(self, number: int, line: str) -> str:
        """The line as it may stand in a part: indented only so far that there is room for text."""
        indented = _INDENTED.match(line)
        if indented and measure(indented["space"], self._unit) > self._lead_max:
            line = indented["markers"] + _INDENTATION + line[indented.end() :]
        fence = self._fence_at[number]
        if fence is None:
            return _SHIELD + line if _FENCE_LIKE.match(line) else line
        markers_end = fence.markers_end(line)
        cut_run = fence.markup[0] * self._lead_max  # its first piece would close the code
        if fence.first < number < fence.last and line[markers_end:].lstrip().startswith(cut_run):
            return line[:markers_end] + _SHIELD + line[markers_end:]
        return line

    def _fence(self, seam: _Seam) -> Fence | None:
        """The code block that the seam is in."""
        fence = self._fence_at[seam.line] if seam.line < self.line_count else None
        return fence if fence is not None and fence.holds(seam.line, seam.column) else None

    def next_text(self, seam: _Seam) -> _Seam:
        """The same place behind white space: within a line, or blank lines."""
        line, column = seam
        if column:
            column = self._behind_space(self._lines[line], column)
            if column < len(self._lines[line]):
                return _Seam(line, column)
            line += 1
        while line < self.line_count and self._blank[line]:
            line += 1
        return _Seam(line, 0)

    def _behind_space(self, line: str, column: int) -> int:
        match = _SPACE.match(line, column)
        return column if match is None else match.end()

    def _lead(self, seam: _Seam) -> str:
        """What stands before the text at the start of a part, so that it stays what it was."""
        fence = self._fence(seam)
        if fence is None:
            cut_off = seam.column and _BLOCK_LIKE.match(self._lines[seam.line], seam.column)
            return _SHIELD if cut_off else ""
        markers = fence.quotes if seam.column else ""
        if seam.column and self._lines[seam.line].startswith(fence.markup, seam.column):
            markers += _SHIELD
        lead = f"{fence.opening}\n{markers}"
        if measure(lead, self._unit) + measure(fence.closing, self._unit) + 1 <= self._lead_max:
            return lead
        return f"{fence.quotes}{fence.markup}\n{markers}"

    def _tail_size(self, number: int) -> int:
        """The room that the closing line takes if a part ends behind that line or within it."""
        fence = self._fence_at[number]
        return 0 if fence is None or number == fence.last else self._sizes[fence.last] + 1

    def end_of_part(self, start: _Seam, room: int) -> _Seam:
        """Where the part that starts there ends; always behind its start."""
        size = measure(self._lead(start), self._unit)
        best: dict[int, tuple[int, int]] = {}
        line_size = self._size(start, room)
        for number in range(start.line, self.line_count):
            if number > start.line:
                size += 1
                line_size = self._sizes[number]
            filled = size + line_size
            if self._fence_at[number] is not None:
                filled += self._tail_size(number)
            if filled > room and not self._blank[number]:
                at = start if number == start.line else _Seam(number, 0)
                return self._chosen(best, room) or self._forced(start, at, best, room, size)
            size += line_size
            place = self._places[number + 1]
            if place != Place.NEVER:
                best[place] = (number + 1, filled)
        return _Seam(self.line_count, 0)

    def _size(self, at: _Seam, room: int) -> int:
        """The size of the line from there on; where it is over the room, anything over it."""
        if at.column == 0:
            return self._sizes[at.line]
        return measure(self._lines[at.line][at.column : at.column + room + 1], self._unit)

    def _chosen(self, best: dict[int, tuple[int, int]], room: int) -> _Seam | None:
        """The best place that leaves the part a third full."""
        for _, (number, filled) in sorted(best.items()):
            if filled * _SHARE_MIN >= room:
                return _Seam(number, 0)
        return None

    def _forced(
        self, start: _Seam, at: _Seam, best: dict[int, tuple[int, int]], room: int, size: int
    ) -> _Seam:
        """The end where no good place is: within the line that does not fit, if that can be.

        `size` is what the part has before that line.
        """
        line = self._lines[at.line]
        left = room - size - self._tail_size(at.line)
        least = room // _SHARE_MIN - size
        column = cut(line, at.column, left, self._unit, least=least)
        if column is not None and self._may_cut(at, column):
            return _Seam(at.line, column)
        if best:
            return _Seam(max(number for number, _ in best.values()), 0)
        if at != start:
            return at
        # One character alone is over the limit.
        return _Seam(at.line, at.column + max(1, fitting(line, at.column, left, self._unit)))

    def _may_cut(self, at: _Seam, column: int) -> bool:
        """Not where nothing would be before it, nor within what makes a line part of its code."""
        line, fence = self._lines[at.line], self._fence_at[at.line]
        if not line[at.column : column].strip():
            return False
        if fence is None:
            return True
        if at.line == fence.first:
            return column >= fence.markup_end
        markers_end = fence.markers_end(line)
        closing_like = at.column == 0 and fence.is_closing_like(line[markers_end:column])
        return at.line != fence.last and column >= markers_end and not closing_like

    def text(self, start: _Seam, end: _Seam) -> str:
        """The part between the two places."""
        lines = self._between(start, end)
        reopened = self._fence(start)
        if reopened is not None:
            first, last = (1 if start.column else 0), reopened.last - start.line
            lines[first:last] = [reopened.dedented(line) for line in lines[first:last]]
            lines[last : last + 1] = [reopened.closing for _ in lines[last : last + 1]]
        text = (self._lead(start) + "\n".join(lines)).rstrip()
        fence = self._fence(end)
        if fence is None:
            return text
        return f"{text}\n{fence.closing if fence is reopened else self._lines[fence.last]}"

    def _between(self, start: _Seam, end: _Seam) -> list[str]:
        """The lines between the two places, the first and the last one cut there."""
        if start.line == end.line:
            return [self._lines[start.line][start.column : end.column]]
        lines = self._lines[start.line : end.line]
        lines[0] = lines[0][start.column :]
        if end.column:
            lines.append(self._lines[end.line][: end.column])
        return lines
