"""What is no report, or hardly one, among the good: set aside, left alone, or delivered."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import DEADLINE_S, User

MAKER = Path(__file__).parent.parent / "data" / "make_hostile.py"
USER = User(61_001, 61_001)  # root could read what nobody may read
RSS_BYTES_MAX = 160 << 20
REASONS = {
    "binary.md": "NUL byte",
    "blank.md": "white space",
    "empty.md": "empty",
    "fifo.md": "FIFO",
    "latin1.md": "not UTF-8",
    "link-dangling.md": "symbolic link",
    "link-to-secret.md": "symbolic link",
    "nul-tail.md": "NUL byte",
    "socket.md": "socket",
    "too-large.md": "5,242,880 bytes",
}
UNTOUCHED = {
    b".hidden.md": b"no report: hidden\n",
    b"half.md.tmp": b"no report: still being written\n",
    b"notes.txt": b"no report: not .md\n",
    b"unreadable.md": b"nobody may read this\n",
}
DELIVERED = {
    b"front-matter-only.md": None,
    b"yaml-bomb.md": "body",
    b"yaml-object.md": "body",
    b"not-utf8-\xff\xfe.md": "the name is not UTF-8",
    b"new\nline.md": "the name has a line break",
    b"-rf.md": "the name looks like an option",
    b"a" * 251 + b".md": "the longest name a file can have",
    b"good-among-them.md": "這一份是好的報告",
}


def make_hostile(home):
    pending = home.make_pending()
    command = [sys.executable, str(MAKER), str(pending)]
    subprocess.run([*home.user.prefix(), *command], check=True, timeout=DEADLINE_S)


def bytes_names(folder):
    return set(os.listdir(os.fsencode(folder)))


def check_rejected(home):
    rejected = home.spool / "rejected"
    names = sorted(n for n in os.listdir(rejected) if not n.endswith(".reason.txt"))
    assert names == sorted(REASONS)
    for name, words in REASONS.items():
        reason = (rejected / f"{name}.reason.txt").read_text()
        assert words in reason
        assert reason.count("\n") == 1  # a sentence
    assert stat.S_ISFIFO((rejected / "fifo.md").lstat().st_mode)
    assert stat.S_ISSOCK((rejected / "socket.md").lstat().st_mode)
    assert os.readlink(rejected / "link-to-secret.md") == "/etc/shadow"


def check_untouched(home):
    pending = home.spool / "pending"
    assert bytes_names(pending) == {*UNTOUCHED, b"directory.md"}
    assert (pending / "directory.md").is_dir()
    for name, data in UNTOUCHED.items():
        assert Path(os.fsdecode(os.path.join(os.fsencode(pending), name))).read_bytes() == data


def check_delivered(home, discord):
    assert bytes_names(home.spool / "sent") == set(DELIVERED)
    texts = discord.contents
    assert len(texts) == len(DELIVERED)
    for words in filter(None, DELIVERED.values()):
        assert any(words in text for text in texts)
    assert not any("root:" in text for text in texts)


@pytest.mark.parametrize("daemon", ["running", "stopped"])
def test_a_folder_of_hostile_files_costs_nobody_a_report(root, new_home, discord, daemon):
    home = new_home(user=USER).configure(discord.base)
    if daemon == "running":
        process = home.daemon()
        make_hostile(home)
    else:
        make_hostile(home)
        process = home.daemon()
    home.wait(lambda: len(home.names("sent")) == len(DELIVERED), "the good ones are sent")
    home.wait(lambda: len(home.names("rejected")) == len(REASONS), "the others are rejected")
    home.drop("afterwards.md", "the queue still goes")
    home.wait_sent("afterwards.md")
    (home.spool / "sent" / "afterwards.md").unlink()
    check_rejected(home)
    check_untouched(home)
    discord.delete(discord.messages[-1].id)
    check_delivered(home, discord)
    assert process.rss_peak_bytes() < RSS_BYTES_MAX
    assert not list(home.path.rglob("ownerreportd-was-here"))
    left_alone = home.status()["left_alone"]
    assert "unreadable.md (no permission to read it)" in left_alone
    assert any(text.startswith("notes.txt (") for text in left_alone)
    assert home.run("status").status == 0
    assert home.run("list").status == 0
    (home.spool / "pending" / "unreadable.md").chmod(0o600)
    home.wait_sent("unreadable.md")
    assert discord.contents[-1] == "nobody may read this"
    assert process.stop() == 0
