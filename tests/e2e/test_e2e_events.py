"""Events: in order, once, over restarts; `tail` for people, with and without a daemon."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from e2e.fleet import ALL, Abreast
from gate.gate_tools import fields

from ownerreportd.client import Client, LostAnswerError
from ownerreportd.core.errors import NotFoundError, UsageError

abreast = Abreast()
launch = abreast.launch

TEXTS = {f"{n}.md": f"report {n}" for n in range(5)}


def feed(home):
    return Client([home.socket])


def told(found):
    """What stays the same: a report's id may become known later than its first event."""
    return [(each["id"], each["at"], each["kind"], each.get("name")) for each in found]


def past(home, **wanted):
    return list(feed(home).events(follow=0, **wanted))


@abreast
def test_the_past_is_told_in_order_from_any_number_on(home, discord):
    home.configure(discord.base).daemon()
    home.drop_many(TEXTS)
    home.wait_sent(*TEXTS)
    home.wait_idle()
    found = past(home)
    numbers = [each["id"] for each in found]
    assert numbers == sorted(set(numbers))
    assert [each["name"] for each in found if each["kind"] == "report.sent"] == list(TEXTS)
    for number in numbers:
        assert past(home, since=number) == found[numbers.index(number) + 1 :]
    assert past(home, since=found[3]["at"])[0]["at"] >= found[3]["at"]
    assert past(home, last=3) == found[-3:]
    parts = [each for each in found if each["kind"].startswith("part.")]
    assert past(home, kind="part") == parts
    one = next(each["report"] for each in found if each.get("report"))
    assert past(home, report=one) == [each for each in found if each.get("report") == one]
    assert past(home, report=one, kind="report.sent", last=9)[0]["name"] == "0.md"
    with pytest.raises(UsageError, match="since"):
        past(home, since="noon")
    newest = home.run("tail", "--since", "1h", "-n", "2", "--json").out.splitlines()
    assert [json.loads(text)["id"] for text in newest] == numbers[-2:]
    with pytest.raises(UsageError, match="kind"):
        past(home, kind="parts")
    with pytest.raises(NotFoundError):
        past(home, report="nobody")


@abreast
def test_a_reader_that_resumes_over_restarts_sees_each_event_once(home, discord):
    home.configure(discord.base)
    seen, number = [], 0
    for turn in range(3):
        daemon = home.daemon()
        home.drop_many({f"{turn}-{name}": text for name, text in TEXTS.items()}, first=10 * turn)
        for event in feed(home).events(since=number):
            seen.append(event)
            number = event["id"]
            if len([e for e in seen if e["kind"] == "report.sent"]) == 5 * turn + 3:
                break  # in the middle of a stream
        home.wait_sent(*(f"{t}-{name}" for t in range(turn + 1) for name in TEXTS))
        daemon.stop()
    home.daemon()
    seen += past(home, since=number)
    assert told(seen) == told(past(home))
    assert len([each for each in seen if each["kind"] == "report.sent"]) == 15


@abreast
def test_followers_see_what_comes_and_end_with_the_daemon(home, discord):
    daemon = home.configure(discord.base).daemon()
    ended, seen = [], [[], [], []]

    def follow(into):
        for event in feed(home).events(since=0):
            into.append(event["kind"])
        ended.append("at its end")

    threads = [threading.Thread(target=follow, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    home.drop("a.md", "text")
    home.wait_sent("a.md")
    home.wait(lambda: all("report.sent" in into for into in seen), "all have seen it")
    assert daemon.stop() == 0
    for thread in threads:
        thread.join(20)
    assert ended == ["at its end"] * 3


@abreast
def test_a_browsers_way_of_reading(home, discord):
    home.configure().daemon()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(home.socket))
        sock.sendall(
            b"GET /v1/events?follow=0&since=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Accept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n"
        )
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    assert b"content-type: text/event-stream" in data.lower()
    assert b"id: 1\nevent: daemon.started\ndata: {" in data


@abreast
def test_events_that_are_gone_are_told_of_as_a_gap(home, discord):
    daemon = home.configure(discord.base).daemon()
    home.drop_many(TEXTS)
    home.wait_sent(*TEXTS)
    daemon.stop()
    home.change_ledger("DELETE FROM events WHERE id < 10")
    home.daemon()
    gap, following, *_ = past(home, since=3)
    assert gap == {"id": 9, "kind": "gap", "from": 4, "to": 9}
    assert following["id"] == 10


@abreast
def test_tail_with_a_daemon_and_without_one_tells_the_same(home, discord):
    home.configure(discord.base)
    discord.meets(ALL["403"])
    daemon = home.daemon()
    home.drop("a.md", "---\ntask_id: 匯入\n---\ntext \x1b[2J")
    home.wait_state("blocked", "config")
    home.client.retry()
    home.wait_sent("a.md")
    Client([home.socket]).gate("manual", fields())
    home.wait(lambda: home.events("gate.decided"), "it is recorded")
    commands = (
        ("tail", "-n", "5"), ("tail", "--since", "1h", "--kind", "part"), ("tail", "-n", "0"),
        ("tail", "--report", "a.md", "--json"), ("tail", "--kind", "gate.decided"),
    )  # fmt: skip
    shown = [home.run(*command) for command in commands]
    daemon.stop()
    for command, with_daemon in zip(commands[1:], shown[1:], strict=True):
        assert home.run(*command) == with_daemon, command
    assert [each.status for each in shown] == [0] * 5
    assert len(shown[0].out.splitlines()) == 5
    kinds = [text.split()[2] for text in shown[1].out.splitlines()]
    assert kinds == ["part.sending", "part.failed", "part.sending", "part.confirmed"]
    assert "Missing Access" in shown[1].out
    assert shown[2].out == ""
    assert {json.loads(text)["name"] for text in shown[3].out.splitlines() if "name" in text} == {
        "a.md"
    }
    assert "fail approved-plan-1 task-3 missing_auto_next_dispatch" in shown[4].out
    assert "\x1b" not in "".join(each.out for each in shown)


@abreast
def test_tail_follows_from_now_on_and_over_restarts(home, discord):
    home.configure(discord.base)
    home.drop("old.md", "text")
    daemon = home.daemon()
    home.wait_sent("old.md")
    home.wait_idle()
    follower = home.start("tail", "-f", "-n", "0", "--kind", "report")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(follower.stdout.readline, "")))
    reader.start()

    def sent():
        return [text.split()[-1] for text in lines if "report.sent" in text]

    try:
        # The first request of `tail` is a short one; the one that follows outlives a whole command.
        home.wait(
            lambda: connections(home) and home.run("status") and connections(home), "it follows"
        )
        daemon.stop()
        home.drop("a.md", "while nobody was there")
        home.daemon()
        home.drop("b.md", "afterwards")
        home.wait(lambda: len(sent()) == 2, "both are shown")
    finally:
        follower.terminate()
        reader.join(20)
        follower.communicate()
    assert sent() == ["a.md", "b.md"]


def connections(home):
    """How many follow the events, by the kernel's table of open sockets."""
    with open("/proc/net/unix") as table:
        return sum(text.rstrip().endswith(str(home.socket)) and " 03 " in text for text in table)


@abreast
def test_tail_says_what_it_cannot_do(home, discord):
    home.configure()
    ended = home.run("tail")
    assert (ended.status, ended.out) == (69, "")
    home.daemon().stop()
    for command, status in (
        (("tail", "--kind", "none"), 64), (("tail", "--since", "soon"), 64),
        (("tail", "-n", "x"), 64),
        (("tail", "--report", "nobody"), 66), (("tail", "--since", "99999999d"), 64),
    ):  # fmt: skip
        ended = home.run(*command)
        assert (ended.status, ended.out) == (status, ""), ended.err


def test_a_stream_that_is_torn_is_a_lost_answer(tmp_path):
    path = tmp_path / "s"
    for data in (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"", b"SSH-2.0\r\n\r\n",
    ):  # fmt: skip
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()

            def answer(peer=listening, said=data):
                connection, _ = peer.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(said)

            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(LostAnswerError):
                list(Client([path]).events())
            thread.join()


@abreast
def test_metrics_of_the_queue(home, discord):
    home.configure(discord.base)
    discord.meets(ALL["500"], ALL["403"])
    home.drop_many(TEXTS)
    home.daemon()
    home.wait_state("blocked", "config")
    told = metrics(home)
    assert told["ownerreportd_reports_waiting"] == 5
    assert told['ownerreportd_queue_state{state="blocked"}'] == 1
    assert told['ownerreportd_queue_state{state="idle"}'] == 0
    assert told["ownerreportd_oldest_report_age_seconds"] > 0
    home.client.retry()
    home.wait_sent(*TEXTS)
    home.wait_idle()
    told = metrics(home)
    name = 'ownerreportd_send_attempts_total{destination="owner",outcome="%s"}'
    assert told[name % "confirmed"] == 5
    assert told[name % "rejected"] == 1
    assert told["ownerreportd_reports_sent_total"] == 5
    assert told['ownerreportd_send_duration_seconds_bucket{destination="owner",le="+Inf"}'] >= 7
    assert told['ownerreportd_last_success_timestamp_seconds{destination="owner"}'] > 1.7e9


def metrics(home):
    """What a scraper reads, by name and labels."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(home.socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    lines = data.decode().partition("\r\n\r\n")[2].splitlines()
    pairs = (text.rpartition(" ") for text in lines if text and not text.startswith("#"))
    return {name: float(value) for name, _, value in pairs}
