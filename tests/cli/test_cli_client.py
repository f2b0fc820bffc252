"""The client's one exchange, against the real API and against sockets that misbehave."""

import contextlib
import socket
import threading
import time

import pytest
from api.fake_daemon import DaemonInThread

from ownerreportd import itself
from ownerreportd.client import Client, LostAnswerError
from ownerreportd.core.errors import (
    ConfigError,
    IdConflictError,
    InvalidReportError,
    NotFoundError,
    OperatorError,
    StorageError,
    UnreachableError,
    UsageError,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "api.sock"


@pytest.fixture
def daemon(path):
    with DaemonInThread(path) as daemon:
        yield daemon


@pytest.fixture
def client(path):
    return Client([path], timeout_s=10)


@pytest.fixture
def answering(path):
    """A peer that reads a request and writes these bytes; it closes when told to."""
    threads, release = [], threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def start(answer, *, stay=False):
            def serve():
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65_536)
                    with contextlib.suppress(BrokenPipeError):  # a client may have heard enough
                        connection.sendall(answer)
                    if stay:
                        release.wait(20)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()

        yield start
        release.set()
        for thread in threads:
            thread.join()


def test_every_verb_of_the_daemon(client, daemon):
    assert client.submit(b"x", report_id="a/b c".replace("/", "-").replace(" ", "_"))["created"]
    assert client.submit(b"y")["id"] == "made-2"
    assert [r["seq"] for r in client.reports(limit=1)["reports"]] == [1]
    assert client.reports(state="sent", after=0)["reports"] == []
    assert client.report("made-2")["state"] == "waiting"
    assert client.wait("made-2", timeout_s=0)["state"] == "waiting"
    assert client.send("made-2", channel="c", target="t")["outcome"] == "confirmed"
    assert client.retry()["state"] == "idle"
    assert client.retry("a-b_c", destination="d")["id"] == "a-b_c"
    assert client.resolve("a-b_c", how="sent")["id"] == "a-b_c"
    assert client.skip("a-b_c", reason="r")["state"] == "held"
    assert client.pause()["state"] == "paused"
    assert client.resume()["state"] == "idle"
    assert client.version()["version"] == "9.9.9"
    assert client.health()["ok"]
    daemon.extra = {"state": "blocked"}
    assert not client.health()["ok"]
    head = client.request("HEAD", "/v1/status")
    assert (head.status, head.json, head.headers["ownerreportd-version"]) == (200, None, "9.9.9")


def test_a_name_with_odd_characters_is_one_path_segment(client, daemon):
    daemon.add("r-1", name="..b?&# 一%2f.md")
    assert client.report("..b?&# 一%2f.md")["id"] == "r-1"
    with pytest.raises(NotFoundError, match="a/b"):
        client.report("a/b")


@pytest.mark.parametrize(
    "error",
    [
        IdConflictError("a", hint="b"), InvalidReportError("a", hint="b"),
        StorageError("報告", hint="b", code="disk_full"), UsageError("a", hint="b"),
        ConfigError("a", hint="b", mistakes=("x", "y")), NotFoundError("a", hint="b"),
    ],
)  # fmt: skip
def test_an_error_arrives_as_it_was_raised(client, daemon, error):
    daemon.broken = error
    with pytest.raises(type(error)) as caught:
        client.report("x")
    assert type(caught.value) is type(error)
    assert (str(caught.value), caught.value.hint, caught.value.code) == (
        str(error), error.hint, error.code,
    )  # fmt: skip
    assert getattr(caught.value, "mistakes", None) == getattr(error, "mistakes", None)


def test_wrong_input_is_a_usage_error_and_a_bug_is_one(client, daemon):
    with pytest.raises(UsageError, match="limit"):
        client.reports(limit=0)
    daemon.broken = RuntimeError("x")
    with pytest.raises(OperatorError, match="unexpected") as caught:
        client.report("x")
    assert caught.value.exit_status == 70


def test_a_long_body_that_is_refused_early_still_gets_its_answer(client, daemon):
    with pytest.raises(InvalidReportError, match="over 1048576 bytes"):
        client.submit(b"x" * 30_000_000)


def test_a_large_answer_is_read_whole(client, daemon):
    daemon.add("r-1", title="一" * 1_000_000)
    assert len(client.report("r-1")["title"]) == 1_000_000


def test_the_first_place_that_answers_is_taken(path, daemon, tmp_path):
    (tmp_path / "file").write_text("")
    places = [tmp_path / "none", tmp_path / "file", path]
    assert Client(places).version()["api"] == "v1"


def test_a_configuration_that_is_gone_does_not_keep_a_report_from_the_spool(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OWNERREPORTD_CONFIG", str(tmp_path / "gone.toml"))
    monkeypatch.setattr(itself, "SYSTEM_UNITS", tmp_path)
    (tmp_path / itself.SERVICE).touch()
    taken = Client([tmp_path / "none"]).submit(b"kept", spool=tmp_path / "spool")
    assert (tmp_path / "spool" / "pending" / taken["name"]).read_bytes() == b"kept"


def test_every_place_that_was_tried_is_named(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(UnreachableError) as caught:
        Client([tmp_path / "none", tmp_path / "dead", tmp_path / ("x" * 200)]).status()
    text = str(caught.value)
    assert f"{tmp_path}/none (no such file or directory), " in text
    assert f"{tmp_path}/dead (connection refused), " in text
    assert "path too long" in text
    assert caught.value.hint == "start the daemon: ownerreportd run"
    with pytest.raises(UnreachableError, match="no place"):
        Client([]).status()


GOOD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        GOOD + b"Content-Length: 8\r\n\r\n" + b'{"a": 1}',
        GOOD + b"\r\n" + b'{"a": 1}',
        GOOD + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\nT: x\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD + b"content-length:8\r\n\r\n" + b'{"a": 1}',
        b"HTTP/1.0 200\r\n\r\n" + b'{"a": 1}',
    ],
)
def test_every_way_to_end_an_answer_is_understood(client, answering, answer):
    answering(answer)
    assert client.status() == {"a": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"", GOOD, GOOD + b"Content-Length: 9\r\n\r\n" + b'{"a": 1}',
        GOOD + b"Content-Length: x\r\n\r\n", GOOD + b"Content-Length: 99999999999\r\n\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"SSH-2.0-x\r\n\r\n",
        GOOD + b"X: " + b"a" * 200_000,
    ],
)  # fmt: skip
def test_half_an_answer_is_a_lost_one(client, answering, answer):
    answering(answer)
    with pytest.raises(LostAnswerError, match="gave no whole answer"):
        client.status()


@pytest.mark.parametrize("body", [b"[]", b"no json", b""])
def test_an_answer_that_is_no_object_is_an_error(client, answering, body):
    answering(GOOD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(OperatorError, match="no JSON object"):
        client.status()


def test_an_error_of_another_server_keeps_its_status(client, answering):
    answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    with pytest.raises(NotFoundError, match="status 404"):
        client.status()


def test_a_peer_that_says_nothing_is_waited_for_only_so_long(path, answering):
    answering(b"HTTP/1.1 200 OK\r\n", stay=True)
    began = time.monotonic()
    with pytest.raises(LostAnswerError, match="timed out"):
        Client([path], timeout_s=0.1).status()
    assert time.monotonic() - began < 5
