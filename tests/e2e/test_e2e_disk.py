"""A disk that is full, and one that has room again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from doubles.wire import Fault

IMAGE_BYTES = 48 << 20
FREE_BYTES_MIN = 4 << 20
MOUNTED = 'mount -o loop "$1" "$2"; chmod 700 "$2"; shift 2; exec "$@"'


class SmallDisk:
    """A file system of its own for the spool, which goes away with the daemon's namespace."""

    def __init__(self, home):
        self.home = home
        image = home.path / "disk.img"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
        home.spool.mkdir()
        words = ("sh", "-ec", MOUNTED, "sh", str(image), str(home.spool))
        self.prefix = ("unshare", "-m", *words)

    def start(self):
        daemon = self.home.daemon(prefix=self.prefix)
        # The mount is seen through the daemon's own eyes only.
        self.home.spool = Path(f"/proc/{daemon.pid}/root{self.home.spool}")
        return daemon

    def fill(self):
        """Every byte but a few thousand, as a runaway log does."""
        with (self.home.spool / "runaway.log").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                self._until_full(file, size)

    @staticmethod
    def _until_full(file, size):
        try:
            while True:
                file.write(b"x" * size)
        except OSError:
            return

    def make_room(self):
        (self.home.spool / "runaway.log").unlink()


@pytest.fixture
def disk(root, home, discord):
    home.configure(
        discord.base,
        spool={"free_bytes_min": FREE_BYTES_MIN},
        destinations={"owner": {"timeout_s": 30}},
    )
    return SmallDisk(home)


def test_a_full_disk_sends_nothing_and_recovers_by_itself(home, discord, disk):
    discord.refuse()
    daemon = disk.start()
    home.drop_many({f"{n}.md": f"report {n}" for n in range(3)})
    home.wait(lambda: home.status()["waiting"] == 3, "three wait")
    disk.fill()
    discord.accept_again()
    status = home.wait_state("blocked", "disk_full")
    assert "full" in status["reason"]
    assert status["hint"].startswith("make room")
    ended = home.run("submit", "--done", "no room for it")
    assert ended.status == 74
    assert "make room" in ended.err
    assert discord.attempts == []
    assert home.names("pending") == ["0.md", "1.md", "2.md"]
    disk.make_room()
    home.wait_sent("0.md", "1.md", "2.md")
    assert discord.contents == ["report 0", "report 1", "report 2"]
    assert daemon.stop() == 0


def test_a_disk_that_fills_during_a_send_loses_no_answer(home, discord, disk):
    disk.start()
    discord.meets(Fault("drip", accept=True, pause_s=0.002))
    home.drop_many({f"{n}.md": f"report {n}" for n in range(3)})
    home.wait(lambda: discord.contents, "the first one is taken, and not yet answered")
    disk.fill()
    home.wait_state("blocked", "disk_full")
    assert discord.contents == ["report 0"]
    assert set(home.names("sent")) <= {"0.md"}
    disk.make_room()
    home.wait_sent("0.md", "1.md", "2.md")
    assert discord.contents == ["report 0", "report 1", "report 2"]
    assert len(discord.attempts) == 3


def test_a_kill_on_a_full_disk_delivers_nothing_twice(home, discord, disk):
    spool = home.spool
    daemon = disk.start()
    discord.meets(Fault("drip", accept=True, pause_s=0.002))
    home.drop_many({f"{n}.md": f"report {n}" for n in range(3)})
    home.wait(lambda: discord.contents, "the first one is taken, and not yet answered")
    disk.fill()
    home.wait_state("blocked", "disk_full")
    daemon.close()
    home.spool = spool
    daemon = disk.start()
    home.wait_state("blocked", "disk_full")
    disk.make_room()
    home.wait_sent("0.md", "1.md", "2.md")
    assert discord.contents == ["report 0", "report 1", "report 2"]
