"""A backlog of any size: in order, in flat memory, and with a clean end in the middle of it."""

from __future__ import annotations

import os

import pytest
from e2e.harness import Discord, wait_until

FEW, MANY = 10, 100_000
FLAT_BYTES = 20 << 20


def fill(pending, count):
    """Reports whose order in time is not that of their names."""
    pending.mkdir(parents=True)
    folder = os.open(pending, os.O_DIRECTORY)
    for number in range(count):
        name = f"r{number * 7919 % count:06}.md"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
        os.write(fd, f"report {number}\n".encode())
        os.utime(fd, (1_700_000_000 + number, 1_700_000_000 + number))
        os.close(fd)
    os.close(folder)


def peak_bytes(home, discord, count):
    """The most memory that a daemon ever held, twenty reports into a backlog of that size."""
    fill(home.spool / "pending", count)
    home.configure(discord.base)
    daemon = home.daemon(ready=False)
    wait_until(lambda: len(discord.contents) >= min(count, 20), "twenty", more=daemon_log(daemon))
    wait_until(lambda: home.status()["sent_total"] >= min(count, 20), "twenty archived")
    peak = daemon.rss_peak_bytes()
    assert daemon.stop() == 0, daemon.log
    return peak


def daemon_log(daemon):
    return lambda: daemon.log[-2000:]


@pytest.mark.scale
@pytest.mark.timeout(240)
def test_a_large_backlog_goes_in_order_and_costs_no_memory(new_home, loop):
    peaks = {}
    for count in (FEW, MANY):
        with Discord(loop) as discord:
            peaks[count] = peak_bytes(new_home(), discord, count)
            sent = discord.contents
            assert sent == [f"report {number}" for number in range(len(sent))], "the oldest first"
    assert peaks[MANY] - peaks[FEW] < FLAT_BYTES, peaks


@pytest.mark.scale
def test_a_stop_during_the_first_scan_is_a_clean_end(home, discord):
    fill(home.spool / "pending", 20_000)
    home.configure(discord.base)
    daemon = home.daemon(ready=False)
    wait_until(home.socket.exists, "the socket", more=daemon_log(daemon))
    assert daemon.stop() == 0, daemon.log
    assert len(list((home.spool / "pending").iterdir())) + len(discord.contents) == 20_000
