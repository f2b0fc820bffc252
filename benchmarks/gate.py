"""What a decision of the gate costs: over a kept-alive socket, and as a whole process.

Prints medians, and their ratios to what a reader knows: a bare echo of the same bytes over a Unix
socket, by an asyncio protocol in another process, and the start of a bare Python. The last figures
are the same while a lane hangs in a send: five runs at rest and five while it hangs, in turn.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = int(os.environ.get("ROUNDS", "2000"))
STARTS = int(os.environ.get("STARTS", "20"))
RUNS = 5
PROGRAM = str(Path(sys.executable).with_name("ownerreportd"))
INPUT = Path(__file__).parents[1] / "examples" / "gate" / "generic-preflight.json"
ECHO = """
import asyncio, sys
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Echo, sys.argv[1])
    await server.serve_forever()
asyncio.run(main())
"""


def request() -> bytes:
    """The decision that is asked for, as it stands on the wire."""
    body = json.dumps(json.loads(INPUT.read_text(encoding="utf-8"))).encode()
    head = (
        "POST /v1/gate/generic-preflight HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connected(path: Path) -> socket.socket:
    """A connection, as soon as somebody listens."""
    end = time.monotonic() + 30
    while True:
        sock = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            sock.connect(str(path))
            return sock
        sock.close()
        if time.monotonic() > end:
            sys.exit(f"nobody listens at {path}")
        time.sleep(0.02)


def exchanged_us(sock: socket.socket, data: bytes) -> float:
    """The median of so many exchanges, in microseconds, each until the whole answer is here."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        sock.sendall(data)
        got = sock.recv(65536)
        while got and len(got) < whole_bytes(got):
            more = sock.recv(65536)
            got = got + more if more else b""
        took.append(time.perf_counter() - began)
        if not got:
            sys.exit("the other side hung up")
    return statistics.median(took) * 1e6


def whole_bytes(message: bytes) -> float:
    """How long the message is that begins so, by its own header."""
    head, end, _ = message.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return len(head) + len(end) + int(length[1]) if end and length else math.inf


def process_ms(*command: str, expect: int = 0) -> float:
    """The median from a process's start to its exit, in milliseconds."""
    took = []
    for _ in range(STARTS):
        began = time.perf_counter()
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
        if done.returncode != expect:
            sys.exit(f"{command} ended with {done.returncode}")
    return statistics.median(took) * 1000


@contextlib.contextmanager
def echo(folder: Path) -> Iterator[socket.socket]:
    """A connection to a process that sends back what comes."""
    path = folder / "echo"
    process = subprocess.Popen([sys.executable, "-c", ECHO, str(path)])
    try:
        with connected(path) as sock:
            yield sock
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def daemon(folder: Path, name: str, port: int) -> Iterator[Path]:
    """A daemon with a Discord channel at this port; the path of its configuration."""
    home = folder / name
    home.mkdir()
    token = home / "token"
    token.write_text("made-up", encoding="utf-8")
    token.chmod(0o600)
    config = home / "config.toml"
    config.write_text(
        f'[spool]\nroot = "{home}/spool"\n[destinations.owner]\nchannel = "discord"\n'
        f'target = "1"\ntoken_file = "{token}"\ntimeout_s = 600\n'
        f'api_base = "http://127.0.0.1:{port}"\n',
        encoding="utf-8",
    )
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OWNER", "XDG"))}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "--config", str(config), "run"], env={**keep, "HOME": str(home)}, stderr=log
        )
        try:
            connected(home / "spool/state/api.sock").close()
            yield config
        finally:
            process.kill()
            process.wait(30)


def figures(config: Path, echoing: socket.socket, data: bytes) -> tuple[float, float, float, float]:
    """Echo and decision in microseconds, bare Python and `gate check` in milliseconds."""
    check = (PROGRAM, "--config", str(config), "gate", "check", "--input", str(INPUT))
    with connected(config.parent / "spool/state/api.sock") as sock:
        exchanged_us(sock, data)
        return (
            exchanged_us(echoing, data),
            exchanged_us(sock, data),
            process_ms(sys.executable, "-c", "pass"),
            process_ms(*check, expect=20),
        )


def hang(config: Path, listener: socket.socket) -> socket.socket:
    """A report for the daemon, and the connection over which it waits for its answer."""
    submit = [PROGRAM, "--config", str(config), "submit", "--done", "a report"]
    subprocess.run(submit, check=True, stdout=subprocess.DEVNULL)
    connection, _ = listener.accept()
    return connection


def told(name: str, runs: list[float], unit: str) -> str:
    """The median of the runs, with the least and the most."""
    return f"{name:26} {statistics.median(runs):7.1f} {unit}  ({min(runs):.1f} to {max(runs):.1f})"


def main() -> None:
    """All figures."""
    data = request()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ord-") as name:
        folder = Path(name)
        with (
            echo(folder) as echoing,
            daemon(folder, "rest", port) as rest,
            daemon(folder, "hang", port) as hanging,
            hang(hanging, listener),
        ):
            at_rest, in_send = [], []
            for _ in range(RUNS):
                at_rest.append(figures(rest, echoing, data))
                in_send.append(figures(hanging, echoing, data))
    report(at_rest, in_send)


def report(at_rest: list[tuple[float, ...]], in_send: list[tuple[float, ...]]) -> None:
    """Print it."""
    names = ("a bare echo", "a decision", "python -c pass", "gate check, the process")
    units = ("us", "us", "ms", "ms")
    for state, runs in (("at rest", at_rest), ("while a send hangs", in_send)):
        print(f"{state}:")
        for index, (name, unit) in enumerate(zip(names, units, strict=True)):
            print("  " + told(name, [run[index] for run in runs], unit))
        decision = [run[1] / run[0] for run in runs]
        process = [run[3] / run[2] for run in runs]
        print("  " + told("a decision", decision, "x echo"))
        print("  " + told("gate check", process, "x python -c pass"))


if __name__ == "__main__":
    main()
