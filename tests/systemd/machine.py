"""A Debian that boots in systemd-nspawn, and the two services in it as a test sees them.

Rule: what a test changes lies in an overlay that goes with the machine; nothing of this machine
is changed, and no network but the machine's own loopback is reached.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from e2e.harness import wait_until

BOOT_S = 90
COMMAND_S = 300
ENVIRON = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
PYTHON = "/opt/ownerreportd/bin/python"
PROGRAM = "/opt/ownerreportd/bin/ownerreportd"
TOKEN = "MTA5.made-up-token-of-the-machine"
CHANNEL = "1480577550445969541"
PORT = 8090
ASK = """
import http.client, sys
asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
asked.request("POST", "/_control/" + sys.argv[2], sys.stdin.buffer.read())
answer = asked.getresponse()
body = answer.read()
assert answer.status == 200, body
sys.stdout.buffer.write(body)
"""


class Ended(NamedTuple):
    status: int
    out: str
    err: str


class Machine:
    """One booted machine; `enter` types a command in it."""

    def __init__(self, tree: Path, binds: dict[str, Path]) -> None:
        shared = [f"--bind-ro={path}:{place}" for place, path in binds.items()]
        self.process = subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay",
                "--private-network", "--resolv-conf=off", "--timezone=off", "--hostname=machine",
                f"--directory={tree}", *shared, "--boot",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.leader = 0

    def until_booted(self) -> None:
        def running() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"systemd-nspawn ended: {self.process.stderr.read()}")
            self.leader = self._child()  # at first it is a helper, which makes the real one
            if not self.leader:
                return False
            said = self.enter("systemctl", "is-system-running").out.strip()
            return said in {"running", "degraded"}

        wait_until(running, "the machine has booted", timeout_s=BOOT_S)

    @property
    def root(self) -> Path:
        """Its files, seen from here."""
        return Path(f"/proc/{self.leader}/root")

    def _child(self) -> int:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def close(self) -> None:
        if self.leader and self.process.poll() is None:
            subprocess.run(["kill", "-s", "RTMIN+4", str(self.leader)])
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        self.process.stderr.close()

    def enter(self, *words: str, user: str = "", stdin: str = "", environ=()) -> Ended:
        """A command in the machine, as root or that user, in an environment of its own."""
        home = f"/home/{user}" if user else "/root"
        runtime = (f"XDG_RUNTIME_DIR=/run/user/{self.uid(user)}",) if user else ()
        become = ("runuser", "-u", user, "--") if user else ()
        done = subprocess.run(
            [
                "nsenter", "-t", str(self.leader), "--all", "--",
                "sh", "-c", 'cd /; exec "$@"', "sh",
                *become, "env", "-i", *ENVIRON, f"HOME={home}", *runtime, *environ, *words,
            ],
            input=stdin, capture_output=True, text=True, timeout=COMMAND_S,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, **how) -> str:
        """The output of a command that must succeed."""
        done = self.enter(*words, **how)
        assert done.status == 0, (words, done)
        return done.out

    def uid(self, user: str) -> str:
        return next(
            line.split(":")[2]
            for line in (self.root / "etc/passwd").read_text().splitlines()
            if line.startswith(f"{user}:")
        )

    def put(self, path: str, text: str, *, owner: str = "root", mode: str = "644") -> None:
        """A whole file at once, as an administrator puts it there."""
        self.ok("install", "-D", "-m", mode, "-o", owner, "/dev/stdin", path, stdin=text)


class Double:
    """Discord, as a unit of the machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.enter("systemctl", "stop", "double")
        machine.ok("rm", "-f", "/run/double.ports")
        machine.ok(
            "systemd-run", "--quiet", "--unit=double", "--collect",
            "--property=StandardOutput=file:/run/double.ports",
            PYTHON, "/opt/tests/doubles/discord.py", "--port", str(PORT), "--token", TOKEN,
        )  # fmt: skip
        ports = machine.root / "run/double.ports"
        wait_until(lambda: ports.exists() and ports.read_text().count("\n") == 2, "it listens")
        self.control = ports.read_text().split()[1]

    def ask(self, verb: str, **fields):
        text = self.machine.ok(PYTHON, "-c", ASK, self.control, verb, stdin=json.dumps(fields))
        return json.loads(text)

    @property
    def contents(self) -> list[str]:
        return [m["content"] for m in self.ask("messages") if not m["deleted"]]

    @property
    def attempts(self):
        return [seen for seen in self.ask("requests") if seen["create"]]

    def meets(self, *faults) -> None:
        self.ask("faults", next=list(faults))

    def until(self, *contents: str) -> None:
        """Wait for exactly these messages, in this order."""
        wait_until(
            lambda: len(self.contents) >= len(contents), f"{contents}", more=lambda: self.contents
        )
        assert self.contents == list(contents)


class Service:
    """One of the two services: of the system, or of the user `agent`."""

    def __init__(self, machine: Machine, kind: str) -> None:
        self.machine, self.kind = machine, kind
        is_user = kind == "user"
        self.user = "agent" if is_user else ""
        self.producer = "agent" if is_user else "alice"
        self.flags = ("--user",) if is_user else ()
        self.spool = "/home/agent/.clawteam/owner-reports" if is_user else "/var/lib/ownerreportd"
        self.config = (
            "/home/agent/.config/ownerreportd/config.toml" if is_user
            else "/etc/ownerreportd/config.toml"
        )  # fmt: skip
        self.units = "/home/agent/.config/systemd/user" if is_user else "/etc/systemd/system"
        self.socket = f"/run/user/{machine.uid('agent')}/ownerreportd/api.sock"
        if not is_user:
            self.socket = "/run/ownerreportd/api.sock"

    # --- as its administrator ---------------------------------------------------------------

    def root(self, *words: str, **how) -> Ended:
        """A command as whoever administers it."""
        return self.machine.enter(*words, user=self.user, **how)

    def ctl(self, *words: str) -> Ended:
        return self.root("systemctl", *self.flags, *words)

    def ctl_ok(self, *words: str) -> str:
        done = self.ctl(*words)
        assert done.status == 0, (words, done, self.journal()[-3000:])
        return done.out

    def program(self, *words: str, **how) -> Ended:
        return self.root(PROGRAM, *words, **how)

    def property(self, name: str) -> str:
        return self.ctl_ok("show", "--value", f"--property={name}", "ownerreportd").strip()

    def since(self) -> str:
        return self.machine.ok("date", "+%s.%N").strip()

    def journal(self, *words: str) -> str:
        """The unit's own lines."""
        unit = ("_SYSTEMD_USER_UNIT" if self.user else "_SYSTEMD_UNIT") + "=ownerreportd.service"
        return self.machine.ok("journalctl", "--no-pager", "--output=cat", *words, unit)

    def configure(self, more: str = "", *, grace_s: int = 10, timeout_s: int = 20) -> None:
        own = "" if self.user else (
            f'[spool]\nroot = "{self.spool}"\n[socket]\nsubmit_group = "ownerreports"\n'
        )  # fmt: skip
        text = (
            f"{own}[queue]\nstop_grace_s = {grace_s}\n"
            "backoff = { initial_s = 0.2, ceiling_s = 1, jitter = 0 }\n"
            f'[destinations.owner]\nchannel = "discord"\ntarget = "channel:{CHANNEL}"\n'
            f'api_base = "http://127.0.0.1:{PORT}/api/v10"\ntimeout_s = {timeout_s}\n{more}'
        )
        self.machine.put(self.config, text, owner=self.user or "root")

    def drop_in(self, text: str, name: str = "test.conf") -> None:
        path = f"{self.units}/ownerreportd.service.d/{name}"
        self.machine.put(path, text, owner=self.user or "root")
        self.ctl_ok("daemon-reload")

    def begin_anew(self) -> None:
        """An empty spool, the usual configuration, no drop-in, and the daemon at work."""
        self.ctl("stop", "ownerreportd.socket", "ownerreportd.service")
        self.ctl("reset-failed")
        folder = shlex.quote(f"{self.units}/ownerreportd.service.d")
        self.root("sh", "-c", f"rm -rf {folder} {self.spool}/*")
        self.configure()
        if not self.user:
            self.machine.ok("systemd-tmpfiles", "--create", "ownerreportd.conf")
        self.ctl_ok("daemon-reload")
        self.ctl_ok("start", "ownerreportd.socket", "ownerreportd.service")

    # --- as a producer ----------------------------------------------------------------------

    def submit(self, text: str, *, user: str | None = None) -> Ended:
        return self.machine.enter(PROGRAM, "submit", "-", user=user or self.producer, stdin=text)

    def drop(self, name: str, text: str, *, user: str | None = None) -> Ended:
        """A finished file, moved into `pending/` as a shell script does it."""
        pending = f"{self.spool}/pending"
        script = f"umask 022; cat > {pending}/.{name} && mv {pending}/.{name} {pending}/{name}"
        return self.machine.enter("sh", "-c", script, user=user or self.producer, stdin=text)

    def names(self, folder: str) -> list[str]:
        return self.machine.enter("ls", f"{self.spool}/{folder}").out.split()

    def until_state(self, state: str) -> str:
        """The first line of `status`, once it begins with that state."""

        def first() -> str:
            lines = self.program("status").out.splitlines()
            return lines[0] if lines and lines[0].split()[0] == state else ""

        return wait_until(first, f"it is {state}", more=lambda: self.program("status"))
