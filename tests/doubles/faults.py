"""The faults by name, so that a test and a script on the control endpoint say them alike."""

from __future__ import annotations

import json

from doubles.wire import Fault

VIA = {"Content-Type": "application/json", "Via": "1.1 google"}
HTML = {"Content-Type": "text/html; charset=UTF-8", "Server": "cloudflare"}


def answer(status: int, value: object = None, **headers: str) -> Fault:
    """An answer as the service itself would give it: JSON, with `Via`."""
    body = "" if value is None else json.dumps(value)
    return Fault("answer", status=status, headers={**VIA, **headers}, body=body)


def error(status: int, code: int, message: str = "made up") -> Fault:
    """One of the service's own errors."""
    return answer(status, {"message": message, "code": code})


def proxy(status: int, body: str = "<html><body>no</body></html>", **headers: str) -> Fault:
    """An answer by something in between, in HTML."""
    return Fault("answer", status=status, headers={**HTML, **headers}, body=body)


def throttled(retry_after_s: float, *, scope: str = "user", is_global: bool = False) -> Fault:
    """A 429 as Discord sends it."""
    body = {"message": "You are being rate limited.", "retry_after": retry_after_s}
    headers = {"Retry-After": str(int(-(-retry_after_s // 1))), "X-RateLimit-Scope": scope}
    return answer(429, {**body, "global": is_global}, **headers)


def throttled_by_proxy(retry_after_s: int | None = None) -> Fault:
    """A 429 as Cloudflare sends it: HTML, no `Via`."""
    named = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return proxy(429, "<html>error code: 1015</html>", **named)


NAMED: dict[str, Fault] = {
    "close": Fault("close", after="head"),
    "reset_in_upload": Fault("reset", after="head"),
    "reset_after_body": Fault("reset"),
    "drop_after_body": Fault("close"),
    "hang": Fault("hang"),
    "truncate": Fault("truncate"),
    "garbage": Fault("garbage"),
    "drip": Fault("drip"),
    "huge": Fault("huge"),
    "rubbish": Fault("answer", status=200, headers=VIA, body="<<not json>>"),
    "other_json": answer(200, {"ok": True}),
    "list_json": answer(200, []),
    "empty_200": Fault("answer", status=200, headers=VIA),
    "401": answer(401, {"message": "401: Unauthorized", "code": 0}),
    "403": error(403, 50001, "Missing Access"),
    "404": error(404, 10003, "Unknown Channel"),
    "429": throttled(1.5),
    "429_proxy": throttled_by_proxy(),
    "500": error(500, 0, "500: Internal Server Error"),
    "502": proxy(502),
    "503": proxy(503),
    "504": proxy(504),
    "accept_then_drop": Fault("close", accept=True),
    "accept_then_reset": Fault("reset", accept=True),
    "accept_then_hang": Fault("hang", accept=True),
    "accept_then_500": Fault("answer", accept=True, status=500, headers=VIA, body="{}"),
    "accept_then_504": Fault("answer", accept=True, status=504, headers=HTML, body="<html>"),
    "accept_then_truncate": Fault("truncate", accept=True),
    "accept_then_drip": Fault("drip", accept=True),
    "accept_then_429": Fault(
        "answer",
        accept=True,
        status=429,
        headers=VIA,
        body='{"message": "made up", "retry_after": 0.5, "global": false}',
    ),
}
