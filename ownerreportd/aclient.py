r"""Owns how an asynchronous program asks the daemon: on httpx, over connections that are kept.

    async with AsyncClient() as daemon:
        report = await daemon.submit("# Build\n\nDone.".encode())
        print((await daemon.wait(report["id"], timeout_s=60))["state"])

Rule: the verbs and errors are those of `ownerreportd.client`; only their way is another.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import httpx

from ownerreportd.client import (
    QUIET_S,
    TIMEOUT_S,
    calls,
    nobody_there,
    usual_places,
    write_to_spool,
)  # fmt: skip
from ownerreportd.client.calls import Call
from ownerreportd.client.exchange import Answer
from ownerreportd.client.problems import Json, LostAnswerError, checked, raise_problem
from ownerreportd.client.verbs import Verbs
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["AsyncClient", "LostAnswerError"]

_BASE: Final = "http://localhost"


class AsyncClient(Verbs[Coroutine[Any, Any, Json]]):
    """The daemon, asked from a loop. Its arguments, verbs and errors are those of `Client`.

    Connections are kept and used again; `async with`, or `aclose`, closes them.
    """

    def __init__(
        self, socket_paths: Sequence[Path] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.socket_paths = usual_places() if socket_paths is None else list(socket_paths)
        self.timeout_s = timeout_s
        self._by_path: dict[Path, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; twice is no error."""
        while self._by_path:
            _, http = self._by_path.popitem()
            await http.aclose()

    async def submit(
        self, data: bytes, *, report_id: str | None = None, spool: Path | None = None
    ) -> Json:
        """Hand a report over, durably, with `spool` also without a daemon; see `Client.submit`."""
        try:
            return await super().submit(data, report_id=report_id)
        except LostAnswerError:
            raise
        except UnreachableError:
            if spool is None:
                raise
            return await anyio.to_thread.run_sync(write_to_spool, Path(spool), data, report_id)

    async def events(
        self, *, quiet_s: float = QUIET_S, **wanted: str | int | None
    ) -> AsyncIterator[Json]:
        """Each event as it comes; see `Client.events`."""
        response = await self._sent(Call("GET", f"/v1/events{calls.query(**wanted)}"), quiet_s)
        try:
            if response.status_code != httpx.codes.OK:
                raise_problem(await _read(response))
            async for line in response.aiter_lines():
                if line:
                    yield json.loads(line)
        except (httpx.TransportError, ValueError) as error:
            raise _lost(error) from error
        finally:
            await response.aclose()

    async def _ask(self, call: Call) -> Json:
        wait_s = self.timeout_s if call.wait_s is None else call.wait_s
        response = await self._sent(call, wait_s)
        try:
            answer = await _read(response)
        except httpx.TransportError as error:
            raise _lost(error) from error
        finally:
            await response.aclose()
        return checked(answer, also=call.also)

    async def _sent(self, call: Call, read_s: float) -> httpx.Response:
        """The answer's head, from the first socket that takes a connection."""
        tried = []
        for path in self.socket_paths:
            http = self._http(path)
            headers = {} if call.body is None else {"Content-Type": call.content_type}
            timeout = httpx.Timeout(self.timeout_s, read=read_s)
            request = http.build_request(
                call.method, _BASE + call.path, content=call.body, headers=headers, timeout=timeout
            )
            try:
                return await http.send(request, stream=True)
            except httpx.ConnectError as error:
                tried.append(f"{path} ({error})")
            except httpx.TransportError as error:
                raise _lost(error) from error
        raise nobody_there(tried)

    def _http(self, path: Path) -> httpx.AsyncClient:
        if path not in self._by_path:
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            self._by_path[path] = httpx.AsyncClient(transport=transport, trust_env=False)
        return self._by_path[path]


async def _read(response: httpx.Response) -> Answer:
    body = await response.aread()
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    return Answer(response.status_code, dict(response.headers), content)


def _lost(error: Exception) -> LostAnswerError:
    return LostAnswerError(
        f"the daemon gave no whole answer: {str(error) or type(error).__name__}",
        hint="ownerreportd status",
    )
