"""What can be claimed of an exchange, by the way it failed."""

import asyncio
import ssl
import subprocess

import httpx
import pytest
from doubles.faults import NAMED, VIA, answer
from doubles.wire import Fault, Reply, Wire

from ownerreportd.channels import http
from ownerreportd.channels.http import ANSWER_BYTES_MAX, Answer, HttpClient
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import InDoubt, NotSent

SECRET = "s3cret-in-the-path"


class Service:
    """Answers every request alike, unless the next fault says otherwise."""

    def __init__(self):
        self.fault = None
        self.reply = Reply.of_json(200, {"ok": True})
        self.wire = Wire(self._answer, lambda _: self.fault)

    async def _answer(self, _seen):
        return self.reply

    @property
    def url(self):
        return f"http://127.0.0.1:{self.wire.port}/{SECRET}"


@pytest.fixture
async def service(no_blocking):
    service = Service()
    async with service.wire:
        yield service


@pytest.fixture
async def client():
    client = HttpClient(headers={"X-Own": "1"}, timeout_s=5, secrets=(SECRET,))
    yield client
    await client.aclose()


async def test_a_complete_answer_is_returned_whatever_its_status(service, client):
    service.reply = Reply.of_json(418, {"ok": False})
    found = await client.exchange("POST", service.url, content=b"hello")
    assert isinstance(found, Answer)
    assert (found.status, found.json()) == (418, {"ok": False})
    assert found.headers["CONTENT-TYPE"] == "application/json"
    assert service.wire.requests[0].body == b"hello"
    assert service.wire.requests[0].headers["x-own"] == "1"


async def test_every_exchange_has_a_connection_of_its_own(service, client):
    for _ in range(3):
        await client.exchange("GET", service.url)
    assert [r.connection for r in service.wire.requests] == [1, 2, 3]


async def test_a_refused_connection_is_not_sent(service, client):
    service.wire.refuse()
    found = await client.exchange("POST", service.url, content=b"x")
    assert found == NotSent("cannot connect to 127.0.0.1: Connection refused")


async def test_a_name_that_does_not_resolve_is_not_sent(client, no_blocking):
    found = await client.exchange("POST", "http://nowhere.invalid/", content=b"x")
    assert isinstance(found, NotSent)
    assert found.detail.startswith("cannot connect to nowhere.invalid: ")


@pytest.mark.parametrize("url", ["http://a..b/", "http://[::bad/", "ftp://127.0.0.1/", "no url"])
async def test_an_impossible_address_is_not_sent(client, no_blocking, url):
    assert isinstance(await client.exchange("POST", url, content=b"x"), NotSent)


async def test_a_plain_answer_to_tls_is_not_sent(service, client):
    found = await client.exchange("POST", service.url.replace("http:", "https:"), content=b"x")
    assert isinstance(found, NotSent)


async def test_tls_that_is_never_answered_is_not_sent(service):
    service.wire.connection_faults.append(NAMED["hang"])
    client = HttpClient(headers={}, timeout_s=1)
    found = await client.exchange("POST", service.url.replace("http:", "https:"), content=b"x")
    await client.aclose()
    assert found == NotSent("cannot connect to 127.0.0.1: no connection within 1 s")


async def test_a_certificate_that_nobody_vouches_for_is_not_sent(tmp_path, client):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made += ["-keyout", tmp_path / "key", "-out", tmp_path / "certificate"]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    found = await client.exchange("POST", f"https://localhost:{port}/", content=b"x")
    server.close()
    await server.wait_closed()
    assert isinstance(found, NotSent)
    assert "certificate is not valid (self-signed certificate)" in found.detail


IN_DOUBT = [
    "close",
    "reset_in_upload",
    "reset_after_body",
    "drop_after_body",
    "truncate",
    "garbage",
    "hang",
    "drip",
]


@pytest.mark.parametrize("name", IN_DOUBT)
async def test_once_the_request_has_begun_every_failure_is_in_doubt(service, name):
    client = HttpClient(headers={}, timeout_s=1)
    service.fault = NAMED[name]
    found = await client.exchange("POST", service.url, content=b"x" * 100_000)
    await client.aclose()
    assert isinstance(found, InDoubt), found
    assert SECRET not in found.detail
    assert "127.0.0.1" not in found.detail


async def test_a_connection_closed_before_a_byte_was_read_is_in_doubt(service, client):
    service.wire.connection_faults.append(NAMED["close"])
    assert isinstance(await client.exchange("POST", service.url, content=b"x"), InDoubt)


async def test_an_answer_without_end_is_left_at_the_cap(service, client):
    service.fault = NAMED["huge"]
    found = await client.exchange("GET", service.url)
    assert found == InDoubt(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")


async def test_a_redirect_is_an_answer_like_any_other(service, client):
    service.fault = answer(307, Location=service.url)
    found = await client.exchange("POST", service.url, content=b"x")
    assert isinstance(found, Answer)
    assert found.status == 307
    assert len(service.wire.requests) == 1


async def test_the_whole_attempt_has_a_deadline_though_every_phase_keeps_its_own(service):
    client = HttpClient(headers={}, timeout_s=1)
    service.fault = Fault("drip", pause_s=0.02)
    found = await client.exchange("GET", service.url)
    await client.aclose()
    assert found == InDoubt("no complete answer within 1 s")


async def test_cancellation_passes_through(service, client):
    service.fault = NAMED["hang"]
    asking = asyncio.ensure_future(client.exchange("GET", service.url))
    while not service.wire.requests:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_proxy_that_refuses_the_tunnel_is_not_sent(service, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{service.wire.port}")
    client = HttpClient(headers={}, timeout_s=5)
    service.fault = answer(403)
    found = await client.exchange("POST", "https://service.invalid/x", content=b"x")
    await client.aclose()
    assert found == NotSent("cannot connect to service.invalid: the proxy refused")
    assert service.wire.requests[0].method == "CONNECT"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_a_configuration_error(monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigError) as caught:
        HttpClient(headers={}, timeout_s=5)
    assert proxy not in str(caught.value)
    assert "HTTPS_PROXY" in caught.value.hint


def test_the_tls_context_is_made_once_and_verifies():
    assert http.tls_context() is http.tls_context()
    assert http.tls_context().verify_mode is ssl.CERT_REQUIRED
    assert http.tls_context().check_hostname


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b"9" * 10_000])
def test_a_body_that_is_no_json_is_none(body):
    assert Answer(200, {}, body).json() is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        (" 0 ", 0.0),
        ("-5", 0.0),
        ("1e300", 86_400.0),
        ("inf", 86_400.0),
        ("nan", 60.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_by_the_other_sides_clock(value, expected):
    headers = httpx.Headers({"Retry-After": value, "Date": "Sun, 22 Nov 2026 10:00:00 GMT"})
    assert Answer(429, headers, b"").retry_after_s() == expected


async def test_foreign_text_is_shown_on_one_line_cut_and_without_secrets(client):
    assert client.shown(f"a\n\tb {SECRET} \x1b[31m") == "a b [secret] ?[31m"
    long = client.shown("x" * 195 + SECRET)
    assert len(long) <= 200
    assert SECRET[:5] not in long


async def test_a_service_error_survives_an_unread_upload(service, client):
    service.fault = Fault("answer", after="head", status=413, headers=VIA, body="{}")
    found = await client.exchange("POST", service.url, content=b"x" * 1000)
    assert isinstance(found, Answer)
    assert found.status == 413


async def test_a_request_that_cannot_be_written_claims_nothing(service, client):
    found = await client.exchange("GET", service.url, headers={"X-Own": "two\nlines"})
    assert isinstance(found, InDoubt)
    assert service.wire.requests == []
