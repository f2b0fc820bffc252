"""Owns how a table looks where Markdown has no tables: its source rows in even columns.

Rule: only white space is added; a row that would get too wide, or a table too large, stays as is.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

ROW_WIDTH_MAX = 120
_PIPE = re.compile(r"(?<!\\)\|")


def aligned(rows: list[str]) -> list[str]:
    """The rows with even columns. The second one is the delimiter row, which says the sides."""
    cells = [_cells(row) for row in rows]
    columns = list(zip_longest(*cells, fillvalue="")) if len(cells[1]) <= ROW_WIDTH_MAX else []
    widths = [max(map(_width, column)) for column in columns]
    if not widths or sum(widths) + 3 * len(widths) > ROW_WIDTH_MAX:
        return rows
    sides = [cell.endswith(":") and not cell.startswith(":") for cell in cells[1]]
    padded = [_row(row, line, widths, sides) for row, line in zip(cells, rows, strict=True)]
    grown = sum(map(len, padded)) > 2 * sum(map(len, rows)) + 2 * ROW_WIDTH_MAX
    return rows if grown else padded


def _cells(row: str) -> list[str]:
    """The row between its pipes; a pipe at either end leaves an empty cell there."""
    return [cell.strip() for cell in _PIPE.split(row.strip())]


def _row(cells: list[str], line: str, widths: list[int], sides: list[bool]) -> str:
    right = (side for side in sides + [False] * len(cells))
    padded = [
        " " * (width - _width(cell)) + cell if flush else cell + " " * (width - _width(cell))
        for cell, width, flush in zip(cells, widths, right, strict=False)
    ]
    text = " | ".join(padded).strip()
    return text if "".join(text.split()) == "".join(line.split()) else line


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
