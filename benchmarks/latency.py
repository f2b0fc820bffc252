"""How long a report takes until its request is at the channel, and what the idle daemon costs.

Prints medians, and their ratios to what a reader knows: one fsync of a small file on the same
disk, and the start of a bare Python. Everything runs on loopback and in a temporary folder.
Figures of a busy or virtual machine vary; compare ratios of one run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ownerreportd.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = int(os.environ.get("ROUNDS", "40"))
IDLE_S = float(os.environ.get("IDLE_S", "10"))
LARGE = int(os.environ.get("LARGE", "100000"))
PROGRAM = str(Path(sys.executable).with_name("ownerreportd"))


class Service:
    """Confirms every message as Discord does, and notes when each connection came."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.came: list[float] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """One connection after the other; the daemon opens a fresh one for each attempt."""
        while True:
            connection, _ = self.listener.accept()
            self.came.append(time.monotonic())
            with connection:
                self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """Read a whole request, and send its content back with an id."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(x[15:]) for x in lines if x.startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(65536)
        number = 10**18 + len(self.came)
        answer = b'{"id": "%d", "channel_id": "1", "author": {"id": "1"}, ' % number + body[1:]
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )

    def wait(self, count: int) -> float:
        """When the connection of that number came."""
        end = time.monotonic() + 30
        while len(self.came) < count:
            if time.monotonic() > end:
                sys.exit("the daemon sent nothing within 30 s")
            time.sleep(0.0005)
        return self.came[count - 1]


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A throw-away home."""
    with tempfile.TemporaryDirectory(prefix="ord-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def daemon(folder: Path, service: Service) -> Iterator[int]:
    """A daemon on this home's spool; its pid."""
    token = folder / "token"
    token.write_text("made-up", encoding="utf-8")
    token.chmod(0o600)
    config = folder / "config.toml"
    config.write_text(
        f'[spool]\nroot = "{folder}/spool"\n[destinations.owner]\nchannel = "discord"\n'
        f'target = "1"\ntoken_file = "{token}"\n'
        f'api_base = "http://127.0.0.1:{service.port}"\n',
        encoding="utf-8",
    )
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OWNER", "XDG"))}
    log = (folder / "log").open("wb")
    command = [PROGRAM, "--config", str(config), "run"]
    process = subprocess.Popen(command, env={**keep, "HOME": str(folder)}, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def median_ms(step: Callable[[], float]) -> float:
    """The median of the step's seconds, in milliseconds."""
    return statistics.median(step() for _ in range(ROUNDS)) * 1000


def fsync_s(folder: Path) -> float:
    """One small file, written and fsynced."""
    began = time.monotonic()
    fd = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"x" * 4096)
    os.fsync(fd)
    os.close(fd)
    return time.monotonic() - began


def python_s() -> float:
    """The start of a bare Python."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - began


def moved_s(folder: Path, service: Service) -> float:
    """A file at rest is moved into pending/: until its connection comes."""
    rested = folder / "rested.md"
    rested.write_text("a report at rest\n", encoding="utf-8")
    os.utime(rested, (time.time() - 60,) * 2)
    count = len(service.came) + 1
    time.sleep(0.25)  # the daemon has come to rest after the one before
    began = time.monotonic()
    rested.rename(folder / "spool/pending" / f"moved-{count}.md")
    return service.wait(count) - began


def submitted_s(client: Client, service: Service) -> float:
    """A report over the socket: until its connection comes."""
    count = len(service.came) + 1
    time.sleep(0.05)
    began = time.monotonic()
    client.submit(f"report {count}\n".encode(), report_id=f"bench-{count}")
    return service.wait(count) - began


def cpu_s(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """The memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def small() -> None:
    """Latency and idle cost of a daemon with an empty queue."""
    service = Service()
    with home() as folder, daemon(folder, service) as pid:
        client = Client([folder / "spool/state/api.sock"])
        wait_for(folder / "spool/state/api.path")
        fsync_ms, python_ms = median_ms(lambda: fsync_s(folder)), median_ms(python_s)
        submitted_s(client, service)
        for name, step in (
            ("submit over the socket", lambda: submitted_s(client, service)),
            ("a file moved into pending/", lambda: moved_s(folder, service)),
        ):
            took_ms = median_ms(step)
            print(
                f"{name:28} {took_ms:7.1f} ms  = {took_ms / fsync_ms:6.1f} x fsync, "
                f"{took_ms / python_ms:5.2f} x python -c pass"
            )
        time.sleep(2)
        before = cpu_s(pid)
        time.sleep(IDLE_S)
        share = (cpu_s(pid) - before) / IDLE_S
        print(f"{'idle':28} {share:8.2%} of one core")


def wait_for(path: Path) -> None:
    """Until the path is there."""
    end = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > end:
            sys.exit(f"{path} never came")
        time.sleep(0.01)


def backlog(count: int) -> tuple[float, float]:
    """Seconds from the start to the first connection, and MiB in use a moment later."""
    service = Service()
    with home() as folder:
        pending = folder / "spool/pending"
        pending.mkdir(parents=True)
        for number in range(count):
            path = pending / f"r{number:07}.md"
            path.write_text(f"report {number}\n", encoding="utf-8")
            os.utime(path, (1.7e9 + number,) * 2)
        began = time.monotonic()
        with daemon(folder, service) as pid:
            first_s = service.wait(1) - began
            time.sleep(3)
            return first_s, rss_mib(pid)


def main() -> None:
    """All figures."""
    small()
    few_s, few_mib = backlog(10)
    many_s, many_mib = backlog(LARGE)
    print(f"{'first of 10 files':28} {few_s:7.2f} s")
    print(f"first of {LARGE:,} files{'':8} {many_s:7.2f} s  = {many_s / few_s:6.1f} x that of 10")
    print(f"memory with 10, {LARGE:,}{'':6} {few_mib:7.1f} MiB, {many_mib:.1f} MiB")


if __name__ == "__main__":
    main()
