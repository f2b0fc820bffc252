"""Many reports, many events, and callers of every bad kind; the queue goes on."""

from __future__ import annotations

import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import time

from e2e.fleet import Abreast
from e2e.harness import wait_until

LONG = True  # it begins first
abreast = Abreast()
launch = abreast.launch

REPORTS, RESTARTS = 1000, 5
FLAT_BYTES = 2 << 20
BODY_BYTES = 100 << 20
ANSWER_S = 0.1
# Appends each event to a file, and goes on where the file ends.
READER = """
import sys, time
from pathlib import Path
from ownerreportd.client import Client
from ownerreportd.core.errors import OperatorError
import json
path, kept = Path(sys.argv[2]), Path(sys.argv[2]).read_bytes()
whole = kept[: kept.rfind(b"\\n") + 1]
lines = whole.splitlines()
position = json.loads(lines[-1])["id"] if lines else 0
with path.open("r+b", buffering=0) as file:
    file.truncate(len(whole))
    file.seek(len(whole))
    while True:
        try:
            for event in Client([Path(sys.argv[1])]).events(since=position):
                file.write(json.dumps(event).encode() + b"\\n")
                position = event["id"]
        except OperatorError:
            time.sleep(0.05)
"""


class Reader:
    """A reader in a process of its own, which can be killed and goes on."""

    def __init__(self, home):
        self.path = home.path / "events"
        self.path.touch()
        self._command = [sys.executable, "-c", READER, str(home.socket), str(self.path)]
        self._process = subprocess.Popen(self._command)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def kill_and_go_on(self):
        self.kill()
        self._process = subprocess.Popen(self._command)

    def ids(self):
        whole = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line)["id"] for line in whole.splitlines()]


def quickly_sent(home, name, count):
    """So many reports, handed over one after the other, and sent."""
    before = home.status()["sent_total"]
    for number in range(count):
        home.client.submit(f"{name} {number}".encode())
    home.wait(lambda: home.status().get("sent_total", 0) >= before + count, f"{name} are sent")


def rss_bytes(daemon):
    (line,) = (line for line in daemon.proc("status").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@abreast
def test_a_reader_that_is_killed_over_and_over_sees_each_event_once(home, discord):
    home.configure(discord.base, spool={"settle_s": 0, "rescan_s": 1})
    luck = random.Random(7)
    daemon = home.daemon()
    reader = Reader(home)
    try:
        home.drop_many({f"{number:04}.md": f"report {number}" for number in range(REPORTS)})
        for turn in range(1, RESTARTS + 1):
            goal = REPORTS * turn // (RESTARTS + 1)
            while len(home.names("sent")) < goal:
                time.sleep(luck.uniform(0.2, 1.0))
                reader.kill_and_go_on()
            daemon.signal(luck.choice([signal.SIGKILL, signal.SIGTERM]))
            daemon.ended()
            daemon = home.daemon()
        home.wait(lambda: len(home.names("sent")) == REPORTS, "all are sent", 120)
        home.wait_idle()
        assert daemon.stop() == 0
        told = [number for (number,) in home.ledger("SELECT id FROM events ORDER BY id")]
        home.daemon()
        wait_until(lambda: len(reader.ids()) >= len(told), "the reader has come to the end")
        assert reader.ids()[: len(told)] == told
        assert len(told) > 4 * REPORTS
        a_reader_that_never_reads(home, home.daemons[-1])
    finally:
        reader.kill()
    contents = [text for text in discord.contents if "duplicate" not in text]
    assert [text for text in contents if text.startswith("report")] == [
        f"report {number}" for number in range(REPORTS)
    ]


def a_reader_that_never_reads(home, daemon):
    """It costs the daemon next to nothing, and nobody waits for it."""
    quickly_sent(home, "warm", 40)
    before = rss_bytes(daemon)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.connect(str(home.socket))
        stuck.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        quickly_sent(home, "beside", 40)
        assert rss_bytes(daemon) - before < FLAT_BYTES


@abreast
def test_a_crowd_of_bad_callers_keeps_nobody_from_an_answer(home, discord):
    home.configure(discord.base)
    daemon = home.daemon()
    before = rss_bytes(daemon)
    silent = [connected(home) for _ in range(200)]
    half = [connected(home, b"GET /v1/sta") for _ in range(20)]
    endless = [connected(home, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a") for _ in range(5)]
    put = b"PUT /v1/reports/big HTTP/1.1\r\nHost: localhost\r\n"
    large = connected(home, put + b"Content-Length: %d\r\n\r\n" % BODY_BYTES)
    chunked = connected(home, put + b"Transfer-Encoding: chunked\r\n\r\n")
    took = []
    for turn in range(21):
        began = time.monotonic()
        assert home.client.status()["state"] in {"idle", "sending"}
        took.append(time.monotonic() - began)
        for each in endless:
            say(each, b"a" * 1000)
        say(large, b"b" * 500_000)
        say(chunked, b"10000\r\n" + b"c" * 65_536 + b"\r\n")
        if turn % 5 == 0:
            assert home.run("submit", "--done", f"report {turn}").status == 0
    assert statistics.median(took) < ANSWER_S
    home.wait(lambda: home.status()["sent_total"] == 5, "all five are sent")
    assert answered(large).startswith(b"HTTP/1.1 413")
    assert answered(chunked).startswith(b"HTTP/1.1 413")
    assert rss_bytes(daemon) - before < 4 * FLAT_BYTES
    assert sum(is_closed(each) for each in silent) >= 200 - 64, "the oldest made room"
    for each in (*silent, *half, *endless, large, chunked):
        each.close()
    assert "Traceback" not in daemon.log


def connected(home, data=b""):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(home.socket))
    sock.settimeout(5)
    sock.sendall(data)
    return sock


def say(sock, data):
    """Send as much of it as the other side takes at once."""
    sock.setblocking(False)
    try:
        sock.send(data)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        sock.settimeout(5)


def answered(sock):
    try:
        return sock.recv(65_536)
    except ConnectionResetError:
        return b""


def is_closed(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
