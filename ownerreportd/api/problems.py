"""Owns how an error looks on the socket: application/problem+json, RFC 9457.

Rule: what the operator can mend is told whole; what is our bug is logged, and told in one line.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ownerreportd.core.errors import ConfigError, InvalidGateInputError, OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Mistake: TypeAlias = dict[str, str]

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ownerreportd:error:"


class InputError(OperatorError):
    """Raised when a query or body has wrong types or values; `mistakes` lists every one."""

    code = "invalid_input"
    exit_status = 64
    http_status = 422

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Each mistake is `{pointer, message}`; `pointer` is `/body/field` or `?parameter`."""
        detail = "; ".join(f"{each['pointer']}: {each['message']}" for each in mistakes)
        super().__init__(detail, hint="correct what `errors` lists, and ask again")
        self.mistakes = list(mistakes)


class TooLargeError(OperatorError):
    """Raised when the body is over what is taken."""

    code = "too_large"
    exit_status = 65
    http_status = 413


class UnsupportedTypeError(OperatorError):
    """Raised when the body's content type is not one that the route takes."""

    code = "unsupported_type"
    exit_status = 64
    http_status = 415


_HTTP_HINTS = {
    404: "the routes begin with /v1/reports, /v1/queue, /v1/gate, /v1/receipts, /v1/events, "
    "/v1/status, /v1/health, /v1/version or /metrics",
    405: "use a method that the header Allow names",
    421: "use http://localhost/ with the socket",
}


def problem(
    kind: str,
    *,
    status: int,
    detail: str,
    hint: str,
    code: str = "",
    errors: Sequence[Mistake] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for one error. `type` names the kind and leads nowhere; `code` may be finer."""
    content: dict[str, Any] = {
        "type": TYPE_PREFIX + kind,
        "title": kind.replace("_", " ").capitalize(),
        "code": code or kind,
        "status": status,
        "detail": detail,
        "hint": hint,
    }
    if errors:
        content["errors"] = list(errors)
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(body, status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception, *, path: str) -> Response:
    """The answer for whatever a route raised; 500 says that it is our bug."""
    if isinstance(error, OperatorError):
        return _operator_problem(error)
    if isinstance(error, HTTPException):
        return _http_problem(error, path)
    # Its text may hold a secret, so none of it is told.
    return problem(
        "internal_error",
        status=500,
        detail="the daemon met an unexpected exception; its log has the traceback",
        hint="journalctl -u ownerreportd, and report it",
    )


def _operator_problem(error: OperatorError) -> Response:
    """The answer for an error that the operator or the caller can mend."""
    # The rest of a body that nobody will read must not keep the connection.
    headers = {"Connection": "close"} if error.http_status in {413, 415} else None
    kind = type(error)
    return problem(
        kind.code,
        code=error.code,
        status=kind.http_status,
        detail=str(error),
        hint=error.hint,
        errors=_mistakes(error),
        headers=headers,
    )


def _http_problem(error: HTTPException, path: str) -> Response:
    """The answer for what the routing refuses: no such route, wrong method, wrong host."""
    phrase = HTTPStatus(error.status_code).phrase
    known = error.status_code != HTTPStatus.NOT_FOUND
    return problem(
        phrase.lower().replace(" ", "_"),
        status=error.status_code,
        detail=error.detail if known else f"there is no route {path}",
        hint=_HTTP_HINTS.get(error.status_code, ""),
        headers=error.headers,
    )


def _mistakes(error: OperatorError) -> Sequence[Mistake]:
    if isinstance(error, InputError | InvalidGateInputError):
        return error.mistakes
    if isinstance(error, ConfigError):
        return [{"pointer": "", "message": text} for text in error.mistakes]
    return ()
