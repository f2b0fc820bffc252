"""Starts the double of Discord as a process of its own and drives it from synchronous tests."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(__file__).with_name("discord.py")


class DiscordProcess:
    """The double in its own process. Use it as a context manager; `base` is its API's address.

    Faults are told by their name in `doubles.faults.NAMED`, None for an honest answer, or as the
    fields of a `Fault`.
    """

    def __init__(self, state_dir: Path | None = None, *options: str) -> None:
        kept = ["--state-dir", str(state_dir)] if state_dir else []
        self._command = [sys.executable, str(PROGRAM), *kept, *options]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self._control_port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, or start it again on the port it had."""
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())
        self._control_port = int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process.stdout.close()
            self._process = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v10"

    def ask(self, verb: str, **fields: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._control_port, timeout=10)
        try:
            connection.request("POST", f"/_control/{verb}", json.dumps(fields))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return json.loads(body)
        finally:
            connection.close()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [m for m in self.ask("messages") if not m["deleted"]]

    @property
    def contents(self) -> list[str]:
        return [m["content"] for m in self.messages]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self.ask("requests")

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return [r for r in self.requests if r["create"]]

    def faults(self, *following: Any) -> None:
        """The next message-creates meet these, in order."""
        self.ask("faults", next=list(following))

    def always(self, fault: Any) -> None:
        """Every message-create meets this, None to end it."""
        self.ask("faults", always=fault)

    def get_faults(self, *following: Any) -> None:
        self.ask("faults", get_next=list(following))

    def get_always(self, fault: Any) -> None:
        self.ask("faults", get_always=fault)

    def place(self, channel_id: str | None = None, **changes: Any) -> None:
        self.ask("place", channel_id=channel_id, **changes)

    def settings(self, **changes: Any) -> None:
        """Of `window_s`, `bucket_max`, `bucket_period_s`, `token`."""
        self.ask("settings", **changes)

    def advance(self, seconds: float) -> None:
        self.ask("advance", seconds=seconds)

    def post(self, content: str, **more: Any) -> dict[str, Any]:
        return self.ask("post", content=content, **more)

    def delete(self, message_id: str) -> None:
        self.ask("delete", message_id=message_id)

    def clear(self) -> None:
        self.ask("clear")

    def refuse(self) -> None:
        self.ask("refuse")

    def accept_again(self) -> None:
        self.ask("accept_again")
