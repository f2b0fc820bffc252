"""A fresh spool with three reports, its configuration, and what must be true of it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from doubles.control import DiscordProcess

TOKEN = "MTA5.made-up.token"
USER_AGENT = "DiscordBot (https://example.org, 1)"
FOLDERS = ("held", "pending", "rejected", "sent", "state", "tmp")
STATE_FILES = {"api.path", "ballast", "ledger.sqlite3", "lock"}
SHORT = "The build is through.\n"
CHINESE = "---\nteam: 研究\nworker: alice\ntask_id: 測試\n---\n已完成第一階段,下一步是驗證。\n"
LONG = "# A long one\n\n" + "\n\n".join(
    f"Paragraph {number}: " + "the words go on and on for a while, and then some more. " * 6
    for number in range(1, 12)
)
REPORTS = {"a-short.md": SHORT, "b-中文.md": CHINESE, "c-long.md": LONG + "\n"}
CONFIG = """\
[spool]
root = "{root}"
settle_s = 0.0
[queue]
lanes = "{lanes}"
stop_grace_s = 5
backoff = {{ initial_s = 0.05, factor = 1.5, ceiling_s = 0.2, jitter = 0.2 }}
[delivery]
to = {to}
[socket]
path = "{socket}"
[log]
format = "json"
"""
DESTINATION = """\
[destinations.place{number}]
channel = "discord"
target = "channel:{channel}"
token_file = "{token}"
api_base = "{api_base}"
timeout_s = 3
"""
_channels = itertools.count(2_000_000_000_000_000_000)


class Scene:
    """One run's own folder and own channels at the double. Removed when all went well."""

    def __init__(
        self,
        discord: DiscordProcess,
        reports: Mapping[str, str] = REPORTS,
        *,
        places: int = 1,
        lanes: str = "one",
    ) -> None:
        self._discord = discord
        self._lanes = lanes
        self.reports = dict(reports)
        self.channels = [str(next(_channels)) for _ in range(places)]
        for channel in self.channels:
            discord.place(channel)
        # Not pytest's folder: its long names would not leave room for a socket's 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="crash-")).resolve()
        self.root = self.folder / "spool"
        self.config = self.folder / "config.toml"
        self.log = self.folder / "log"
        self.log.touch()
        self._configure()
        for folder in ("tmp", "pending"):
            (self.root / folder).mkdir(parents=True, mode=0o700)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def _configure(self) -> None:
        token = self.folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        names = [f"place{number}" for number in range(len(self.channels))]
        text = CONFIG.format(
            root=self.root, to=json.dumps(names), lanes=self._lanes, socket=self.folder / "socket"
        )
        for number, channel in enumerate(self.channels):
            text += DESTINATION.format(
                number=number, channel=channel, token=token, api_base=self._discord.base
            )
        self.config.write_text(text)
        self.config.chmod(0o600)

    def drop_reports(self) -> None:
        """As something that knows nothing of the program would: written elsewhere, then moved."""
        for age_s, (name, text) in zip(range(30, 0, -1), self.reports.items(), strict=False):
            path = self.folder / name
            path.write_text(text)
            at = time.time() - age_s
            os.utime(path, (at, at))
            path.rename(self.root / "pending" / name)

    # --- what can be seen -------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root / folder))
        except FileNotFoundError:
            return []

    @property
    def all_sent(self) -> bool:
        return self.names("sent") == sorted(self.reports)

    def log_lines(self) -> list[dict[str, Any]]:
        """The log's lines; what is not JSON (an error as text) under `text`."""
        return [_line(text) for text in self.log.read_text("utf-8", "replace").splitlines()]

    def contents(self, place: int = 0) -> list[str]:
        """What the owner sees there, oldest first, asked as any client of the service would."""
        connection = http.client.HTTPConnection("127.0.0.1", self._discord.port, timeout=10)
        with closing(connection):
            headers = {"Authorization": f"Bot {TOKEN}", "User-Agent": USER_AGENT}
            path = f"/api/v10/channels/{self.channels[place]}/messages?limit=100"
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            messages = json.loads(answer.read())
        assert answer.status == 200, messages
        return [message["content"] for message in reversed(messages)]

    def paths(self) -> list[str]:
        """Every path of the spool that the program is known to touch, for `strace -P`."""
        root = self.root
        state = (*STATE_FILES, "api.path.new")
        ledger = [f"ledger.sqlite3{suffix}" for suffix in ("-journal", "-wal", "-shm")]
        found = [root, *(root / folder for folder in FOLDERS)]
        found += [root / "state" / name for name in (*state, *ledger)]
        found += [root / folder / name for folder in ("pending", "sent") for name in self.reports]
        return [str(path) for path in found]

    # --- what must be true ------------------------------------------------------------------

    def check_promises(self, expected: Mapping[str, Sequence[str]]) -> None:
        """What holds at every moment: nothing lost, nothing torn, no false success, order."""
        for name, text in self.reports.items():
            found = [
                path for folder in ("pending", "sent")
                if (path := self.root / folder / name).exists()
            ]  # fmt: skip
            assert found, f"lost: {name}"
            assert all(path.read_text() == text for path in found), f"torn: {name}"
            assert len({path.stat().st_ino for path in found}) == 1, f"copied: {name}"
        whole = [content for name in self.reports for content in expected[name]]
        sent = self.names("sent")  # read before the service is asked: what it shows must be there
        for place in range(len(self.channels)):
            seen = self.contents(place)
            assert seen == whole[: len(seen)], "the owner saw something twice, or out of order"
            for name in sent:
                assert set(expected[name]) <= set(seen), f"a false success: {name}"

    def check_end(self, expected: Mapping[str, Sequence[str]]) -> None:
        """What holds when all is done and the daemon has stopped."""
        self.check_promises(expected)
        for place in range(len(self.channels)):
            assert len(self.contents(place)) == sum(len(expected[name]) for name in self.reports)
        assert sorted(os.listdir(self.root)) == list(FOLDERS)
        assert self.names("sent") == sorted(self.reports)
        for folder in ("tmp", "pending", "held", "rejected"):
            assert self.names(folder) == [], folder
        assert set(self.names("state")) == STATE_FILES
        self._check_ledger()

    def _check_ledger(self) -> None:
        uri = f"{(self.root / 'state' / 'ledger.sqlite3').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = db.execute("SELECT name, state, folder FROM reports ORDER BY seq").fetchall()
            assert rows == [(os.fsencode(name), "sent", "sent") for name in self.reports]
            assert db.execute("SELECT id FROM attempts WHERE outcome IS NULL").fetchall() == []
            assert db.execute("SELECT DISTINCT state FROM deliveries").fetchall() == [
                ("confirmed",)
            ]
            parts = db.execute("SELECT DISTINCT state, form FROM parts").fetchall()
            assert parts == [("confirmed", "plain")]

    def story(self) -> str:
        """For a person who has to find out why a run failed."""
        files = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        log = self.log.read_text("utf-8", "replace")[-6000:]
        return f"kept in {self.folder}\nfiles: {files}\nlog:\n{log}"


def _line(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": text}
