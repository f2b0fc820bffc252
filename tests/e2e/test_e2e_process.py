"""The process: signals, its lock, its log, its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from doubles.faults import NAMED
from doubles.wire import Fault
from e2e.fleet import Abreast

abreast = Abreast()
launch = abreast.launch

SLOWLY = Fault("drip", accept=True, pause_s=0.0005)  # a whole, honest answer within about a second
GRACE_S = 0.3


def in_flight(home, discord):
    """Wait until the service has a message's request, and has not answered it yet."""
    home.wait(lambda: discord.attempts, "an attempt is in flight")


def outcomes(home):
    return [outcome for (outcome,) in home.ledger("SELECT outcome FROM attempts ORDER BY id")]


@abreast.each("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_attempt_in_flight_end(home, discord, number):
    home.configure(discord.base, destinations={"owner": {"timeout_s": 30}})
    discord.meets(SLOWLY)
    home.drop_many({"a.md": "first", "b.md": "second"})
    daemon = home.daemon(ready=False)
    in_flight(home, discord)
    daemon.signal(number)
    assert daemon.ended() == 0
    assert outcomes(home) == ["confirmed"]
    assert discord.contents == ["first"]
    assert "daemon.stopped" in daemon.log
    assert not home.socket.exists()
    if number == signal.SIGINT:
        return
    home.daemon()
    home.wait_sent("a.md", "b.md")
    assert discord.contents == ["first", "second"]
    assert outcomes(home) == ["confirmed", "confirmed"]


@abreast.each("fault", ["hang", "accept_then_hang"])
def test_a_stop_cuts_off_after_the_grace_time_and_records_the_doubt(home, discord, fault):
    home.configure(
        discord.base,
        destinations={"owner": {"timeout_s": 60}},
        queue={"stop_grace_s": GRACE_S},
    )
    discord.meets(NAMED[fault])
    home.drop("a.md", "only once")
    daemon = home.daemon(ready=False)
    in_flight(home, discord)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < GRACE_S + 10  # the rest is the end of the interpreter
    assert outcomes(home) == ["in_doubt"]
    assert home.names("pending") == ["a.md"]
    home.daemon()
    home.wait_sent("a.md")
    assert discord.contents == ["only once"]
    nonces = {seen.json()["nonce"] for seen in discord.attempts}
    assert len(nonces) == 1


@abreast
def test_a_killed_daemon_leaves_a_doubt_and_the_next_one_resolves_it(home, discord):
    home.configure(discord.base, destinations={"owner": {"timeout_s": 60}})
    discord.meets(NAMED["accept_then_hang"])
    home.drop_many({"a.md": "first", "b.md": "second"})
    daemon = home.daemon(ready=False)
    home.wait(lambda: discord.contents, "the service took the message")
    daemon.signal(signal.SIGKILL)
    daemon.ended()
    assert outcomes(home) == [None]
    assert home.socket.exists()  # stale, and replaced by the next one
    home.daemon()
    home.wait_sent("a.md", "b.md")
    assert discord.contents == ["first", "second"]


@abreast
def test_a_second_daemon_is_refused_with_the_pid_of_the_first(home):
    home.configure()
    first = home.daemon()
    second = home.run("run", stdin=b"")
    assert second.status == 73
    assert f"pid {first.pid}" in second.err
    error, hint = [line for line in second.err.splitlines() if line.startswith(("error", "hint"))]
    assert str(home.spool) in error
    assert "ownerreportd status" in hint
    doctor = home.run("doctor", "--new-ledger")
    assert doctor.status == 73
    assert f"pid {first.pid}" in doctor.err
    assert home.status()["pid"] == first.pid
    with home.start("list", stdin=subprocess.DEVNULL) as process:
        process.stdout.close()  # its reader went away
        assert "Traceback" not in process.stderr.read()
    assert process.returncode in {0, 141}


def test_two_daemons_on_two_spools_keep_to_their_own(new_home, discord):
    homes = [new_home().configure(discord.base) for _ in range(2)]
    for home in homes:
        home.daemon(ready=False)
    for number, home in enumerate(homes):
        home.daemons[0].until_ready()
        home.drop(f"{number}.md", f"of home {number}")
    for number, home in enumerate(homes):
        home.wait_sent(f"{number}.md")
        assert home.names("sent") == [f"{number}.md"]
        assert home.run("submit", "--done", f"by command {number}").status == 0
        home.wait(lambda home=home: len(home.names("sent")) == 2, "the second one is sent")
    assert sorted(text[-1] for text in discord.contents) == ["0", "0", "1", "1"]


@abreast
def test_hangup_is_harmless_and_tries_again_now(home, discord):
    discord.meets(NAMED["403"])
    home.configure(discord.base)
    daemon = home.daemon()
    home.drop("a.md", "kept")
    home.wait_state("blocked", "config")
    daemon.signal(signal.SIGHUP)
    home.wait_sent("a.md")
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
    home.drop("b.md", "and goes on")
    home.wait_sent("b.md")
    assert discord.contents == ["kept", "and goes on"]
    assert daemon.process.poll() is None


@abreast
def test_a_log_file_that_was_rotated_away_is_opened_anew(home):
    log = home.path / "reports.log"
    home.configure(log={"file": str(log)})
    home.daemon()
    home.drop("a.md", "before")
    home.wait(lambda: "report.settled" in log.read_text(), "the log tells of the report")
    old = log.rename(home.path / "reports.log.1")
    home.drop("b.md", "after")
    home.wait(lambda: log.exists() and "report.settled" in log.read_text(), "a new file is made")
    assert old.read_text().count("report.settled") == 1


def with_streams(home, streams):
    """A daemon whose standard streams are of that kind."""
    if streams == "closed_pipes":
        reading, writing = os.pipe()
        os.close(reading)
        daemon = home.daemon(ready=False, stdout=writing, stderr=writing)
        os.close(writing)
        return daemon
    if streams == "full_device":
        with open("/dev/full", "wb") as full:
            return home.daemon(ready=False, stdout=full, stderr=full)
    return home.daemon(ready=False, prefix=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))


def test_streams_that_cannot_be_written_stop_nothing(new_home, discord):
    kinds = ("closed_pipes", "closed_descriptors", "full_device")
    homes = {streams: new_home().configure(discord.base) for streams in kinds}
    daemons = {streams: with_streams(home, streams) for streams, home in homes.items()}
    for streams, home in homes.items():
        home.wait(lambda home=home: home.status()["state"] == "idle", f"{streams}: it answers")
        home.drop("a.md", f"told to nobody: {streams}")
        home.wait_sent("a.md")
        assert daemons[streams].stop() == 0, streams
    assert discord.contents == [f"told to nobody: {streams}" for streams in kinds]


def test_a_socket_that_is_taken_is_refused_and_a_stale_one_replaced(new_home):
    home = new_home().configure()
    home.daemon()
    other = new_home()
    other.socket = home.socket
    ended = other.configure().run("run")
    assert ended.status not in {0, 70}
    assert str(home.socket) in ended.err
    assert "hint: " in ended.err
    assert home.status()["pid"] == home.daemons[0].pid
