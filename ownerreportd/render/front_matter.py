"""Owns reading a report's bytes: what is no report, the front matter, and the body.

Rule: a report is never refused for its decoration. Front matter that is not valid is part of the
text, with a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from ownerreportd.core.report import REPORT_FIELDS, Report, is_valid_id

FRONT_MATTER_BYTES_MAX = 65_536
_DEPTH_MAX = 16
_SHOWN_MAX = 80
_OPENING = re.compile(r"---[ \t]*(?:\n|\Z)")
_CLOSING = re.compile(r"^---[ \t]*$", re.MULTILINE)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# libyaml reads the longest front matter in a tenth of the second that pure Python takes.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _InvalidFrontMatterError(Exception):
    """Raised when front matter is not what the contract says; the text says why."""


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report as it was read, what was odd about it, and the id that it asks for, if valid."""

    report: Report
    warnings: tuple[str, ...] = ()
    front_id: str | None = None


def reject_reason(data: bytes, bytes_max: int) -> str | None:
    """Why these bytes are no report, as a sentence for people; None for a report."""
    if len(data) > bytes_max:
        return f"The file has {len(data):,} bytes; a report may have {bytes_max:,}."
    if not data:
        return "The file is empty."
    if (offset := data.find(b"\0")) >= 0:
        return f"There is a NUL byte at byte {offset}; a report is text."
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the mark that it removes.
        offset = error.start + (len(data) - len(error.object))
        return f"The text is not UTF-8: byte {offset} is 0x{data[offset]:02x}."
    return None if text.strip() else "The file holds only white space."


def read_report(data: bytes, *, report_id: str = "") -> ReadReport:
    """The report in these bytes. Never raises; bytes that are no UTF-8 are shown as U+FFFD.

    `report.id` is `report_id`, else the front matter's id where that is valid, else empty.
    """
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        front, body = _divided(text)
        values = _values(front)
    except _InvalidFrontMatterError as error:
        warning = f"front matter {error}; it is shown as text"
        return ReadReport(Report(id=report_id, body=text), (warning,))
    warnings: list[str] = []
    front_id = _front_id(values, warnings)
    fields: Any = {name: _field(values, name, warnings) for name in REPORT_FIELDS}
    to = _destinations(values, warnings)
    report = Report(id=report_id or front_id or "", body=body, to=to, **fields)
    return ReadReport(report, tuple(warnings), front_id)


def _divided(text: str) -> tuple[str, str]:
    """Front matter and body; the first is empty where there is none."""
    opening = _OPENING.match(text)
    if opening is None:
        return "", text
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        raise _InvalidFrontMatterError("has no closing ---")
    return text[opening.end() : closing.start()], text[closing.end() :].removeprefix("\n")


def _values(front: str) -> dict[Any, Any]:
    """What the front matter says; every scalar a string. Empty front matter says nothing."""
    if len(front.encode()) > FRONT_MATTER_BYTES_MAX:
        raise _InvalidFrontMatterError(f"is over {FRONT_MATTER_BYTES_MAX:,} bytes")
    try:
        _check_bounded(front)
        values = yaml.load(front, Loader=_LOADER)  # noqa: S506 - the base loader makes only strings
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" (line {line + 2} of the file)"
        raise _InvalidFrontMatterError(f"is not valid YAML{where}") from error
    except ValueError as error:  # an escape that names no character
        raise _InvalidFrontMatterError("is not valid YAML") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise _InvalidFrontMatterError("is not a mapping of keys to values")
    return values


def _check_bounded(front: str) -> None:
    """Raise if loading could need more than the text's own size in memory, or a deep stack."""
    depth = 0
    for event in yaml.parse(front, Loader=_LOADER):
        if getattr(event, "anchor", None) is not None:  # of an alias too
            raise _InvalidFrontMatterError("uses an anchor or an alias")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise _InvalidFrontMatterError("is nested too deeply")


def _one_line(value: str) -> str:
    return _CONTROLS.sub(" ", value).strip()


def _field(values: dict[Any, Any], name: str, warnings: list[str]) -> str:
    value = values.get(name, "")
    if isinstance(value, str):
        return _one_line(value)
    warnings.append(f"front matter: {name} is not a single value; it is ignored")
    return ""


def _front_id(values: dict[Any, Any], warnings: list[str]) -> str | None:
    text = _field(values, "id", warnings)
    if not text or is_valid_id(text):
        return text or None
    warnings.append(f"front matter: the id {text[:_SHOWN_MAX]!r} is not valid; it is ignored")
    return None


def _destinations(values: dict[Any, Any], warnings: list[str]) -> tuple[str, ...]:
    value = values.get("to", "")
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        warnings.append("front matter: to is neither a name nor a list of names; it is ignored")
        return ()
    return tuple(dict.fromkeys(line for name in names if (line := _one_line(name))))
