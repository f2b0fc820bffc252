"""What `docs/operating.md` promises of backups, moves, upgrades, several spools and clocks.

Every procedure is typed as the manual prints it, with a real daemon.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from doubles.faults import NAMED
from e2e.fleet import ALL, Abreast
from e2e.harness import DEADLINE_S, PROGRAM, toml
from e2e.manual import ROOT, Player, blocks

FIRST = {f"{n}.md": f"report {n}" for n in range(2)}
LATER = {f"{n}.md": f"report {n}" for n in range(2, 5)}
MARK = "⚠ Possible duplicate"


abreast = Abreast()
launch = abreast.launch


def player_at(home, discord):
    """Who types in this home, configured for the service at the usual spool."""
    found = Player(home)
    home.configure(discord.base, spool={"root": str(home.spool)})
    return found


def two_sent_and_three_waiting(home, discord):
    home.daemon()
    home.drop_many(FIRST)
    home.wait_sent(*FIRST)
    home.wait_idle()  # the files move first
    discord.always(NAMED["503"])
    home.drop_many(LATER, first=2)
    home.wait(lambda: home.status()["waiting"] == 3, "three wait")
    home.wait(lambda: (home.status()["head"] or {}).get("attempts"), "the first was attempted")


def deliver(home, discord, *names):
    discord.always(None)
    home.wait_sent(*names)
    home.wait_idle()


def after_the_backup(home, discord):
    """All that waited is delivered, and one more; a last one waits."""
    deliver(home, discord, *LATER)
    home.drop("5.md", "report 5")
    home.wait_sent("5.md")
    home.wait_idle()
    discord.always(NAMED["503"])
    home.drop("6.md", "report 6")
    home.wait(lambda: home.status()["waiting"] == 1, "the last one waits")


@abreast
def test_a_backup_of_a_running_spool_is_restored_with_nothing_lost_or_doubled(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    player.play(*blocks("A backup while it runs"))
    after_the_backup(home, discord)
    tries = []

    def again():
        discord.always(None)
        tries.append(len(discord.attempts))

    player.play(*blocks("Restore"), stopped=again)
    home.wait_sent(*FIRST, *LATER, "6.md")
    home.wait_idle()
    assert discord.contents == [f"report {n}" for n in range(7)]
    tried = [json.loads(seen.body)["content"] for seen in discord.attempts[tries[0] :]]
    assert set(tried) == {"report 6"}, "what was found is not even tried again"
    shown = home.run("list", "--state", "sent", "--json").json
    assert {row["name"] for row in shown["reports"]} == {*FIRST, *LATER, "6.md"}, (
        "the history stays"
    )


@abreast
def test_where_the_channel_cannot_be_searched_a_restore_leaves_only_marked_copies(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    player.play(*blocks("A backup while it runs"))
    after_the_backup(home, discord)

    def unreadable():
        discord.always(None)
        discord.place(history=False)
        discord.advance(3600)  # its memory of keys would spare the owner the copies

    player.play(*blocks("Restore"), stopped=unreadable)
    home.wait_sent(*LATER, "6.md")
    plain = [text for text in discord.contents if not text.startswith(MARK)]
    assert plain == [f"report {n}" for n in range(6)]
    marked = [text for text in discord.contents if text.startswith(MARK)]
    assert [text.rsplit("\n", 1)[-1] for text in marked] == [
        "report 2", "report 3", "report 4", "report 6",
    ]  # fmt: skip


@abreast
def test_a_backup_of_a_stopped_spool_is_restored_with_its_waiting_reports(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    player.play(
        *blocks("A backup with the daemon stopped"),
        stopped=lambda: home.run("submit", "--done", "handed over meanwhile"),
    )
    home.wait(lambda: home.status()["waiting"] == 4, "what was handed over is there")
    shutil.rmtree(home.spool / "pending")  # the accident
    home.wait_state("blocked", "spool_replaced")
    lines = blocks("Restore")[0].splitlines()
    readable = [line for line in lines if not line.startswith("cp -an")]
    player.play("\n".join(readable), stopped=lambda: discord.always(None))
    home.wait_idle()
    assert len(home.names("sent")) == 6
    texts = discord.contents
    assert texts[:5] == [f"report {n}" for n in range(5)]
    assert (len(texts), texts[5].count("handed over meanwhile")) == (6, 1)


@abreast
def test_a_moved_spool_goes_on_where_it_was(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    discord.always(None)
    discord.meets(*[ALL["accept_then_hang"]] * 3)
    home.wait(lambda: len(discord.contents) == 3, "one was taken, and not answered")
    editor = home.path / "editor"
    editor.write_text(
        f'#!/bin/sh\nsed -i \'s#^root = .*#root = "{home.path}/reports/spool"#\' "$1"\n'
    )
    editor.chmod(0o755)
    player.environ["EDITOR"] = str(editor)
    player.play(*blocks("Moving it"), stopped=discord.faults.clear)
    home.spool = home.path / "reports" / "spool"
    home.wait_sent(*FIRST, *LATER)
    assert discord.contents == [f"report {n}" for n in range(5)]


@abreast
def test_a_copied_spool_needs_its_files_times_alone(home, discord):
    """Other inodes, another disk: what is in doubt is found, and nothing is sent twice."""
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    discord.always(None)
    discord.meets(*[ALL["accept_then_hang"]] * 3)
    home.wait(lambda: len(discord.contents) == 3, "one was taken, and not answered")
    home.daemons[-1].stop()
    discord.faults.clear()
    copy = home.path / "other machine"
    player.type(f"cp -a {home.spool} '{copy}' && rm -r {home.spool}")
    home.spool = copy
    home.configure(discord.base, spool={"root": str(copy)})
    home.daemon()
    home.wait_sent(*FIRST, *LATER)
    assert discord.contents == [f"report {n}" for n in range(5)]


@abreast
def test_an_upgrade_takes_a_backlog_and_an_older_ledger_along(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)

    def old():
        discord.always(None)
        player.age_ledger()

    player.play(*blocks("Upgrading with a backlog"), stopped=old)
    home.wait_sent(*LATER)
    home.wait_idle()
    assert discord.contents == [f"report {n}" for n in range(5)]
    home.daemons[-1].stop()
    home.change_ledger("PRAGMA user_version = 99")
    ended = home.run("run")
    assert ended.status == 74
    assert "version 99" in ended.err
    assert "newer ownerreportd" in ended.err.splitlines()[-1]


@abreast
def test_a_damaged_ledger_is_replaced_by_its_backup(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    player.play(*blocks("A backup while it runs"))
    after_the_backup(home, discord)

    def damage():
        discord.always(None)
        (home.spool / "state" / "ledger.sqlite3").write_bytes(b"no ledger" * 100)
        assert home.run("run").status == 74

    player.play(blocks("When the ledger is damaged or lost")[0], stopped=damage)
    home.wait_sent("6.md")
    home.wait_idle()
    states = dict(home.ledger("SELECT CAST(name AS TEXT), state FROM reports"))
    # What had not been read yet is forgotten.
    assert {states.get(name, "withdrawn") for name in LATER} == {"withdrawn"}
    assert discord.contents == [f"report {n}" for n in range(7)]
    assert home.names("sent") == [f"{n}.md" for n in range(7)]


@abreast
def test_a_lost_ledger_without_a_backup_is_begun_anew(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    last = home.ledger("SELECT max(id) FROM events")[0][0]

    def lose():
        discord.always(None)
        for path in (home.spool / "state").glob("ledger.sqlite3*"):
            path.unlink()

    player.play(blocks("When the ledger is damaged or lost")[1], stopped=lose)
    home.wait_sent(*LATER)
    assert discord.contents == [f"report {n}" for n in range(5)]
    home.wait_idle()
    known = home.run("tail", "--json", "-n", "1000").out.splitlines()
    assert known
    assert home.ledger("SELECT min(id) FROM events")[0][0] > last


@abreast
def test_two_daemons_of_one_user_keep_to_their_own(home, discord):
    player = player_at(home, discord)
    home.daemon()
    second = home.path / "second"
    second.mkdir(mode=0o700)
    given = blocks("Several spools", "toml")[0]
    quick = toml({"log": {"format": "json"}, "queue": {"stop_grace_s": 1}})
    (second / "config.toml").write_text(f"{given}\n{quick}")
    (second / "config.toml").chmod(0o600)
    run, submit, *rest = blocks("Several spools")[0].splitlines()
    log = (home.path / "second.log").open("wb")
    words = run.replace("~", str(home.path)).split()
    with log, subprocess.Popen(
        [*PROGRAM, *words[1:]], env=player.environ, cwd=home.path, stdout=log, stderr=log,
        stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            ready = home.path / "second.log"
            home.wait(lambda: b"daemon.ready" in ready.read_bytes(), "the second one is ready")
            told = player.type("\n".join([submit.replace("submit", "submit --wait"), *rest]))
            refused = home.run("--config", str(second / "config.toml"), "run")
            assert refused.status == 73
            assert f"pid {process.pid}" in refused.err
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    assert "idle" in told
    assert f"{second}" not in str(home.status())
    assert discord.contents == [], "nothing of the second spool went to the first one's channel"
    assert len(list((second / "Maildir" / "new").iterdir())) == 1
    player.type(submit)
    assert home.status()["sent_total"] == 0, "with the second daemon down the first gets nothing"
    assert len(list((second / "owner-reports" / "pending").iterdir())) == 1


@abreast
def test_without_a_socket_of_its_own_a_second_daemon_is_refused(home, discord):
    player_at(home, discord)
    runtime = home.path / "run"
    runtime.mkdir(mode=0o700)
    home.environ["XDG_RUNTIME_DIR"] = str(runtime)
    home.config.write_text('[log]\nformat = "json"\n')
    home.daemon()
    refused = home.run("--spool", str(home.path / "second"), "run")
    assert refused.status == 73
    assert str(runtime / "ownerreportd" / "api.sock") in refused.err
    assert "[socket] path" in refused.err.splitlines()[-1]


@abreast
def test_the_first_report_takes_five_commands(home, discord):
    player = player_at(home, discord)
    home.config.unlink()
    [block] = blocks("The first report")
    assert len(block.splitlines()) == 5
    told = player.play(block.replace("submit", "submit --wait"))
    assert "idle" in told
    assert len(home.names("sent")) == 1
    assert len(list((home.spool / "inbox" / "new").iterdir())) == 1


@abreast
def test_the_audit_is_read_as_the_manual_says(home, discord):
    player = player_at(home, discord)
    home.daemon()
    home.drop_many(FIRST)
    home.wait_sent(*FIRST)
    home.wait_idle()
    commands, query = blocks("Reading the audit")
    ident = home.run("list", "--state", "sent", "--json").json["reports"][0]["id"]
    told = player.type(commands.replace("01a20646ee", ident))
    assert "0.md" in told
    assert told.count('"part.confirmed"') == 2
    rows = player.type(query).splitlines()
    assert len(rows) == 2
    assert all("|owner|1|plain|" in row for row in rows)


def clock_at(home):
    """A wall clock that is set by calling this with `+3d`, also under a running daemon."""
    if not shutil.which("faketime"):
        pytest.skip("apt install faketime")
    file = home.path / "clock"
    where = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    home.environ |= {
        "LD_PRELOAD": where, "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    }  # fmt: skip
    file.write_text("+0")
    return file.write_text


@abreast.each("offset", ["+3d", "-3d"])
def test_a_clock_that_was_wrong_while_an_answer_was_lost_doubles_nothing(home, discord, offset):
    player_at(home, discord)
    clock = clock_at(home)
    clock(offset)
    home.daemon()
    discord.meets(ALL["accept_then_hang"])
    home.drop_many(FIRST)
    home.wait(lambda: len(discord.contents) == 1, "one was taken, and not answered")
    home.daemons[-1].close()
    clock("+0")
    home.daemon()
    home.wait_sent(*FIRST)
    assert discord.contents == list(FIRST.values())


@abreast
def test_a_clock_that_jumps_under_a_running_daemon_delays_and_doubles_nothing(home, discord):
    player_at(home, discord)
    clock = clock_at(home)
    home.daemon()
    for number, offset in enumerate(["+3d", "-3d", "+400d", "+0"]):
        clock(offset)
        discord.meets(NAMED["503"])
        home.drop(f"{number}.md", f"report {number}")
        home.wait_sent(f"{number}.md")
    home.wait_idle()
    assert discord.contents == [f"report {n}" for n in range(4)]
    assert os.listdir(home.spool / "pending") == []


@abreast
def test_a_clock_that_was_ahead_by_a_year_costs_old_events_and_no_receipt(home, discord):
    player_at(home, discord)
    clock = clock_at(home)
    home.daemon()
    home.drop_many(FIRST)
    home.wait_sent(*FIRST)
    home.wait_idle()
    home.daemons[-1].stop()
    last = home.ledger("SELECT max(id) FROM events")[0][0]
    clock("+400d")
    home.daemon()
    home.wait(lambda: home.ledger("SELECT min(id) FROM events")[0][0] > last, "they are forgotten")
    assert home.ledger("SELECT count(*) FROM parts WHERE receipt_id IS NOT NULL") == [(2,)]


@abreast
def test_the_first_looks_work_as_printed(home, discord):
    player = player_at(home, discord)
    two_sent_and_three_waiting(home, discord)
    told = player.play(*blocks("When it has stopped"))
    assert "2.md" in told
    assert "part.sending" in told
    [changed] = blocks("A changed configuration")
    assert player.play(changed)
    curls = "".join(
        f"{line.partition('  #')[0]} --max-time 2 || [ $? = 28 ]\n"
        for line in blocks("What happened")[0].splitlines()
    )
    told = player.type(f"SOCK={home.socket}\n{curls}")
    assert '"daemon.started"' in told


@abreast
def test_the_completions_are_installed_as_printed(home, discord):
    player = player_at(home, discord)
    player.cwd = ROOT
    player.play(*blocks("Completion and manual pages"))
    names = {path.name for path in home.path.rglob("*ownerreportd*") if path.is_file()}
    completions = {"ownerreportd", "_ownerreportd", "ownerreportd.fish"}
    assert completions | {"ownerreportd-submit.1", "ownerreportd.toml.5"} <= names
    assert {name for name in names if not name.endswith((".1", ".5"))} == completions
