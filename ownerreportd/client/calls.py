"""Owns what each thing that can be asked looks like on the wire, for both clients.

Rule: no I/O; values in, one request out. The shapes of the answers are in `docs/openapi.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.client.exchange import quoted
from ownerreportd.core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json"
MARKDOWN: Final = "text/markdown; charset=utf-8"
LONG_S: Final = 3600.0  # an attempt in flight ends first, and a report may have many parts


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `wait_s` is how long its answer may take; None is as long as usual.

    `also` is a status that is no error, though it looks like one.
    """

    method: str
    path: str
    body: bytes | None = None
    content_type: str = JSON
    wait_s: float | None = None
    also: int = 0


def submit(data: bytes, report_id: str | None) -> Call:
    """Hand a report over."""
    if report_id is None:
        return Call("POST", "/v1/reports", data, MARKDOWN)
    return Call("PUT", _report(report_id), data, MARKDOWN)


def reports(limit: int, after: int, **which: str | None) -> Call:
    """A page of reports."""
    given = {name: value or None for name, value in which.items()}
    return Call("GET", "/v1/reports" + query(limit=limit, after=after, **given))


def report(ref: str) -> Call:
    """One report, whole."""
    return Call("GET", _report(ref))


def wait(ref: str, timeout_s: float, usual_s: float) -> Call:
    """The report when its state is final, or at the timeout."""
    path = f"{_report(ref)}/wait?timeout_s={timeout_s:g}"
    return Call("GET", path, wait_s=timeout_s + usual_s)


def send(ref: str, where: Mapping[str, str | None], data: bytes | None, wait_s: float) -> Call:
    """One report now; with `data` it is a new one of that id."""
    if data is not None:
        return Call("POST", f"{_report(ref)}/send{query(**where)}", data, MARKDOWN, wait_s)
    return act(f"{_report(ref)}/send", where, wait_s)


def act_on(ref: str, verb: str, **fields: str | None) -> Call:
    """`retry`, `skip` or `resolve` a report."""
    return act(f"{_report(ref)}/{verb}", fields)


def act(path: str, fields: Mapping[str, str | None], wait_s: float | None = None) -> Call:
    """A POST with the fields that are given."""
    given = {name: value for name, value in fields.items() if value is not None}
    return Call("POST", path, json.dumps(given).encode(), JSON, wait_s)


def gate(adapter: str, request: Mapping[str, Any]) -> Call:
    """The contract for a request of this adapter."""
    return Call("POST", f"/v1/gate/{quoted(adapter)}", _json(request))


def write_receipt(receipt: Mapping[str, Any]) -> Call:
    """Keep a receipt."""
    return Call("POST", "/v1/receipts", _json(receipt))


def query(**wanted: str | int | None) -> str:
    """The query with what is wanted, `?` included; empty where that is nothing."""
    said = [f"{name}={quoted(str(value))}" for name, value in wanted.items() if value is not None]
    return "?" + "&".join(said) if said else ""


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which the daemon will tell of
        return json.dumps(value, separators=(",", ":")).encode()


def _report(ref: str) -> str:
    if "/" in ref or not ref:  # no id and no file's name, and no path segment either
        raise NotFoundError(f"there is no report {ref!r}", hint="ownerreportd list")
    return f"/v1/reports/{quoted(ref)}"
