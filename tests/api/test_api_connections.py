"""Connections that are slow, half, too many, too large or no HTTP; and the end of the server."""

import asyncio
import json
import os
import socket
import time

import pytest

from ownerreportd.api.admission import Limits

GET = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def put(length, body=b"", *headers):
    lines = [b"PUT /v1/reports/r HTTP/1.1", b"Host: localhost", b"Content-Type: text/markdown"]
    lines += [b"Content-Length: %d" % length] if length is not None else []
    return b"\r\n".join([*lines, *headers, b"", body])


async def connect(path):
    return await asyncio.open_unix_connection(str(path))


async def exchange(path, data):
    reader, writer = await connect(path)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


async def answer_of(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def is_closed(reader):
    try:
        return await reader.read() == b""
    except OSError:
        return True


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("half", [b"", b"GET /v1/st", GET[:-2], put(10, b"hello")])
async def test_half_a_request_is_closed_in_time(serve, path, half, log):
    await serve(limits=Limits(request_s=0.05))
    reader, writer = await connect(path)
    writer.write(half)
    assert await is_closed(reader)
    writer.close()
    assert log.lines == []


async def test_a_request_that_trickles_in_does_not_get_more_time(serve, path):
    await serve(limits=Limits(request_s=0.2))
    reader, writer = await connect(path)
    closed = asyncio.ensure_future(is_closed(reader))
    began = time.monotonic()
    for byte in GET * 100:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait({closed}, timeout=0.02)
        if done:
            break
    assert await closed
    assert time.monotonic() - began < 2
    writer.close()


async def test_a_request_that_was_whole_in_time_may_take_longer_to_answer(serve, path, daemon):
    await serve(limits=Limits(request_s=0.05, idle_s=0.05))
    daemon.add("r-1")
    answer = await exchange(
        path,
        b"GET /v1/reports/r-1/wait?timeout_s=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    assert status(answer) == 200


async def test_an_idle_connection_is_closed_later(serve, path):
    await serve(limits=Limits(request_s=0.05, idle_s=0.3))
    reader, writer = await connect(path)
    writer.write(GET)
    await answer_of(reader)
    began = time.monotonic()
    assert await is_closed(reader)
    assert time.monotonic() - began > 0.2
    writer.close()


async def test_the_second_request_of_a_connection_has_its_own_time(serve, path):
    await serve(limits=Limits(request_s=0.05, idle_s=30))
    reader, writer = await connect(path)
    writer.write(GET + GET[:10])  # the second one begins behind the first
    assert status(await answer_of(reader)) == 200
    assert await is_closed(reader)
    writer.close()


async def test_pipelined_requests_are_all_answered(serve, path):
    await serve()
    answer = await exchange(path, GET + GET + LAST)
    assert answer.count(b"HTTP/1.1 200") == 3


async def test_a_connection_goes_on_after_pipelined_requests(serve, path):
    await serve()
    reader, writer = await connect(path)
    for count in (3, 1, 1000):
        writer.write(GET * count)
        for _ in range(count):
            assert status(await answer_of(reader)) == 200
    writer.close()


async def test_a_bad_request_behind_a_good_one_is_refused_after_its_answer(serve, path, daemon):
    await serve()
    daemon.add("r-1")
    reader, writer = await connect(path)
    wait = b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(wait + b"no http\r\n\r\n")
    await writer.drain()
    daemon.settle(daemon.find("r-1"))
    assert status(await answer_of(reader)) == 200
    assert status(await reader.read()) == 400
    writer.close()


async def test_requests_that_nobody_reads_the_answers_of_are_not_read_on(serve, path):
    server = await serve(limits=Limits(stalled_s=30))
    raw = socket.socket(socket.AF_UNIX)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, str(path))
    sent, waits = 0, 0
    while waits < 20:  # until the socket takes no more
        try:
            sent += raw.send(GET * 1000)
            waits = 0
        except BlockingIOError:
            waits += 1
            await asyncio.sleep(0.005)
        assert sent < 10_000_000
    (connection,) = server._connections.in_order
    assert len(connection._unparsed) <= 262_144
    assert len(connection.pipeline) < 200
    raw.close()


async def test_a_header_may_have_its_16_kib(serve, path):
    await serve()
    line = b"X: " + b"a" * 16_300 + b"\r\n"
    assert status(await exchange(path, LAST[:-2] + line + b"\r\n")) == 200


async def test_fields_behind_a_body_are_not_taken_for_those_of_the_request(serve, path, daemon):
    await serve()
    body = b"5\r\nhello\r\n0\r\nOrigin: http://evil\r\nHost: evil\r\n\r\n"
    chunked = (b"Transfer-Encoding: chunked", b"Connection: close")
    assert status(await exchange(path, put(None, body, *chunked))) == 201
    assert daemon.bodies["r"] == b"hello"


async def test_an_upgrade_is_not_made_and_the_request_is_answered(serve, path):
    await serve()
    upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = await exchange(path, upgrade)
    assert status(answer) == 200
    assert b"connection: close" in answer.lower()


async def test_http_1_0_needs_no_host_and_is_closed_after_its_answer(serve, path):
    await serve()
    assert status(await exchange(path, b"GET /v1/status HTTP/1.0\r\n\r\n")) == 200


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(serve, path, daemon):
    await serve(limits=Limits(report_bytes_max=100))
    answer = await exchange(path, put(101))
    assert status(answer) == 413
    assert b"connection: close" in answer.lower()
    assert daemon.store == []


async def test_a_body_of_unknown_length_is_refused_when_it_is_too_large(serve, path, daemon):
    await serve(limits=Limits(report_bytes_max=100))
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    answer = await exchange(path, put(None, chunk * 2, b"Transfer-Encoding: chunked"))
    assert status(answer) == 413
    assert daemon.store == []


async def test_a_body_of_exactly_the_limit_is_taken(serve, path, daemon):
    await serve(limits=Limits(report_bytes_max=100))
    answer = await exchange(path, put(100, b"x" * 100, b"Connection: close"))
    assert status(answer) == 201
    assert daemon.bodies["r"] == b"x" * 100


async def test_curl_that_expects_a_continue_gets_its_refusal_instead(serve, path):
    await serve(limits=Limits(report_bytes_max=100))
    answer = await exchange(path, put(101, b"", b"Expect: 100-continue"))
    assert status(answer) == 413


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01 this is no http\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_500,  # and no end
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 16_384 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 3_000 + b"\r\n",
        b"\r\n" * 11_000,
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/st\xe4tus HTTP/1.1\r\nHost: localhost\r\n\r\n",
        put(5, b"hello", b"Content-Length: 6"),
        put(5, b"hello", b"Transfer-Encoding: chunked"),
        put(None, b"", b"Content-Length: +5"),
        put(None, b"", b"Content-Length: " + b"9" * 30),
        put(None, b"zz\r\n", b"Transfer-Encoding: chunked"),
        put(None, b"1\r\nx\r\n0\r\nX: " + b"a" * 25_000, b"Transfer-Encoding: chunked"),
        put(None, b"0" * 25_000, b"Transfer-Encoding: chunked"),
    ],
)
async def test_what_is_no_request_gets_one_answer_and_is_closed(serve, path, request_bytes, log):
    await serve()
    answer = await exchange(path, request_bytes)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 400") == 1
    content = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert content["type"] == "urn:ownerreportd:error:bad_request"
    assert log.lines == []


async def test_at_the_limit_the_oldest_connection_without_a_request_makes_room(serve, path, daemon):
    await serve(limits=Limits(connections_max=3))
    daemon.add("r-1")
    working, working_writer = await connect(path)
    working_writer.write(b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    oldest, oldest_writer = await connect(path)
    younger, younger_writer = await connect(path)
    answer = await exchange(path, LAST)
    assert status(answer) == 200
    assert await is_closed(oldest)
    daemon.settle(daemon.find("r-1"))
    assert status(await answer_of(working)) == 200
    younger_writer.write(LAST)
    assert status(await younger.read()) == 200
    for writer in (working_writer, oldest_writer, younger_writer):
        writer.close()


ONE_AT_ALL = Limits(connections_max=1, gate_connections_max=0)
ONE_EACH = Limits(connections_per_uid_max=1, gate_connections_max=0)


@pytest.mark.parametrize("limits", [ONE_AT_ALL, ONE_EACH])
async def test_where_every_connection_works_a_new_one_is_told_so(serve, path, daemon, limits):
    await serve(limits=limits)
    daemon.add("r-1")
    _, writer = await connect(path)
    writer.write(b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"503" not in answer:  # the wait may not have arrived when the next one connects
        _, other = reader, other_writer = await connect(path)
        answer = await reader.read()
        other_writer.close()
        assert other is other_writer
    assert b"too_many_connections" in answer
    writer.close()


class AskedGate:
    """A gate that says yes to any configuration."""

    def check_config(self, config):
        return {"ok": True, "config": config}


ASK_GATE = (
    b"POST /v1/gate/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)


async def test_where_every_connection_works_the_gate_still_answers(serve, path, daemon):
    limits = Limits(connections_per_uid_max=2, gate_connections_max=1)
    await serve(limits=limits, gate=AskedGate())
    daemon.add("r-1")
    waiting = [await connect(path) for _ in range(2)]
    for _, writer in waiting:
        writer.write(b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"only the gate is answered" not in answer:  # until both of them wait
        answer = await exchange(path, LAST)
        assert status(answer) in {200, 503}
    for _ in range(3):
        assert status(await exchange(path, ASK_GATE)) == 200
    idle, idle_writer = await connect(path)
    assert status(await exchange(path, ASK_GATE)) == 200  # an idle one makes room here too
    assert await is_closed(idle)
    daemon.settle(daemon.find("r-1"))
    for reader, writer in (*waiting, (idle, idle_writer)):
        del reader
        writer.close()


async def test_a_caller_that_never_reads_its_answer_is_cut_off(serve, path, daemon):
    await serve(limits=Limits(stalled_s=0.1, idle_s=60))
    daemon.add("r-1", title="x" * 5_000_000)
    raw = socket.socket(socket.AF_UNIX)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, str(path))
    await loop.sock_sendall(raw, LAST.replace(b"/v1/status", b"/v1/reports/r-1"))
    gone = loop.create_future()
    poll = __import__("select").poll()
    poll.register(raw, 0)  # a hang-up shows without reading
    while not poll.poll(0):
        await asyncio.wait({gone}, timeout=0.01)
    raw.close()


async def test_stopping_answers_those_who_wait_and_removes_the_file(serve, path, daemon, log):
    server = await serve()
    daemon.add("r-1")
    reader, writer = await connect(path)
    writer.write(b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    idle, idle_writer = await connect(path)
    idle_writer.write(GET)
    await answer_of(idle)
    await server.aclose(grace_s=30)
    answer = await reader.read()
    assert (status(answer), b'"state":"waiting"' in answer) == (200, True)
    assert await is_closed(idle)
    assert not path.exists()
    for each in (writer, idle_writer):
        each.close()
    assert log.lines == []


async def test_stopping_lets_a_report_in_flight_be_taken(serve, path, daemon):
    server = await serve()
    entered, go = asyncio.Event(), asyncio.Event()
    submit = daemon.submit

    async def slow(data, **more):
        entered.set()
        await go.wait()
        return await submit(data, **more)

    daemon.submit = slow
    reader, writer = await connect(path)
    writer.write(put(5, b"hello"))
    await entered.wait()
    closing = asyncio.ensure_future(server.aclose(grace_s=30))
    go.set()
    await closing
    assert status(await reader.read()) == 201
    writer.close()


async def test_stopping_cuts_off_what_outlasts_the_grace_time(serve, path, daemon, log, caplog):
    server = await serve()
    entered = asyncio.Event()

    async def endless(data, **more):
        entered.set()
        await asyncio.Event().wait()

    daemon.submit = endless
    reader, writer = await connect(path)
    writer.write(put(5, b"hello"))
    await entered.wait()
    await server.aclose(grace_s=0.05)
    assert await is_closed(reader)
    writer.close()
    assert (log.lines, caplog.records) == ([], [])


async def test_a_caller_that_leaves_ends_its_wait(serve, path, daemon):
    await serve()
    daemon.add("r-1")
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait(ref, *, timeout_s):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    daemon.wait = wait
    _, writer = await connect(path)
    writer.write(b"GET /v1/reports/r-1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await entered.wait()
    writer.close()
    await left.wait()


async def test_a_caller_that_leaves_within_its_body_leaves_nothing(serve, path, daemon, log):
    server = await serve()
    _, writer = await connect(path)
    writer.write(put(100, b"half"))
    await writer.drain()
    writer.close()
    await server.aclose()
    assert (daemon.store, log.lines) == ([], [])


async def test_closing_twice_is_no_error(serve, path):
    server = await serve()
    await server.aclose()
    await server.aclose()
    assert not os.path.lexists(path)
