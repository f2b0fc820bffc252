"""A small strict double of Gotify on loopback: it refuses what Gotify refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime

TOKEN = "A-made-up.token"
UNAUTHORIZED = "you need to provide a valid access token or user credentials to access this api"
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many"}


class GotifyDouble:
    """The server. `messages` is what its reader sees, oldest first."""

    def __init__(self) -> None:
        self.messages = []
        self.situation = "accepts"
        self.answer = None  # (status, body) in place of the server's own

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    async def arrange(self, situation):
        if situation == "refuses_report":
            return False  # Gotify takes every text
        if situation == "unreachable":
            self._server.close()
        self.situation = situation
        return True

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._exchange(reader, writer)
        writer.close()

    async def _exchange(self, reader, writer):
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, value = self.answer or self._answer(request.rpartition(" ")[0], headers, body)
        if self.situation == "silent":
            await reader.read()
        if self.situation in {"silent", "drops"}:
            return
        shown = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}\r\nRetry-After: 3\r\n"
        writer.write(f"{head}Content-Length: {len(shown)}\r\n\r\n".encode() + shown)
        await writer.drain()

    def _answer(self, request, headers, body):
        if self.situation == "throttles":
            return 429, {}
        if request != "POST /message":
            return refused(404, "page not found")
        if headers.get("x-gotify-key") != TOKEN or self.situation == "refuses_config":
            return refused(401, UNAUTHORIZED)
        form = json.loads(body) if headers.get("content-type") == "application/json" else {}
        if not form.get("message"):
            return refused(400, "Field 'message' is required")
        # Gotify would ignore it; here a misspelt field must not pass unnoticed.
        if form.keys() != {"message", "priority", "extras"} or type(form["priority"]) is not int:
            return refused(400, "no such form")
        now = datetime.now(UTC).isoformat()
        made = {"id": len(self.messages) + 1, "appid": 5, "title": "reports", "date": now, **form}
        self.messages.append(made)
        return 200, made


def refused(status, why):
    return status, {"error": REASONS[status], "errorCode": status, "errorDescription": why}
