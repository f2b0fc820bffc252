"""Owns the one HTTP client of all channels, and what can be claimed when an exchange fails.

Rules: one request, one fresh connection, one attempt, no redirect. `NotSent` is claimed only when
no byte of the request can have left; after that the exception's type proves nothing (a reset in
the middle of the upload and one after the whole body raise the same `ReadError`).
"""

from __future__ import annotations

import json
import math
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import anyio
import httpx

from ownerreportd.channels.shown import shown
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import InDoubt, NotSent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import httpcore

ANSWER_BYTES_MAX = 1_048_576
CONNECT_S_MAX = 10.0
RETRY_AFTER_S_MAX = 86_400.0
RETRY_AFTER_S = 60.0
_BROKEN: dict[type[Exception], str] = {
    httpx.TimeoutException: "no complete answer within {timeout_s:g} s",
    httpx.RemoteProtocolError: "the connection ended without a complete answer in HTTP",
    httpx.NetworkError: "the connection broke after the request had begun",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete response, read to its end. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def retry_after_s(self) -> float | None:
        """What `Retry-After` says, as seconds from now; None if it says nothing usable."""
        text = self.headers.get("retry-after", "").strip()
        try:
            return bounded_s(float(text))
        except ValueError:
            at = _http_date(text)
        now = self.date() or datetime.now(UTC)
        return None if at is None else bounded_s((at - now).total_seconds())

    def date(self) -> datetime | None:
        """The other side's clock when it answered, None if it did not say."""
        return _http_date(self.headers.get("date", ""))


Exchange: TypeAlias = Answer | NotSent | InDoubt


def bounded_s(seconds: float) -> float:
    """The wait that the other side asked for, between 0 and a day; a minute if it is no number."""
    # Compared as it came: JSON's integers have no bound, and float() would raise on them.
    within = min(max(seconds, 0), RETRY_AFTER_S_MAX)
    return RETRY_AFTER_S if math.isnan(within) else float(within)


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@cache
def tls_context() -> ssl.SSLContext:
    """The context that verifies certificates; made once, since loading the authorities takes 30 ms.

    SSL_CERT_FILE and SSL_CERT_DIR replace the authorities that come with certifi.
    """
    return httpx.create_ssl_context()


class HttpClient:
    """One exchange at a time with one service. Close it at the end; closing twice is no error.

    Proxies and authorities from the environment are honoured (httpx's `trust_env`): where a
    machine reaches the world only through a proxy, HTTPS_PROXY is how its owner says so, and TLS
    is verified through the tunnel all the same.

    Args:
        headers: sent with every request.
        timeout_s: for each phase, and for the whole attempt.
        secrets: never to be seen in `shown`.

    Raises:
        ConfigError: if the environment names a proxy that cannot be used.
    """

    def __init__(
        self, *, headers: Mapping[str, str], timeout_s: float, secrets: tuple[str, ...] = ()
    ) -> None:
        self._timeout_s = timeout_s
        self._secrets = tuple(secret for secret in secrets if secret)
        try:
            self._client = httpx.AsyncClient(
                # Content coding would let a small answer grow without measure.
                headers={"Accept-Encoding": "identity", **headers},
                verify=tls_context(),
                follow_redirects=False,
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S_MAX)),
                # A connection kept alive can be closed by the other side just as we write to it;
                # a fresh one costs a round trip and can only fail before the request begins.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigError(
                f"the proxy in the environment cannot be used ({type(error).__name__})",
                hint="set HTTPS_PROXY to http://HOST:PORT, or unset it and ALL_PROXY",
            ) from error

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Exchange:
        """Ask once and read the whole answer, or say what is known about the failure.

        Never raises for what can be expected of a network; cancellation passes through.
        """
        trace = _Trace()
        try:
            with anyio.move_on_after(self._timeout_s):
                request = self._client.build_request(
                    method, url, headers=headers, content=content, extensions={"trace": trace}
                )
                return await self._answer(request, answer_bytes_max)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return self._failure(error, url, begun=trace.has_begun)
        finally:
            await trace.aclose()
        return self._failure(httpx.ReadTimeout(""), url, begun=trace.has_begun)

    async def _answer(self, request: httpx.Request, bytes_max: int) -> Exchange:
        response = await self._client.send(request, stream=True)
        try:
            body = await _capped(response.aiter_raw(), bytes_max)
        finally:
            await response.aclose()
        if body is None:
            return InDoubt(f"the answer is longer than {bytes_max} bytes")
        return Answer(response.status_code, response.headers, body)

    def _failure(self, error: Exception, url: str, *, begun: bool) -> NotSent | InDoubt:
        if not begun:
            return NotSent(f"cannot connect to {_host(url)}: {self._why_no_connection(error)}")
        for kind, text in _BROKEN.items():
            if isinstance(error, kind):
                return InDoubt(text.format(timeout_s=self._timeout_s))
        return InDoubt(f"the exchange failed after it had begun ({type(error).__name__})")

    def _why_no_connection(self, error: Exception) -> str:
        # str(error) is never used: it may hold a URL, and some URLs are secrets.
        if isinstance(error, httpx.TimeoutException):
            return f"no connection within {min(self._timeout_s, CONNECT_S_MAX):g} s"
        if isinstance(error, httpx.ProxyError):
            return "the proxy refused"
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"the certificate is not valid ({cause.verify_message})"
            if isinstance(cause, ssl.SSLError):
                return f"TLS failed ({cause.reason})"
            if isinstance(cause, OSError) and cause.strerror:
                # asyncio's own text holds the address; names that do not resolve are below zero.
                return os.strerror(cause.errno or 0) if (cause.errno or 0) > 0 else cause.strerror
        return type(error).__name__

    def shown(self, text: object) -> str:
        """What the other side said, for people: one line, cut short, without our secrets."""
        return shown(text, self._secrets)

    async def aclose(self) -> None:
        """Let go of every connection."""
        await self._client.aclose()


class _Trace:
    """Listens to httpcore: whether a header of the request itself may have left."""

    def __init__(self) -> None:
        self.has_begun = False
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event == "http11.send_request_headers.started":
            # A proxy's CONNECT runs through the same event, and carries nothing of the report.
            self.has_begun = self.has_begun or info["request"].method != b"CONNECT"

    async def aclose(self) -> None:
        """Close a connection that never came to a request.

        httpcore 1.0.9 forgets it when TLS is cut off by a deadline; closing twice is no error.
        """
        if self._stream is not None and not self.has_begun:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()


async def _capped(chunks: AsyncIterator[bytes], bytes_max: int) -> bytes | None:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is behind it, through the groups that racing connections make."""
    following: BaseException | None = error
    while following is not None:
        yield following
        if isinstance(following, BaseExceptionGroup):
            following = following.exceptions[0]
        else:
            following = following.__cause__ or following.__context__


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the service"
    except ValueError:
        return "the service"
