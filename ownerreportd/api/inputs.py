"""Owns the reading of what callers send: queries, bodies, fields; every mistake is told at once.

Rule: a value passes as the type that the route needs, or becomes a mistake with its place.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.api.problems import InputError, Mistake, TooLargeError, UnsupportedTypeError
from ownerreportd.core.compose import FIELDS
from ownerreportd.core.report import is_valid_id
from ownerreportd.gate import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from starlette.requests import Request

MARKDOWN: Final = frozenset({"text/markdown", "text/x-markdown", "text/plain"})
JSON: Final = "application/json"
REPORT_FIELDS: Final = (*FIELDS, "created")
JSON_ROOM_BYTES: Final = 65_536  # what JSON may take beside a report's own bytes
REPORT_HINT: Final = "send a shorter report, or raise [spool] report_bytes_max"
STATES: Final = ("waiting", "sending", "blocked", "sent", "held", "withdrawn", "rejected")


class Reading:
    """One request's values being read; collects mistakes until `finish`."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def finish(self) -> None:
        """Go on only if nothing was wrong.

        Raises:
            InputError: with every mistake.
        """
        if self.mistakes:
            raise InputError(self.mistakes)

    def wrong(self, pointer: str, message: str) -> None:
        """Note a mistake at `/body/field` or `?parameter`."""
        self.mistakes.append({"pointer": pointer, "message": message})

    def text(self, body: Mapping[str, Any], name: str) -> str | None:
        """An optional text of a JSON body; null is the same as not there."""
        value = body.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(f"/{name}", "must be a string")
            return None
        return self._encodable(f"/{name}", value)

    def name_of(self, body: Mapping[str, Any], name: str) -> str | None:
        """An optional text that, where it is there, names something."""
        value = self.text(body, name)
        if value is not None and not value.strip():
            self.wrong(f"/{name}", "must not be empty")
            return None
        return value

    def names(self, body: Mapping[str, Any], name: str) -> list[str]:
        """An optional list of texts; one text alone stands for itself."""
        value = body.get(name)
        items = [value] if isinstance(value, str) else value
        if items is None:
            return []
        if not isinstance(items, list) or not all(isinstance(i, str) and i for i in items):
            self.wrong(f"/{name}", "must be a list of destination names")
            return []
        return [self._encodable(f"/{name}", item) for item in items]

    def choice(self, pointer: str, value: str | None, allowed: Sequence[str]) -> str | None:
        """The value, if it is one of those."""
        if value is not None and value not in allowed:
            self.wrong(pointer, f"must be one of {', '.join(allowed)}")
        return value

    def number(
        self, request: Request, name: str, *, default: float, least: float, most: float
    ) -> float:
        """A number from the query, within its bounds."""
        raw = request.query_params.get(name)
        if raw is None:
            return default
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            self.wrong(f"?{name}", f"must be a number from {least:g} to {most:g}")
            return default
        return value

    def whole(self, request: Request, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number from the query, within its bounds."""
        raw = request.query_params.get(name, str(default))
        # isdigit alone takes digits that int() does not, and an endless row of them.
        value = int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 20 else -1
        if not least <= value <= most:
            self.wrong(f"?{name}", f"must be a whole number from {least} to {most}")
            return default
        return value

    def time(self, pointer: str, value: str | None) -> datetime | None:
        """An optional time, aware."""
        at = parse_time(value)
        if value is not None and at is None:
            self.wrong(pointer, "must be a time by RFC 3339 with an offset")
        return at

    def report_id(self, text: str) -> str:
        """The id that a path carries for a new report."""
        if not is_valid_id(text):
            self.wrong("/id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
        return text

    def _encodable(self, pointer: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            self.wrong(pointer, "holds half a surrogate pair")
        return text


def content_type(request: Request) -> str:
    """The body's media type in lower case, empty if none was named.

    Raises:
        UnsupportedTypeError: if its charset is not UTF-8.
    """
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if parameters.strip().lower().startswith("charset=") and charset not in {"utf-8", "utf8"}:
        raise UnsupportedTypeError(
            f"the charset {charset!r} is not taken", hint="send UTF-8, and say so or say nothing"
        )
    return media_type.strip().lower()


async def body_bytes(request: Request, bytes_max: int, *, hint: str = REPORT_HINT) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: if it is over `bytes_max`, as soon as that is known.
    """
    announced = request.headers.get("content-length", "0")
    if int(announced) > bytes_max:  # the parser has seen to it that it is a number
        raise _too_large(bytes_max, hint)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max, hint)
    return bytes(body)


async def destination(request: Request) -> str | None:
    """The destination that an otherwise empty JSON body may name."""
    body = await json_object(request)
    reading = Reading()
    name = reading.name_of(body, "destination")
    reading.finish()
    return name


async def json_object(request: Request) -> dict[str, Any]:
    """The body's JSON object; an empty body is an empty one.

    Raises:
        InputError: if it is no JSON object.
        TooLargeError: if it is over 64 KiB.
        UnsupportedTypeError: if there is a body of another content type.
    """
    value = await json_value(request)
    if not isinstance(value, dict):
        raise InputError([{"pointer": "", "message": "the body must be a JSON object"}])
    return value


async def json_value(request: Request) -> Any:
    """The body's JSON, whatever it is; an empty body is an empty object.

    Raises:
        InputError: if it is no JSON.
        TooLargeError: if it is over 64 KiB.
        UnsupportedTypeError: if there is a body of another content type.
    """
    kind = content_type(request)
    body = await body_bytes(request, JSON_ROOM_BYTES, hint="send less; it is no report")
    if not body.strip():
        return {}
    if kind != JSON:
        raise UnsupportedTypeError(
            f"the content type {kind!r} is not taken here", hint=f"send {JSON}"
        )
    return _parsed(body)


def parsed_object(body: bytes) -> dict[str, Any]:
    """The JSON object in these bytes.

    Raises:
        InputError: if it is none.
    """
    value = _parsed(body)
    if not isinstance(value, dict):
        raise InputError([{"pointer": "", "message": "the body must be a JSON object"}])
    return value


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputError([{"pointer": "", "message": "the body is no valid JSON"}]) from None


def _too_large(bytes_max: int, hint: str) -> TooLargeError:
    return TooLargeError(f"the body is over {bytes_max} bytes", hint=hint)
