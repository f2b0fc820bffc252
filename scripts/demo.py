"""`make demo`: a few minutes in the life of the daemon, on a throw-away spool.

Everything here goes through the program's own commands, as a person or an agent would type them.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

WAIT_S = 30.0
BOLD, DIM, END = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def say(text: str = "") -> None:
    """Print at once, so that the story and the commands' output stay in order."""
    print(text, flush=True)


TURN = {
    "planId": "approved-plan-1", "currentTask": "task-3", "taskState": "done",
    "nextTaskId": "task-4", "sameApprovedPlan": True, "taskBoundaryStop": True,
    "nextDerivedAction": {"type": "message_subagent", "task": "continue with task 4"},
    "replyClosureState": "waiting_user",
}  # fmt: skip
RECEIPT = {
    "planId": "approved-plan-1", "currentTask": "task-3", "dispatchRunId": "run-17",
    "childSessionKey": "agent:main:subagent:17", "replyClosureState": "in_progress",
    "nextDerivedAction": {"type": "message_subagent", "task": "continue with task 4"},
}  # fmt: skip


class Demo:
    """A throw-away home with one spool, and the commands typed in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.spool = home / "owner-reports"
        self.config = home / "config.toml"
        self.program = str(Path(sys.executable).with_name("ownerreportd"))
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("OWNER", "XDG_"))}
        self.environ = {**keep, "HOME": str(home), "OWNERREPORTD_CONFIG": str(self.config)}
        self.daemon: subprocess.Popen[bytes] | None = None

    def type(self, *words: str, show: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of the program, as if typed."""
        if show:
            shown = " ".join(f"'{w}'" if " " in w else w for w in words)
            say(f"{BOLD}$ ownerreportd {shown}{END}")
        done = subprocess.run(
            [self.program, *words], env=self.environ, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if show:
            for line in (done.stdout + done.stderr).replace(str(self.home), "~").splitlines():
                say(f"  {line}")
        return done

    def start(self, config: str) -> None:
        """Write the configuration, and start the daemon with it."""
        self.config.write_text(config, encoding="utf-8")
        log = (self.home / "daemon.log").open("ab")
        self.daemon = subprocess.Popen([self.program, "run"], env=self.environ, stderr=log)
        self.wait(lambda: self.status().get("state") not in (None, "down"))

    def stop(self) -> None:
        """End the daemon as systemd would."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(WAIT_S)
            self.daemon = None

    def status(self) -> dict[str, object]:
        """What the daemon says of itself."""
        found = self.type("status", "--json", show=False)
        try:
            shown: dict[str, object] = json.loads(found.stdout)
        except ValueError:
            return {}
        return shown

    def wait(self, ready: object) -> None:
        """Wait until something is true; the demo fails loudly if it never is."""
        end = time.monotonic() + WAIT_S
        while not ready():  # type: ignore[operator]  # a callable without arguments
            if time.monotonic() > end:
                log = (self.home / "daemon.log").read_text(encoding="utf-8")
                sys.exit(f"the demo is stuck; the daemon's log:\n{log}")
            time.sleep(0.05)

    def names(self, folder: str) -> list[str]:
        """The reports in one of the spool's folders."""
        return sorted(path.name for path in (self.spool / folder).glob("*.md"))


class Gateway(http.server.BaseHTTPRequestHandler):
    """A chat service of this demo's own, on loopback: refuses until `broken` is False."""

    broken = True
    messages: list[str] = []  # noqa: RUF012 - the one service of the demo

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Take a message as Discord does, or refuse the bot."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        channel = self.path.split("/")[-2]
        if Gateway.broken:
            self.answer(403, {"message": "Missing Access", "code": 50001})
            return
        Gateway.messages.append(body["content"])
        shown = {"id": str(10**18 + len(Gateway.messages)), "channel_id": channel}
        self.answer(200, {**shown, "content": body["content"], "author": {"id": "1"}})

    def do_GET(self) -> None:
        """Whatever the check asks for."""
        self.answer(403 if Gateway.broken else 200, {"id": "1", "type": 0, "code": 50001})

    def answer(self, status: int, body: dict[str, object]) -> None:
        """One JSON answer."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def inbox_config(demo: Demo) -> str:
    """The local inbox: no account, no network."""
    return f"""[spool]
root = "{demo.spool}"
[destinations.owner]
channel = "inbox"
"""


def discord_config(demo: Demo, port: int) -> str:
    """The Discord channel, pointed at the gateway of this demo."""
    token = demo.home / "discord.token"
    token.write_text("demo-token-not-a-real-one", encoding="utf-8")
    token.chmod(0o600)
    return f"""[spool]
root = "{demo.spool}"
[destinations.owner]
channel = "discord"
target = "channel:1480577550445969541"
token_file = "{token}"
api_base = "http://127.0.0.1:{port}/api/v10"
"""


def act_one(demo: Demo) -> None:
    """Three agents report; the owner reads in order."""
    say(f"{BOLD}1. Three agents report to the local inbox, in this order.{END}\n")
    demo.start(inbox_config(demo))
    demo.type(
        "submit", "--team", "data", "--worker", "alice", "--task-id", "import",
        "--progress", "50%", "--done", "12,408 rows are in staging", "--next", "checksums",
    )  # fmt: skip
    demo.type(
        "submit", "--team", "web", "--worker", "小林", "--task-id", "翻譯",
        "--progress", "100%", "--done", "第一階段完成", "--status", "done",
    )  # fmt: skip
    say(f"{DIM}  (the third agent just drops a file into pending/){END}")
    draft = demo.home / "nightly.md"
    draft.write_text("# Nightly run\n\n412 tests passed, 0 failed.\n", encoding="utf-8")
    draft.rename(demo.spool / "pending" / "nightly.md")
    demo.wait(lambda: len(demo.names("sent")) == 3)
    say()
    demo.type("list")
    say()
    demo.type("show", "nightly.md")
    demo.stop()


def act_two(demo: Demo) -> None:
    """The channel refuses; the queue stops and says so; it is mended, and goes on."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(f"\n{BOLD}2. A Discord channel that refuses the bot: nothing is lost, nothing is called")
    say(f"   delivered, and the queue says what is wrong.{END}\n")
    demo.start(discord_config(demo, server.server_port))
    demo.type("submit", "--task-id", "deploy", "--done", "version 7 is live")
    demo.type("submit", "--task-id", "cleanup", "--done", "old images removed")
    demo.wait(lambda: demo.status().get("state") == "blocked")
    demo.type("status")
    say(f"\n{DIM}  (somebody gives the bot its permission){END}")
    Gateway.broken = False
    demo.type("retry")
    demo.wait(lambda: not demo.names("pending"))
    say()
    demo.type("status")
    say(f"\n{DIM}  what the channel got, oldest first:{END}")
    for message in Gateway.messages:
        say("  | " + message.replace("\n", "\n  | "))
    demo.stop()
    server.shutdown()
    server.server_close()


def act_three(demo: Demo) -> None:
    """The gate refuses to let an agent stop, until a receipt proves that the next step began."""
    say(f"\n{BOLD}3. An agent ends task 3 of an approved plan, and wants to stop there.{END}\n")
    demo.start(inbox_config(demo))
    turn = demo.home / "turn.json"
    turn.write_text(json.dumps(TURN), encoding="utf-8")
    check = ("gate", "check", "--adapter", "manual", "--input", str(turn))
    refused = demo.type(*check)
    say(f"  {DIM}exit status {refused.returncode}: not yet{END}")
    say(f"\n{DIM}  (it hands task 4 to a sub-agent, and records what that answered){END}")
    receipt = demo.home / "receipt.json"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    receipt.write_text(json.dumps({**RECEIPT, "dispatchedAt": now}), encoding="utf-8")
    demo.type("gate", "receipt", "write", str(receipt))
    passed = demo.type(*check)
    say(f"  {DIM}exit status {passed.returncode}: it may stop{END}")
    if (refused.returncode, passed.returncode) != (20, 0):
        sys.exit("the gate did not decide as it should")
    say()
    demo.type("gate", "decisions")
    demo.stop()


def main() -> None:
    """The whole story, in a folder that is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ownerreportd-demo-"))
    demo = Demo(home)
    say("ownerreportd delivers the reports of your agents and jobs: in order, once, provably.\n")
    try:
        act_one(demo)
        act_two(demo)
        act_three(demo)
    finally:
        demo.stop()
        shutil.rmtree(home, ignore_errors=True)
    say("\nEvery report is in sent/ only because its channel confirmed it. The folder of this demo")
    say("is removed. Next: README.md, then config.example.toml for your own channel.")


if __name__ == "__main__":
    main()
