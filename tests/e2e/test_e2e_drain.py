"""`drain`: a rehearsal that changes nothing, a cron job, and beside a running daemon."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from doubles.faults import throttled
from e2e.fleet import ALL, Abreast
from e2e.harness import GOOD, parted

abreast = Abreast()
launch = abreast.launch

TEXTS = {f"{n}.md": f"report {n}" for n in range(8)}


def cron(home, *words, **environ):
    """As cron starts it: HOME and PATH, and what the crontab's line says."""
    known = {"HOME": str(home.path), "PATH": home.environ["PATH"]}
    return home.run(*words, environ={**known, **environ}, cwd="/")


def set_all_times_back(folder):
    """Times of access older than the others, so that `relatime` would show every reading."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (1_000_000_000, path.lstat().st_mtime), follow_symlinks=False)


@abreast
def test_a_rehearsal_shows_the_order_and_changes_nothing(home, discord):
    home.configure(discord.base)
    home.drop_many({path.name: path.read_bytes() for path in sorted(GOOD.glob("*.md"))})
    home.drop("zz-empty.md", "")
    home.drop("notes.txt", "a slip")
    os.mkfifo(home.spool / "pending" / "fifo.md")
    set_all_times_back(home.spool)
    before = home.snapshot()
    ended = cron(home, "drain", "--dry-run")
    assert ended.status == 0, ended.err
    assert home.snapshot() == before
    lines = ended.out.splitlines()
    names = [line.split()[1] for line in lines]
    assert names[:-1] == [path.name for path in sorted(GOOD.glob("*.md"))]
    assert names[-1] == "zz-empty.md"
    assert "rejected/: The file is empty." in lines[-1]
    assert f"owner (discord channel:{next(iter(discord.places))})" in lines[0]
    assert discord.requests == []


@abreast
def test_a_rehearsal_on_a_spool_that_is_not_there_makes_none(home, discord):
    home.configure(discord.base)
    assert cron(home, "drain", "--dry-run").out == "nothing waits\n"
    assert not home.spool.exists()


def check_rehearsal_between(home, discord):
    """With a ledger from earlier runs it changes nothing either."""
    requests = len(discord.requests)
    set_all_times_back(home.spool)
    before = home.snapshot()
    ended = cron(home, "drain", "--dry-run", "--max-count", "2")
    assert ended.status == 0
    assert home.snapshot() == before
    assert [line.split()[1] for line in ended.out.splitlines()] == ["5.md", "6.md"]
    assert len(discord.requests) == requests


@abreast
def test_cron_delivers_the_five_oldest_and_then_the_rest(home, discord):
    home.configure(discord.base)
    home.drop_many(TEXTS)
    first = cron(home, "drain", "--max-count", "5")
    assert (first.status, first.err) == (0, "")
    assert len(first.out.splitlines()) == 5
    assert discord.contents == list(TEXTS.values())[:5]
    assert home.names("sent") == list(TEXTS)[:5]
    assert home.names("pending") == list(TEXTS)[5:]
    check_rehearsal_between(home, discord)
    second = cron(home, "drain", OWNER_REPORT_MAX_COUNT="2")
    assert second.status == 0
    assert discord.contents == list(TEXTS.values())[:7]
    assert cron(home, "drain").status == 0
    assert cron(home, "drain").status == 0  # nothing waits: done
    assert discord.contents == list(TEXTS.values())


FAILURES = {"502_json": 75, "refused": 75, "503": 76, "hang": 76, "401": 76, "400": 76}


@abreast
def test_cron_stops_at_the_first_failure_and_says_which_kind(home, discord):
    """Each run delivers what the one before failed at, and stops at the next one's failure."""
    home.configure(discord.base, destinations={"owner": {"timeout_s": 0.5}})
    home.drop_many(TEXTS)
    for number, (fault, status) in enumerate(FAILURES.items()):
        if fault == "refused":
            discord.double.fault_if = lambda seen: discord.double.refuse()  # noqa: ARG005 - once answered
        discord.meets(*([None] if number else []), ALL.get(fault))
        ended = cron(home, "drain", "--max-count", "5")
        discord.double.fault_if = None
        discord.accept_again()
        discord.faults.clear()
        assert ended.status == status, (fault, ended.err)
        error, hint = ended.err.splitlines()[-2:]
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")
        assert discord.contents == list(TEXTS.values())[:number]
        assert home.names("sent") == list(TEXTS)[:number]
    assert cron(home, "drain", "--max-count", "1").status == 0
    assert cron(home, "drain").status == 0
    assert discord.contents == list(TEXTS.values())


@abreast
def test_cron_waits_out_a_short_throttling_and_fresh_files(home, discord):
    home.configure(discord.base, spool={"settle_s": 0.5})
    discord.meets(throttled(0.4))
    home.drop("a.md", "throttled first")
    home.drop("b.md", "written just now", age_s=0)
    ended = cron(home, "drain")
    assert ended.status == 0, ended.err
    assert discord.contents == ["throttled first", "written just now"]


@abreast
def test_cron_does_not_wait_out_a_long_throttling(home, discord):
    home.configure(discord.base)
    discord.meets(throttled(300))
    home.drop("a.md", "throttled first")
    began = time.monotonic()
    assert cron(home, "drain").status == 75
    assert cron(home, "drain").status == 75  # over a restart too, and without asking
    assert time.monotonic() - began < 30
    assert len(discord.attempts) == 1


@abreast
def test_beside_a_daemon_it_waits_for_the_first_ones_and_exits_alike(home, discord):
    home.configure(discord.base).daemon()
    home.drop_many(TEXTS)
    home.wait(lambda: home.names("sent") or home.status()["waiting"], "the reports were seen")
    assert cron(home, "drain", "--max-count", "5").status == 0
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())
    discord.always(ALL["403"])
    home.drop("z.md", "refused")
    home.wait_state("blocked", "config")
    ended = cron(home, "drain")
    assert ended.status == 76
    assert "Missing Access" in ended.err
    discord.always(None)
    ended = cron(home, "drain")
    assert ended.status == 0, ended.err
    assert discord.contents[-1] == "refused"
    ended = cron(home, "drain", OWNER_REPORT_CHANNEL="discord", OWNER_REPORT_TARGET="channel:1")
    assert ended.status == 78
    assert "ownerreportd send" in ended.err
    home.client.pause()
    home.drop("zz.md", "paused")
    home.wait(lambda: home.status()["waiting"] == 1, "it is admitted")
    assert cron(home, "drain").status == 75


@abreast
def test_beside_a_daemon_in_doubt_it_needs_a_person_as_it_does_alone(home, discord):
    home.configure(discord.base, destinations={"owner": {"in_doubt": "hold"}})
    assert home.run("drain").status == 0
    discord.place(history=False)
    home.drop("a.md", "text")
    for path in (home.spool / "state").glob("ledger.sqlite3*"):
        path.unlink()
    assert home.run("doctor", "--new-ledger").status == 0
    daemon = home.daemon()
    home.wait_state("blocked", "doubt")
    beside = cron(home, "drain")
    assert beside.status == 76
    assert beside.err.startswith("note: 0 reports settled, 1 left\n")
    daemon.stop()
    alone = cron(home, "drain")
    hint = "hint: look at the channel, then: ownerreportd resolve head --sent, or --resend"
    assert alone.status == 76
    assert [alone.err.splitlines()[-1], beside.err.splitlines()[-1]] == [hint, hint]
    assert (discord.contents, home.names("pending")) == ([], ["a.md"])


OLD = {
    "OWNER_REPORT_CHANNEL": "discord",
    "OWNER_REPORT_TARGET": "channel:1",
}


@abreast
def test_the_old_variables_and_the_token_are_a_whole_configuration(home, discord):
    discord.place("1")
    home.spool = home.path / ".clawteam" / "owner-reports"
    home.drop_many(TEXTS)
    base = {"OWNERREPORTD_DESTINATIONS__OVERRIDE__API_BASE": discord.base}
    ended = cron(home, "drain", **OLD, **base)
    assert ended.status == 0, ended.err
    assert [m.channel for m in discord.messages] == ["1"] * len(TEXTS)
    assert discord.contents == list(TEXTS.values())
    assert home.names("sent") == list(TEXTS)


@abreast
def test_the_old_variables_override_a_configured_destination_for_that_run(home, discord):
    home.configure(discord.base, routes=None)
    configured = next(iter(discord.places))
    discord.place("1")
    home.drop("a.md", "to the configured one")
    assert cron(home, "drain").status == 0
    home.drop("b.md", "---\nto: owner\n---\nto the other one")
    base = {"OWNERREPORTD_DESTINATIONS__OVERRIDE__API_BASE": discord.base}
    ended = cron(home, "drain", **OLD, **base)
    assert ended.status == 0, ended.err
    home.drop("c.md", "to the configured one again")
    assert cron(home, "drain").status == 0
    assert [m.channel for m in discord.messages] == [configured, "1", configured]


@abreast
def test_without_its_token_the_error_lists_the_places(home, discord):
    home.token.unlink()
    base = {"OWNERREPORTD_DESTINATIONS__OVERRIDE__API_BASE": discord.base}
    ended = cron(home, "drain", **OLD, **base)
    assert ended.status == 78
    assert str(home.token) in ended.err
    home.put_token("x")
    home.token.chmod(0o644)
    ended = cron(home, "drain", **OLD, **base)
    assert ended.status == 78
    assert "chmod 600" in ended.err
    shutil.rmtree(home.path / ".clawteam", ignore_errors=True)


@abreast
def test_a_drain_that_is_stopped_records_what_it_began(home, discord):
    home.configure(
        discord.base, destinations={"owner": {"timeout_s": 60}}, queue={"stop_grace_s": 0.3}
    )
    home.drop_many(TEXTS)
    discord.meets(None, ALL["accept_then_hang"])
    with home.start("drain") as process:
        home.wait(lambda: len(discord.attempts) == 2, "the second attempt is in flight")
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode in {75, 76}
    assert cron(home, "drain").status == 0
    assert discord.contents == list(TEXTS.values())
    assert parted(discord.contents, TEXTS) == {}


@pytest.mark.parametrize("beside", [True, False])
def test_a_drain_takes_no_new_folder_for_the_old_one(home, discord, beside):
    """What is a person's to decide, `retry` decides, and no cron job."""
    home.configure(discord.base)
    discord.always(ALL["403"])
    for number in range(2):
        home.drop(f"r{number}.md", f"report {number}\n")
    daemon = home.daemon()
    home.wait_state("blocked", "config")
    (home.spool / "pending").rename(home.spool / "old")
    if beside:
        home.run("retry")
        home.wait_state("blocked", "spool_replaced")
    else:
        daemon.stop()
    (home.spool / "pending").mkdir(mode=0o700)
    assert home.run("drain", "--max-count", "5").status == 74
    assert home.ledger("SELECT state FROM reports") == [("waiting",)] * 2
