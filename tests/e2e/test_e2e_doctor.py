"""`doctor`: each thing that can keep a report from its owner is a line with what helps."""

from __future__ import annotations

import json
import os

from e2e.fleet import Abreast
from e2e.harness import TOKEN

abreast = Abreast()
launch = abreast.launch


def found(home, *words):
    """The findings by check, and the exit status."""
    ended = home.run(*words, "doctor", "--json")
    assert ended.err == ""
    return {each["check"]: each for each in json.loads(ended.out)}, ended.status


def marks(findings):
    return {name: each["mark"] for name, each in findings.items()}


@abreast
def test_all_is_well_beside_a_daemon(home, discord):
    home.configure(discord.base).daemon()
    before = set(home.path.rglob("*"))
    findings, status = found(home)
    assert (set(marks(findings).values()), status) == ({"ok"}, 0)
    assert list(findings) == [
        "configuration", "spool", "file system", "room", "one file system", "clock", "ledger",
        "daemon", "watcher", "destination owner",
    ]  # fmt: skip
    assert set(home.path.rglob("*")) == before
    assert discord.contents == []
    shown = home.run("doctor")
    assert [text[0] for text in shown.out.splitlines()] == ["✓"] * 10
    assert TOKEN not in shown.out


@abreast
def test_before_the_first_start_nothing_is_wrong_but_that(home, discord):
    home.configure(discord.base)
    findings, status = found(home)
    assert status == 0
    assert (findings["spool"]["mark"], findings["daemon"]["mark"]) == ("warning", "warning")
    assert findings["daemon"]["remedy"] == "ownerreportd run"
    assert not home.spool.exists()


@abreast
def test_a_channel_that_refuses_is_a_failure_with_its_remedy(home, discord):
    home.configure(discord.base)
    for change, undo, words in (
        (lambda: home.put_token("wrong"), lambda: home.put_token(TOKEN), "token"),
        (lambda: discord.place(view=False), lambda: discord.place(view=True), "view channel"),
    ):
        change()
        findings, status = found(home)
        each = findings["destination owner"]
        assert (each["mark"], status) == ("failure", 78), each
        assert words in (each["remedy"] + each["detail"]).lower(), each
        undo()
    discord.refuse()
    findings, status = found(home)
    assert (findings["destination owner"]["mark"], status) == ("failure", 69)
    discord.accept_again()
    shown = home.run("doctor")
    assert shown.status == 0


@abreast
def test_a_wrong_configuration_is_the_one_finding(home, discord):
    home.configure(discord.base, queue={"lanes": "none"})
    findings, status = found(home)
    assert (list(findings), status) == (["configuration"], 78)
    assert "lanes" in findings["configuration"]["detail"]


@abreast
def test_a_missing_token_keeps_nobody_from_looking_at_the_disk(home, discord):
    home.configure(discord.base).daemon().stop()
    home.token.unlink()
    findings, status = found(home)
    assert (findings["configuration"]["mark"], status) == ("failure", 78)
    assert "no token for channel discord" in findings["configuration"]["detail"]
    assert {"spool", "file system", "room", "clock", "ledger"} < set(findings)
    (home.spool / "state" / "ledger.sqlite3").unlink()
    findings, status = found(home)
    assert (findings["ledger"]["mark"], status) == ("failure", 78)


@abreast
def test_a_lost_ledger_and_a_damaged_one(home, discord):
    home.configure(discord.base).daemon().stop()
    path = home.spool / "state" / "ledger.sqlite3"
    data = path.read_bytes()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(data[:4096] + b"\xa5" * 8192)
    findings, status = found(home)
    assert (findings["ledger"]["mark"], status) == ("failure", 74)
    path.unlink()
    findings, status = found(home)
    assert (findings["ledger"]["mark"], status) == ("failure", 74)
    assert "is missing" in findings["ledger"]["detail"]
    assert "doctor --new-ledger" in findings["ledger"]["remedy"]


@abreast
def test_the_spool_itself(home, discord):
    home.configure(discord.base, spool={"free_bytes_min": 1 << 50}).daemon().stop()
    os.chmod(home.spool, 0o777)
    (home.spool / "tmp" / "left").write_text("half")
    os.utime(home.spool / "tmp" / "left", (1, 1))
    os.utime(home.spool, (4e9, 4e9))
    (home.spool / "held").touch()
    findings, status = found(home)
    assert findings["room"]["mark"] == "failure"
    assert findings["room"]["remedy"].startswith("make room: df -h")
    assert status == 74
    assert findings["spool"]["remedy"] == f"chmod o-w {home.spool}"
    assert findings["leftovers"]["mark"] == "warning"


@abreast
def test_a_daemon_that_holds_the_spool_and_does_not_answer(home, discord):
    daemon = home.configure(discord.base).daemon()
    home.socket.unlink()
    findings, status = found(home)
    assert (findings["daemon"]["mark"], status) == ("failure", 69)
    assert f"pid {daemon.pid} holds the spool" in findings["daemon"]["detail"]


@abreast
def test_without_a_remote_channel_it_says_so(home, discord):
    home.config.unlink(missing_ok=True)
    home.spool = home.path / ".clawteam" / "owner-reports"
    findings, status = found(home)
    assert (findings["configuration"]["mark"], status) == ("warning", 0)
    assert "no remote channel" in findings["configuration"]["detail"]
