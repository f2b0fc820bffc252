import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ownerreportd import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's end: the socket, and the environment that it gives."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.settimeout(5)
        yield sock, {"NOTIFY_SOCKET": name}


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (notify.ready, b"READY=1"),
        (notify.stopping, b"STOPPING=1"),
        (notify.watchdog, b"WATCHDOG=1"),
        (
            lambda env: notify.status("waits\nREADY=1\r\tnow 報", env),
            "STATUS=waits READY=1 now 報".encode(),
        ),
        (lambda env: notify.extend_timeout_usec(5_000_000, env), b"EXTEND_TIMEOUT_USEC=5000000"),
    ],
)
def test_the_manager_hears_one_message(manager, say, heard):
    sock, env = manager
    assert say(env)
    assert sock.recv(4096) == heard


def test_a_reload_says_when_it_began_on_the_monotonic_clock(manager):
    sock, env = manager
    assert notify.reloading(env)
    first, _, usec = sock.recv(4096).decode().partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < int(usec) / 1e6 <= uptime_s + 60


def test_without_an_argument_the_process_environment_counts(manager, monkeypatch):
    sock, env = manager
    monkeypatch.setenv("NOTIFY_SOCKET", env["NOTIFY_SOCKET"])
    assert notify.ready()
    assert sock.recv(4096) == b"READY=1"


@pytest.mark.parametrize(
    "name", ["", "relative", "vsock:1:2", "/nowhere/at/all", "@" + "x" * 200, "/a\0b"]
)
def test_without_a_manager_nothing_happens(name):
    assert notify.ready({"NOTIFY_SOCKET": name}) is False
    assert notify.ready({}) is False


def test_a_manager_that_does_not_read_makes_nobody_wait(manager):
    _, env = manager
    answers = [notify.status("x" * 1000, env) for _ in range(5000)]
    assert answers[0] is True
    assert answers[-1] is False


def test_descriptors_are_those_that_are_sockets_and_close_on_exec(tmp_path):
    with socket.socket(socket.AF_UNIX) as one, open(tmp_path / "file", "w") as file:
        # High up, where no test that runs meanwhile opens a socket of its own between the two.
        first = fcntl.fcntl(one, fcntl.F_DUPFD, 800)
        last = fcntl.fcntl(file, fcntl.F_DUPFD, first + 1)
    try:
        os.set_inheritable(first, True)
        env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(last - first + 1)}
        assert notify.listen_fds(env, first=first) == [first]
        assert os.get_inheritable(first) is False
    finally:
        os.close(first)
        os.close(last)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "me", "LISTEN_FDS": ""},
        {"LISTEN_PID": "me", "LISTEN_FDS": "-1"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "one"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "²"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "9" * 5000},
    ],
)
def test_variables_that_mean_someone_else_or_nothing_give_no_descriptor(env):
    with socket.socket(socket.AF_UNIX) as one:
        env = {key: value.replace("me", str(os.getpid())) for key, value in env.items()}
        assert notify.listen_fds(env, first=one.fileno()) == []


def test_a_real_socket_is_handed_over_a_real_exec(tmp_path):
    code = (
        "import os, socket; from ownerreportd import notify;"
        "fds = notify.listen_fds({**os.environ, 'LISTEN_PID': str(os.getpid())});"
        "print(fds, socket.socket(fileno=fds[0]).getsockname())"
    )
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        one.listen()
        shell = f'exec 3<&{one.fileno()}; exec {sys.executable} -c "$0"'
        out = subprocess.run(
            ["bash", "-c", shell, code],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=[one.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert out.stdout == f"[3] {tmp_path}/s\n"


def test_the_watchdog_is_called_at_half_the_interval():
    me = str(os.getpid())
    assert notify.watchdog_interval_s({"WATCHDOG_USEC": "30000000"}) == 15
    assert notify.watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": me}) == 15
    assert notify.watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert notify.watchdog_interval_s({"WATCHDOG_USEC": "soon"}) is None
    assert notify.watchdog_interval_s({}) is None
