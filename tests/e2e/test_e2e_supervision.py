"""What a service manager hears: real datagrams of a real daemon that works, waits, or is stuck."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from doubles.faults import NAMED
from e2e.harness import wait_until

WATCHDOG_S = 0.4
SILENCE_S = 3.0  # many times as long as two feedings may be apart
OVERDUE_S = 1 + 1 + 5  # the channel's time, the courier's, and that of a call that is cut off

# A channel of somebody else that never answers, in two ways that no deadline ends.
STUCK = """
import time

import anyio
from pydantic import BaseModel

from ownerreportd.core.channel import Capabilities
from ownerreportd.testing import FakeChannel


class Options(BaseModel):
    pass


class StuckChannel:
    capabilities = Capabilities(text_max=100)
    Options = Options
    secret_names = ()
    default_in_doubt = "resend"

    def __init__(self, *, target, **ignored):
        self.target = target

    @staticmethod
    def check_target(target):
        return target

    def render(self, report):
        return FakeChannel().render(report)

    async def send(self, part):
        if self.target == "loop":
            time.sleep(3600)
        while True:
            try:
                await anyio.sleep(3600)
            except BaseException:
                pass

    async def check(self):
        return []

    async def aclose(self):
        pass
"""


class Manager:
    """A service manager's end: its socket, and all that it has heard."""

    def __init__(self, home):
        path = str(home.path / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.heard = []
        self.home = home
        home.environ |= {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}

    def listen(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        return self.heard

    def until(self, message, *, after=0):
        """Wait for a message that begins like this, later than so many others."""

        def found():
            return any(said.startswith(message) for said in self.listen()[after:])

        wait_until(found, f"the manager hears {message}", more=lambda: str(self.heard[-20:]))

    def status(self):
        said = [m.removeprefix("STATUS=") for m in self.listen() if m.startswith("STATUS=")]
        return said[-1] if said else None

    def feedings(self):
        return self.listen().count("WATCHDOG=1")

    def until_ended(self, daemon):
        """Listen to the end: a manager that does not read hears only the first few."""
        daemon.was_told_to_end = True
        wait_until(lambda: self.listen() and daemon.process.poll() is not None, "it has ended")

    def until_fed(self, times=3):
        wanted = self.feedings() + times
        wait_until(lambda: self.feedings() >= wanted, "it goes on saying that it is alive")

    def until_not_fed(self):
        """Wait until nothing has come for several times the interval."""
        last, since = self.feedings(), time.monotonic()

        def silent():
            nonlocal last, since
            now = self.feedings()
            if now != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > SILENCE_S

        wait_until(silent, "it ceases to say that it is alive")


@pytest.fixture
def manager(home):
    found = Manager(home)
    yield found
    found.socket.close()


def shown(home):
    """The first line of `status`."""
    return home.run("status").out.splitlines()[0]


def test_ready_is_said_when_the_spool_is_scanned_and_the_socket_answers(home, manager):
    home.configure()
    for number in range(300):
        home.drop(f"{number:03}.md", f"report {number}")
    daemon = home.daemon(ready=False)
    manager.until("READY=1")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.socket))
    assert home.ledger("SELECT count(*) FROM reports") == [(300,)]
    daemon.signal(signal.SIGKILL)


def test_the_status_is_the_first_line_of_the_verb_and_is_told_when_it_changes(
    home, manager, discord
):
    home.configure(discord.base)
    home.daemon()
    manager.until("READY=1")
    assert manager.status() == shown(home) == "idle"
    discord.meets(NAMED["403"])
    home.drop("a.md", "refused")
    home.wait_state("blocked", "config")
    manager.until("STATUS=blocked since 2")
    assert manager.status() == shown(home)
    assert home.run("pause").status == 0
    home.wait_state("blocked")
    assert home.run("retry").status == 0
    manager.until("STATUS=paused since 2")
    assert manager.status() == shown(home)
    assert home.run("resume").status == 0
    home.wait_sent("a.md")
    home.wait_idle()
    wait_until(lambda: manager.status() == "idle", "the manager hears of it")
    assert shown(home) == "idle"
    count = len([m for m in manager.listen() if m.startswith("STATUS=")])
    manager.until_fed()
    assert len([m for m in manager.listen() if m.startswith("STATUS=")]) == count


def test_it_is_alive_idle_blocked_paused_and_in_a_send_within_its_deadline(home, manager, discord):
    home.configure(
        discord.base, queue={"stop_grace_s": 0.1}, destinations={"owner": {"timeout_s": 60}}
    )
    daemon = home.daemon()
    manager.until_fed()
    assert home.run("pause").status == 0
    manager.until_fed()
    assert home.run("resume").status == 0
    discord.meets(NAMED["403"])
    home.drop("a.md", "refused")
    home.wait_state("blocked", "config")
    manager.until_fed()
    discord.meets(NAMED["hang"])
    had = len(discord.attempts)
    assert home.run("retry").status == 0
    home.wait(lambda: len(discord.attempts) > had, "it hangs")
    manager.until_fed(10)
    assert home.status()["state"] == "sending"
    assert daemon.stop() == 0


def test_it_is_alive_while_a_person_sends_one_report_directly(home, manager, discord):
    home.configure(
        discord.base, queue={"stop_grace_s": 0.1}, destinations={"owner": {"timeout_s": 60}}
    )
    home.daemon()
    discord.meets(NAMED["hang"])
    home.drop("a.md", "at rest")
    with home.start("pause"):
        pass
    direct = home.start("send", "a.md", "--to", "owner", stdin=subprocess.DEVNULL)
    home.wait(lambda: discord.attempts, "it hangs")
    manager.until_fed(10)
    home.daemons[-1].stop()
    direct.communicate()


def stuck_home(home, target):
    """A home whose reports go to a channel that never answers."""
    site = home.path / "site"
    info = site / "stuck-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "stuck.py").write_text(STUCK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ownerreportd.channels]\nstuck = stuck:StuckChannel\n")
    home.environ["PYTHONPATH"] = str(site)
    owner = {"channel": "stuck", "target": target, "timeout_s": 1}
    return home.configure(destinations={"owner": owner}, queue={"stop_grace_s": 0.1})


def test_a_lane_whose_call_does_not_end_is_not_alive_and_gets_no_more_time(home, manager):
    stuck_home(home, "lane").daemon()
    manager.until_fed()
    began = time.monotonic()
    home.drop("a.md", "for ever")
    manager.until("STATUS=sending")
    manager.until_not_fed()
    assert time.monotonic() - began > OVERDUE_S  # within its deadline it counted as alive
    assert home.status()["state"] == "sending"  # the loop and its threads are as before
    home.daemons[-1].signal(signal.SIGTERM)
    manager.until("STOPPING=1")
    after = len(manager.heard)
    with pytest.raises(subprocess.TimeoutExpired):
        home.daemons[-1].ended(3)
    assert [m for m in manager.listen()[after:] if m.startswith("EXTEND")] == []


def test_a_loop_that_stands_still_is_not_alive(home, manager):
    stuck_home(home, "loop").daemon()
    manager.until_fed()
    home.drop("a.md", "for ever")
    manager.until_not_fed()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace holds the thread")
def test_a_worker_thread_that_does_not_come_back_from_the_disk_is_not_alive(home, manager, discord):
    home.configure(discord.base)
    daemon = home.daemon()
    manager.until_fed()
    held = "fsync,fdatasync"
    strace = ["strace", "-f", "-qq", "-p", str(daemon.pid), "-o", str(home.path / "trace")]
    strace += ["-e", f"trace={held}", "-e", f"inject={held}:delay_enter=600000000"]
    with subprocess.Popen(strace) as holding:
        try:
            home.wait(lambda: "TracerPid:\t0" not in daemon.proc("status"), "strace has it")
            manager.until_fed()  # what is traced is alive as long as it need not wait for a disk
            home.drop("a.md", "its row waits for the disk")
            manager.until_not_fed()
            assert discord.contents == []
            assert home.client.version()["version"]  # the loop itself is not stuck
        finally:
            holding.kill()
            daemon.close()


def test_a_stop_that_waits_for_a_send_asks_for_more_time(home, manager, discord):
    home.configure(
        discord.base, destinations={"owner": {"timeout_s": 60}}, queue={"stop_grace_s": 8}
    )
    discord.meets(NAMED["accept_then_hang"])
    daemon = home.daemon()
    home.drop("a.md", "slow")
    home.wait(lambda: discord.contents, "the service has it, and says nothing")
    after = len(manager.listen())
    daemon.signal(signal.SIGTERM)
    manager.until("STOPPING=1", after=after)
    manager.until("EXTEND_TIMEOUT_USEC=", after=after)
    manager.until_ended(daemon)
    assert daemon.ended() == 0
    assert len([m for m in manager.heard[after:] if m.startswith("EXTEND")]) >= 2
    assert home.ledger("SELECT outcome FROM attempts") == [("in_doubt",)]


def test_a_reload_by_signal_is_told_from_its_beginning_to_its_end(home, manager):
    home.configure()
    daemon = home.daemon()
    manager.until("READY=1")
    after = len(manager.listen())
    daemon.signal(signal.SIGHUP)
    manager.until("RELOADING=1\nMONOTONIC_USEC=", after=after)
    manager.until("READY=1", after=after)


# --- a socket that was handed over --------------------------------------------------------------

# What the service manager does between fork and exec: descriptor 3, and who it is meant for.
HAND_OVER = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=api exec "$@"'
TELL = """
import json, os, sys
names = {name for name in os.environ if name.startswith("LISTEN")}
fds = sorted(os.listdir("/proc/self/fd"))
asked = json.loads(sys.stdin.read())
open(sys.argv[1], "w").write(json.dumps([sorted(names), fds]))
answer = {"outcome": "confirmed", "id": asked.get("key", "")}
print(json.dumps({"problems": []} if asked["do"] == "check" else answer))
"""


@pytest.fixture
def handed(home):
    """A listening socket, whose owner is the manager: it outlives every daemon."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(home.path / "passed.sock"))
        sock.listen(64)
        home.socket = home.path / "passed.sock"
        fd = sock.fileno()
        yield {"prefix": ("bash", "-c", HAND_OVER, str(fd)), "pass_fds": [fd]}


def put(home, number, answers):
    """A request as a producer makes it that knows no spool to fall back to."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.socket))
        text = f"report {number}"
        client.sendall(
            f"PUT /v1/reports/r-{number:04} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: text/markdown\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        )
        answers.append(client.makefile("rb").readline().split()[1:2])


def test_no_submit_is_refused_or_lost_while_a_daemon_goes_and_the_next_one_comes(home, handed):
    from threading import Thread

    home.configure(socket={"path": None})
    daemon = home.daemon(**handed)
    answers = []
    put(home, 0, answers)
    assert daemon.stop() == 0
    producers = [Thread(target=put, args=(home, number, answers)) for number in range(1, 20)]
    for producer in producers:
        producer.start()
    home.daemon(**handed)
    for producer in producers:
        producer.join()
    assert answers == [[b"201"]] * 20
    assert home.socket.exists()
    home.wait(lambda: len(home.names("sent")) == 20, "all of them are sent")


def test_no_program_that_the_daemon_starts_hears_of_the_socket(home, handed):
    told = home.path / "told"
    program = home.path / "tell.py"
    program.write_text(TELL)
    owner = {
        "channel": "exec", "target": sys.executable, "timeout_s": 20,
        "arguments": [str(program), str(told)],
        "environment": ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"],
    }  # fmt: skip
    home.configure(socket={"path": None}, destinations={"owner": owner})
    daemon = home.daemon(**handed)
    assert "LISTEN_FDS=1" in daemon.proc("environ")  # as it was begun
    home.drop("a.md", "through a program")
    home.wait(lambda: told.exists() and told.read_text(), "the program was started")
    assert told.read_text() == '[[], ["0", "1", "2", "3"]]'  # 3: the folder that it lists
    assert os.stat(home.socket)
