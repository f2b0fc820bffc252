"""`pending/` deleted, replaced, mounted over or renamed while the daemon runs."""

from __future__ import annotations

import shutil

from doubles.faults import NAMED
from e2e.fleet import Abreast
from e2e.harness import enter, stays_so

abreast = Abreast()
launch = abreast.launch

TEXTS = {f"{n}.md": f"report {n}" for n in range(3)}
# A name must be missing in two scans 2 s apart to be withdrawn; scans come every second here.
LONGER_THAN_A_WITHDRAWAL_S = 3.5


class Renamed:
    """Moved away and, later, back."""

    def __init__(self, home):
        self.pending, self.aside = home.spool / "pending", home.spool / "pending.aside"
        self.daemon = home.daemons[-1]

    def away(self):
        self.pending.rename(self.aside)

    def back(self):
        self.aside.rename(self.pending)


class Replaced(Renamed):
    """Another, empty folder in its place, as a restore or a re-created home makes one."""

    def away(self):
        super().away()
        self.pending.mkdir()

    def back(self):
        self.pending.rmdir()
        super().back()


class MountedOver(Renamed):
    """An empty file system over it, in the daemon's own mount namespace."""

    def away(self):
        enter(self.daemon.pid, "mount", "-t", "tmpfs", "none", str(self.pending))

    def back(self):
        enter(self.daemon.pid, "umount", str(self.pending))


class BoundOver(MountedOver):
    """Another folder of the same file system over it."""

    def away(self):
        self.aside.mkdir()
        enter(self.daemon.pid, "mount", "--bind", str(self.aside), str(self.pending))


WAYS = {"renamed": Renamed, "replaced": Replaced, "mounted_over": MountedOver, "bound": BoundOver}


def waiting_home(home, discord, way):
    """A daemon with three reports that wait behind a failing first one."""
    own_mounts = ("unshare", "-m") if issubclass(way, MountedOver) else ()
    home.configure(discord.base).drop_many(TEXTS)
    home.daemon(prefix=own_mounts, ready=False)
    return way(home)


def until_three_wait(home):
    frozen = "SELECT count(*) FROM reports WHERE fields IS NOT NULL"
    home.daemons[-1].until_ready()
    home.wait(lambda: home.ledger(frozen) == [(3,)], "three wait, and were read")


def test_a_pending_folder_that_goes_away_loses_and_withdraws_nothing(root, new_home, discord):
    """All the ways at once, in homes of their own: each takes its time."""
    discord.always(NAMED["503"])
    homes = {name: new_home() for name in WAYS}
    folders = {name: waiting_home(homes[name], discord, way) for name, way in WAYS.items()}
    for home in homes.values():
        until_three_wait(home)
    for folder in folders.values():
        folder.away()
    for name, home in homes.items():
        status = home.wait_state("blocked", "spool_replaced")
        assert status["reason"], name
        assert "retry" in status["hint"], name
        assert home.run("submit", "--done", "into nowhere").status == 74, name
    discord.always(None)
    waiting = dict.fromkeys(homes.values(), 3)
    stays_so(
        lambda: {home: home.status()["waiting"] for home in homes.values()} == waiting,
        LONGER_THAN_A_WITHDRAWAL_S,
        "everything waits, and nothing is withdrawn",
    )
    assert discord.contents == []
    for folder in folders.values():
        folder.back()
    for name, home in homes.items():
        home.wait_sent(*TEXTS)
        home.wait_idle()  # the files move first
        assert home.events("report.withdrawn") == [], name
        order = home.ledger("SELECT name FROM reports WHERE state = 'sent' ORDER BY settled_at")
        assert [bytes(n).decode() for (n,) in order] == list(TEXTS), name
    assert sorted(discord.contents) == sorted(list(TEXTS.values()) * len(WAYS))


@abreast
def test_a_deleted_pending_folder_that_is_restored_is_taken_by_retry(home, discord):
    discord.always(NAMED["503"])
    waiting_home(home, discord, Renamed)
    until_three_wait(home)
    pending, backup = home.spool / "pending", home.path / "backup"
    shutil.copytree(pending, backup)
    shutil.rmtree(pending)
    home.wait_state("blocked", "spool_replaced")
    ended = home.run("retry")
    assert ended.status == 74
    assert "put the old folder back" in ended.err
    shutil.copytree(backup, pending)
    discord.always(None)
    home.wait_state("blocked", "spool_replaced")  # another folder: a person must say so
    assert discord.contents == []
    assert home.run("retry").status == 0
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())
    assert home.events("report.withdrawn") == []


@abreast
def test_a_replaced_folder_is_noticed_over_a_restart(home, discord):
    discord.always(NAMED["503"])
    folder = waiting_home(home, discord, Replaced)
    until_three_wait(home)
    home.daemons[-1].stop()
    folder.away()
    discord.always(None)
    home.daemon()
    home.wait_state("blocked", "spool_replaced")
    folder.back()
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())


@abreast
def test_another_folder_that_was_deleted_is_made_again(home):
    home.configure().daemon()
    for number, folder in enumerate(("sent", "rejected", "held", "tmp", "inbox")):
        home.drop(f"{number}a.md", "first")
        home.wait_sent(f"{number}a.md")
        shutil.rmtree(home.spool / folder, ignore_errors=True)
        home.drop(f"{number}b.md", "second")
        home.drop(f"{number}c.md", " ")
        home.wait_sent(f"{number}b.md")
        home.wait(lambda n=number: f"{n}c.md" in home.names("rejected"), "the blank is rejected")
        assert home.client.submit(f"third {number}".encode())["state"] == "waiting"
        home.wait_idle()
