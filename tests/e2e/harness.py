"""What the end-to-end tests stand on: a home, real daemons in it, the service's double.

Rule: a test waits for a condition through `wait_until`, with a deadline; nothing sleeps for a
fixed time. Whatever was started here is ended when its owner is closed, also by a failing test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from doubles.discord import DiscordDouble

from ownerreportd.client import Client
from ownerreportd.core.errors import OperatorError
from ownerreportd.render.dialects import DISCORD, Dialect
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference

DEADLINE_S = 120.0  # generous: the machine may be busy with other things
POLL_S = 0.02
CHANNEL = "1480577550445969541"
TOKEN = "MTA5.made-up.token"
GOOD = Path(__file__).parent.parent / "data" / "good"
PROGRAM = (sys.executable, "-m", "ownerreportd")
# A daemon that takes the machine's own certificates, sockets or configuration would be no test.
PATH = os.environ.get("PATH", os.defpath)


def wait_until(ready, what, *, timeout_s=DEADLINE_S, more=lambda: ""):
    """The first true answer of `ready`; fails with `what` (and `more`) after the deadline."""
    end = time.monotonic() + timeout_s
    while not (found := ready()):
        if time.monotonic() > end:
            raise AssertionError(f"in {timeout_s:g} s never: {what}\n{more()}")
        time.sleep(POLL_S)
    return found


def stays_so(holds, seconds, what):
    """Fails if the condition ceases to hold within that time: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds(), f"ceased within {seconds:g} s: {what}"
        time.sleep(POLL_S)


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class User(NamedTuple):
    """Another user, by number: none is made, so that none can be left behind."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def prefix(self) -> tuple[str, ...]:
        """What makes a command line run as this user."""
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        return (*_reach_python(), "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", groups)


def _reach_python() -> tuple[str, ...]:
    """What lets other users reach this interpreter where a folder above it keeps them out.

    An interpreter below /root is such a one. In a mount namespace of its own, that folder is
    covered by an open one that holds nothing else.
    """
    base = Path(sys.base_prefix)
    closed = [path for path in (*reversed(base.parents), base) if not path.stat().st_mode & 0o001]
    if not closed:
        return ()
    script = (
        f"mount --bind {base} /mnt; mount -t tmpfs -o mode=755 none {closed[0]}; "
        f'mkdir -p {base}; mount --bind /mnt {base}; umount /mnt; exec "$@"'
    )
    return ("unshare", "-m", "sh", "-ec", script, "sh")


class Daemon:
    """One daemon process of a home. Its standard error goes to a file of its own."""

    def __init__(self, home: Home, prefix: tuple[str, ...], **popen: Any) -> None:
        self.home = home
        self.was_told_to_end = False
        self.log_path = home.path / f"daemon-{len(home.daemons)}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *home.command("run")],
                env=home.environ, cwd=home.path, stdin=subprocess.DEVNULL,
                stdout=popen.pop("stdout", subprocess.DEVNULL), stderr=popen.pop("stderr", log),
                **popen,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def until_ready(self) -> Self:
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}\n{self.log}")
            return "daemon.ready" in self.log

        wait_until(answers, "the daemon is ready", more=lambda: self.log)
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, timeout_s: float = DEADLINE_S) -> int:
        """The exit status, once it has ended by itself or by a signal."""
        self.was_told_to_end = True
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        self.was_told_to_end = True
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def rss_peak_bytes(self) -> int:
        line = next(x for x in self.proc("status").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


class Home:
    """A throw-away home: configuration, spool, socket, and the commands typed in it.

    It lies directly below /tmp, since a Unix socket's path is at most 107 bytes and other users
    must be able to reach it. With `user` everything in it is that user's, and runs as that user.
    """

    def __init__(self, *, user: User | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ord-", dir="/tmp"))
        self.user = user
        self.spool = self.path / "spool"
        self.config = self.path / ".config" / "ownerreportd" / "config.toml"
        self.token = self.config.parent / "discord.token"
        self.socket = self.path / "api.sock"
        self.environ = {"PATH": PATH, "HOME": str(self.path), "LANG": "C.UTF-8"}
        self.daemons: list[Daemon] = []
        self.config.parent.mkdir(parents=True)
        self.put_token(TOKEN)
        if user is not None:
            self.path.chmod(0o755)
            self.own()

    def own(self) -> None:
        """Give everything in the home to its user."""
        for path in (self.path, *self.path.rglob("*")):
            os.chown(path, self.user.uid, self.user.gid, follow_symlinks=False)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close()
        # A hundred thousand files take Python most of a minute.
        subprocess.run(["rm", "-rf", self.path], check=False, stderr=subprocess.DEVNULL)

    # --- configuration ----------------------------------------------------------------------

    def put_token(self, token: str) -> None:
        self.token.write_text(token + "\n")
        self.token.chmod(0o600)

    def configure(self, base: str | None = None, **sections: dict[str, Any]) -> Self:
        """Quick values, Discord at `base` (else the inbox), and what `sections` change in it."""
        settings: dict[str, Any] = {
            "spool": {"root": str(self.spool), "settle_s": 0.05, "rescan_s": 1},
            "queue": {"backoff": {"initial_s": 0.02, "ceiling_s": 0.1, "jitter": 0}},
            "socket": {"path": str(self.socket)},
            "log": {"format": "json"},
            "destinations": {"owner": self.discord(base) if base else {"channel": "inbox"}},
        }
        self.config.write_text(toml(merged(settings, sections)), encoding="utf-8")
        if self.user:
            self.own()
        return self

    @staticmethod
    def discord(base: str, channel: str = CHANNEL) -> dict[str, Any]:
        target = f"channel:{channel}"
        return {"channel": "discord", "target": target, "api_base": base, "timeout_s": 2}

    # --- processes --------------------------------------------------------------------------

    def command(self, *words: str, user: User | None = None) -> list[str]:
        """The program's command line, as the home's user or another one."""
        user = user or self.user
        return [*(user.prefix() if user else ()), *PROGRAM, *words]

    def daemon(self, *, prefix: tuple[str, ...] = (), ready: bool = True, **popen: Any) -> Daemon:
        daemon = Daemon(self, prefix, **popen)
        self.daemons.append(daemon)
        return daemon.until_ready() if ready else daemon

    def start(self, *words: str, **popen: Any) -> subprocess.Popen[str]:
        """A command of the program, begun."""
        return subprocess.Popen(
            self.command(*words), env=self.environ, cwd=self.path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen,
        )  # fmt: skip

    def run(
        self,
        *words: str,
        stdin: bytes = b"",
        environ: dict[str, str] | None = None,
        user: User | None = None,
        **popen: Any,
    ) -> Ended:
        """A command of the program, as typed; it must end before the deadline."""
        done = subprocess.run(
            self.command(*words, user=user), env=self.environ if environ is None else environ,
            input=stdin, capture_output=True, timeout=DEADLINE_S, check=False,
            **{"cwd": self.path, **popen},
        )  # fmt: skip
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def client(self) -> Client:
        """The daemon's socket, asked directly: a start of Python for every look costs too much."""
        return Client([self.socket, self.spool / "state" / "api.sock"])

    def status(self) -> dict[str, Any]:
        try:
            return self.client.status()
        except OperatorError:
            return {"state": "unreachable"}

    def story(self) -> str:
        """What a failing test shows: the status, the folders, the last daemon's log."""
        folders = {f: self.names(f)[:20] for f in ("pending", "sent", "held", "rejected")}
        log = self.daemons[-1].log[-6000:] if self.daemons else ""
        return f"{json.dumps(self.status(), indent=1)}\n{folders}\n{log}"

    def wait(self, ready, what: str, timeout_s: float = DEADLINE_S):
        def unless_it_died():
            for daemon in self.daemons:
                if daemon.process.poll() is not None and not daemon.was_told_to_end:
                    raise AssertionError(f"the daemon ended before: {what}\n{self.story()}")
            return ready()

        return wait_until(unless_it_died, what, timeout_s=timeout_s, more=self.story)

    def wait_state(self, state: str, code: str | None = None) -> dict[str, Any]:
        """The status, once it is in that state."""

        def reached():
            found = self.status()
            return found["state"] == state and code in (None, found["code"]) and found

        return self.wait(reached, f"the state is {state} {code or ''}")

    def wait_sent(self, *names: str) -> None:
        self.wait(lambda: set(names) <= set(self.names("sent")), f"sent are {names}")

    def wait_idle(self) -> None:
        def idle():
            status = self.status()
            return status["state"] == "idle" and status["waiting"] == 0

        self.wait(idle, "nothing waits any more")

    # --- files ------------------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        """The reports in one of the spool's folders."""
        with contextlib.suppress(OSError):
            return sorted(n for n in os.listdir(self.spool / folder) if n.endswith(".md"))
        return []

    def make_pending(self) -> Path:
        pending = self.spool / "pending"
        pending.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user:
            for path in (self.spool, pending):
                os.chown(path, self.user.uid, self.user.gid)
        return pending

    def drop(self, name: str, text: str | bytes, *, age_s: float = 60.0) -> Path:
        """A finished file, moved into `pending/`, last written `age_s` ago."""
        data = text.encode() if isinstance(text, str) else text
        pending = self.make_pending()
        draft = self.spool / f"draft-{name}"  # on the spool's own file system
        draft.write_bytes(data)
        then = time.time() - age_s
        os.utime(draft, (then, then))
        return draft.rename(pending / name)

    def drop_many(self, texts: dict[str, str], *, first: int = 0) -> None:
        """Reports in the order of the dictionary, each a second younger than the one before."""
        for number, (name, text) in enumerate(texts.items(), first):
            self.drop(name, text, age_s=600 - number)

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """Every path of the spool with its bytes, mode, inode and times."""
        # The stat of all comes first: reading changes the time of access.
        paths = sorted((self.spool, *self.spool.rglob("*")))
        stats = {path: path.lstat() for path in paths}
        return {
            str(path): (
                s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_size,
                s.st_mtime_ns, s.st_ctime_ns, s.st_atime_ns,
            )
            for path, s in stats.items()
        }  # fmt: skip

    def ledger(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Rows of the ledger, read beside whoever writes it."""
        path = self.spool / "state" / "ledger.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute(query, args).fetchall()

    def change_ledger(self, statement: str) -> None:
        """As nobody should, while no daemon runs."""
        with contextlib.closing(sqlite3.connect(self.spool / "state/ledger.sqlite3")) as db, db:
            db.execute(statement)

    def events(self, kind: str) -> list[dict[str, Any]]:
        rows = self.ledger("SELECT fields FROM events WHERE kind = ? ORDER BY id", kind)
        return [json.loads(fields) for (fields,) in rows]


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes, table by table; None takes a key away."""
    result = dict(settings)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def toml(settings: dict[str, Any], prefix: str = "") -> str:
    """The settings as TOML; every string, number and boolean is one in JSON's spelling."""
    plain = [f"{k} = {json.dumps(v)}" for k, v in settings.items() if not isinstance(v, dict)]
    tables = [
        f"[{prefix}{key}]\n" + toml(value, f"{prefix}{key}.")
        for key, value in settings.items()
        if isinstance(value, dict)
    ]
    return "".join(f"{line}\n" for line in plain) + "".join(tables)


# --- the service ------------------------------------------------------------------------------


class LoopThread:
    """An event loop in a thread, for the doubles of services."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="doubles")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_S)


class Discord:
    """The double of Discord on a loop of its own thread; everything else is the double's."""

    def __init__(self, loop: LoopThread, **options: Any) -> None:
        self._loop = loop
        self.double = DiscordDouble(token=TOKEN, **options)

    def __enter__(self) -> Self:
        self._loop.call(self.double.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call(self.double.__aexit__(None, None, None))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.double, name)

    def always(self, fault: Any) -> None:
        """Every message-create meets this; None ends it."""
        self.double.always = fault

    def meets(self, *faults: Any) -> None:
        """The next message-creates meet these, in order."""
        self.double.faults.extend(faults)

    def refuse(self) -> None:
        async def refuse() -> None:
            self.double.refuse()

        self._loop.call(refuse())

    def accept_again(self) -> None:
        self._loop.call(self.double.accept_again())


# --- what a report became ---------------------------------------------------------------------


def parted(
    contents: list[str], sources: dict[str, str | bytes], dialect: Dialect = DISCORD
) -> dict[str, str]:
    """What is wrong with the messages as those reports, in that order; empty if nothing is.

    Each report takes the messages up to its last part, so a message too many, too few or out of
    order shows as a difference of one of them.
    """
    wrong = {}
    left = list(contents)
    for name, source in sources.items():
        data = source.encode() if isinstance(source, str) else source
        report = read_report(data).report
        count = part_count(left[0]) if left else 0
        texts, left = left[:count], left[count:]
        found = difference(report.body, texts, report, dialect=dialect) if texts else "no message"
        if found:
            wrong[name] = found
    if left:
        wrong["left over"] = repr(left)
    return wrong


def part_count(text: str) -> int:
    """Of how many parts this one says that it is."""
    last = text.rsplit("\n", 1)[-1]
    if last.startswith("(1/") and last.endswith(")") and last[3:-1].isdigit():
        return int(last[3:-1])
    return 1


def as_root() -> bool:
    return os.geteuid() == 0


def enter(pid: int, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the mount namespace of that process."""
    words = ["nsenter", "-t", str(pid), "-m", *command]
    return subprocess.run(words, check=True, capture_output=True, text=True)
