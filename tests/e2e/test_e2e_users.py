"""Producers who are other users than the daemon, in the same group."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import DEADLINE_S, User

SHARED_GROUP = 61_002
DAEMON = User(61_001, 61_001, groups=(SHARED_GROUP,))
PRODUCER = User(61_003, 61_003, groups=(SHARED_GROUP,))
STRANGER = User(61_009, 61_009)
ROOT = User(0, 0)


def links_are_protected():
    return Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1"


@pytest.fixture(params=[0o2770, 0o3770], ids=["setgid", "setgid_and_sticky"])
def shared_home(root, new_home, discord, request):
    """A daemon's spool whose `pending/` a group may write to, as `docs` tell an operator."""
    home = new_home(user=DAEMON).configure(discord.base)
    pending = home.make_pending()
    home.spool.chmod(0o750)
    os.chown(home.spool, DAEMON.uid, SHARED_GROUP)
    os.chown(pending, DAEMON.uid, SHARED_GROUP)
    pending.chmod(request.param)
    return home


def shell(home, script):
    """A producer's own script, with the umask that groups use."""
    words = ("sh", "-ec", f"umask 027; cd {home.spool}/pending; {script}")
    subprocess.run([*PRODUCER.prefix(), *words], check=True, timeout=DEADLINE_S)


def submit_as(home, user, text):
    """`submit` by somebody who knows the spool and nothing else."""
    environ = {**home.environ, "HOME": "/dev/null"}
    words = ("--spool", str(home.spool), "submit", "--team", "other", "--done", text)
    return home.run(*words, environ=environ, cwd="/", user=user)


def test_files_of_another_user_in_the_group_are_delivered_and_archived(shared_home, discord):
    if not links_are_protected():
        pytest.skip("hard links to others' files are allowed here")
    home = shared_home
    shell(home, "echo 'before it runs' > a.md")
    submitted = submit_as(home, PRODUCER, "by the command")
    assert submitted.status == 0, submitted.err
    assert "the report is in" in submitted.err
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 2, "both are sent")
    shell(home, "echo 'renamed into place' > .b.md.tmp && mv .b.md.tmp b.md")
    home.wait_sent("b.md")
    shell(home, ": > empty.md; ln -s /etc/shadow link.md")
    home.wait(lambda: home.names("rejected") == ["empty.md", "link.md"], "they are rejected")
    texts = discord.contents
    assert sorted(text.splitlines()[-1] for text in texts[:2]) == [
        "**Done** by the command",
        "before it runs",
    ]
    assert texts[2:] == ["renamed into place"]
    for name in home.names("sent"):
        assert (home.spool / "sent" / name).stat().st_uid == PRODUCER.uid
    assert home.names("pending") == []
    refused = submit_as(home, STRANGER, "let me in")
    assert refused.status == 74
    assert refused.err.splitlines()[-1].startswith("hint: ")
    assert len(discord.contents) == 3


@pytest.mark.parametrize(
    "words",
    [("run",), ("doctor", "--new-ledger"), ("pause",)],
    ids=" ".join,
)
def test_root_writes_nothing_into_the_spool_of_another_user(root, new_home, words):
    """Else the daemon's own user could not write its ledger any more."""
    home = new_home(user=DAEMON).configure()
    home.drop("a.md", "waits")
    assert home.run("drain").status == 0
    home.drop("b.md", "waits")
    before = home.snapshot()
    done = home.run(*words, user=ROOT)
    assert done.status == 77, done
    why = "who could not use what root writes there"
    program = Path(sys.executable).with_name("ownerreportd")
    same = shlex.join(["sudo", "-u", f"#{DAEMON.uid}", str(program), *words])
    assert done.err.splitlines() == [
        f"error: the spool {home.spool} belongs to #{DAEMON.uid}, {why}",
        f"hint: {same}",
    ]
    assert home.snapshot() == before


def test_root_may_look_at_the_spool_of_another_user(root, new_home):
    home = new_home(user=DAEMON).configure()
    home.drop("a.md", "delivered")
    assert home.run("drain").status == 0
    for words in (("doctor",), ("list", "--state", "sent"), ("drain", "--dry-run")):
        done = home.run(*words, user=ROOT)
        assert done.status == 0, done
    assert home.run("status", user=ROOT).status == 69
    looked = home.run("doctor", user=ROOT).out
    assert re.search(rf"(?m)^✓ spool: .* of uid {DAEMON.uid}$", looked), looked
    owners = {path.stat().st_uid for path in (home.spool / "state").rglob("*")}
    assert owners == {DAEMON.uid}
    home.drop("b.md", "after that")
    assert home.run("drain").status == 0
