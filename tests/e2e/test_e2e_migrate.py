"""`migrate`: from the cron scripts to the daemon; nothing lost, doubled, or out of order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
from doubles.faults import NAMED
from e2e.harness import DEADLINE_S, stays_so, wait_until
from e2e.old_installation import WRAPPER, OldInstallation

SQLITE = {"ledger.sqlite3-shm", "ledger.sqlite3-wal"}  # whoever reads a ledger has them
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def old(home, discord):
    return OldInstallation(home, discord)


def the_two_commands():
    text = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]
    return [line.partition("#")[0].split() for line in block.splitlines()]


def in_order(old):
    return old.delivered() == list(range(1, old.count + 1))


def changed(before, after):
    return {Path(path).name for path, _ in before.items() ^ after.items()}


def migrate(home, *words):
    done = home.run("migrate", *words)
    assert done.status == 0, done.err
    return done.out


def test_two_commands_lead_over_while_reports_come_between_every_two_steps(old, home):
    old.past(2_000)
    old.backlog(200)
    old.cron()
    assert len(old.delivered()) == 20, "the old installation works"
    hook = home.path / "on-crontab"

    def come_at_each_call():
        """Each call of crontab finds a new report in pending/, before it and after it."""
        hook.write_text(
            "#!/bin/sh\nset -e\ncd ~/.clawteam/owner-reports\n"
            "n=$(($(cat ../next) + 1))\necho $n > ../next\n"
            'printf "# Task\\n\\nreport-$n\\n" > draft-$n\nmv draft-$n pending/zz-$n.md\n'
        )
        hook.chmod(0o755)
        (home.spool.parent / "next").write_text(str(old.count))

    come_at_each_call()
    first, second = the_two_commands()
    assert (first, second[:3]) == (
        ["ownerreportd", "migrate", "--write"], ["ownerreportd", "service", "install"],
    )  # fmt: skip
    process = home.start(*first[1:])
    said = []
    for line in process.stdout:  # one comes at each line that it says, too
        said.append(line)
        process.send_signal(signal.SIGSTOP)
        number = int((home.spool.parent / "next").read_text())
        subprocess.run([hook], env=home.environ, check=True)
        old.count = number + 1
        process.send_signal(signal.SIGCONT)
    assert process.wait(DEADLINE_S) == 0, process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    old.count = int((home.spool.parent / "next").read_text())
    hook.unlink()
    old.cron()
    assert len(old.delivered()) == 20, "cron has nothing to run any more"
    old.arrive()
    daemon = home.daemon()  # what the second command starts
    old.arrive()
    home.wait(lambda: len(old.delivered()) >= old.count, "all are there")
    home.wait_idle()
    assert in_order(old)
    status = home.status()
    assert status["sent_total"] == 2_000 + old.count
    assert home.names("pending") == []
    before = old.snapshot()
    again = migrate(home, "--write")
    assert "nothing is to be done: it is done" in again
    assert changed(before, old.snapshot()) <= SQLITE
    daemon.stop()
    before = old.snapshot()
    assert "nothing is to be done" in migrate(home, "--write")
    assert changed(before, old.snapshot()) <= SQLITE
    assert "".join(said).count("done: ") >= 8


def test_it_shows_first_and_changes_nothing(old, home):
    old.past(3)
    old.backlog(2)
    before = old.snapshot()
    told = migrate(home)
    assert old.snapshot() == before
    assert f"found: crontab line 4: {old.line}" in told
    assert f"would write {home.config}\n" in told
    assert "would carry over channel discord (the old wrapper's default)" in told
    assert "would carry over max_count 20 (crontab line 3)" in told
    assert f"would carry over log.file {old.log} (crontab line 4)" in told
    assert "would keep a copy of the crontab in " in told
    assert f"would disable crontab line 4: {old.line}" in told
    assert f"would put {old.scripts / WRAPPER} (and keep the old one in " in told
    assert "would take 3 of " in told
    assert "would take 2 of " in told
    assert "to do it: ownerreportd migrate --write" in told


def test_settings_crontab_scripts_and_history_are_carried_over(old, home):
    old.past(3)
    old.backlog(1)
    told = migrate(home, "--write")
    with home.config.open("rb") as file:
        config = tomllib.load(file)
    target = "channel:1480577550445969541"
    assert config["destinations"] == {"owner": {"channel": "discord", "target": target}}
    assert config["delivery"] == {"max_count": 20}
    assert config["log"] == {"file": str(old.log)}
    kept = home.spool / "state" / "migrate"
    (copy,) = kept.glob("crontab-*")
    assert copy.read_text() == old.crontab
    assert old.table.read_text() == old.crontab.replace(
        old.line, f"# disabled by ownerreportd migrate: {old.line}"
    )
    data = ROOT / "tests/data/old"
    for path in data.glob("*owner_report*"):
        assert (kept / "scripts" / path.name).read_bytes() == path.read_bytes()
        assert (old.scripts / path.name).read_bytes() != path.read_bytes()
    listed = home.run("list", "--state", "sent").out
    assert [line.split()[-1] for line in listed.splitlines()] == ["task-0", "task-1", "task-2"]
    shown = home.run("show", home.names("sent")[0]).out
    assert "delivered by the scripts before ownerreportd" in shown
    assert "next: ownerreportd service install" in told
    assert len(home.names("pending")) == 1


def the_way_back():
    text = (ROOT / "docs/migrating.md").read_text(encoding="utf-8").partition("## The way back")[2]
    return re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]


def test_the_way_back_is_typed_as_the_page_says(old, home):
    old.backlog(3)
    before = {path.name: path.read_bytes() for path in old.scripts.iterdir() if path.is_file()}
    migrate(home, "--write")
    subprocess.run(["sh", "-ec", the_way_back()], env=home.environ, check=True)
    assert old.table.read_text() == old.crontab
    assert {n: (old.scripts / n).read_bytes() for n in before} == before
    old.cron()
    assert in_order(old)
    old.arrive(age_s=5)
    migrate(home, "--write")
    home.daemon()
    home.wait(lambda: len(old.delivered()) >= old.count, "all are there")
    assert in_order(old)


def killed_at_its_next_step(home, already):
    """A run that is killed when it has said one thing more than those before; what it said."""
    process = home.start("migrate", "--write")
    said = []
    for line in process.stdout:
        said += [line] if line.startswith("done: ") else []
        if set(said) - already:
            process.kill()
            break
    ended = process.wait(DEADLINE_S)
    process.stdout.close()
    process.stderr.close()
    return None if ended == 0 else said


def test_killed_at_every_step_it_is_completed_by_the_next_run(old, home):
    old.past(30)
    old.backlog(10)
    already = set()
    kills = 0
    while (said := killed_at_its_next_step(home, already)) is not None:
        already.update(said)
        kills += 1
        old.arrive()
        assert kills < 20
    assert kills >= 6
    assert "nothing is to be done" in migrate(home, "--write")
    assert home.ledger("SELECT count(*) FROM reports WHERE state = 'sent'") == [(30,)]
    old.cron()
    home.daemon()
    home.wait(lambda: len(old.delivered()) >= old.count, "all are there")
    home.wait_idle()
    assert in_order(old)
    assert home.status()["sent_total"] == 30 + old.count


def test_killed_while_crontab_takes_the_new_table_the_way_back_is_still_the_old_one(old, home):
    hook = home.path / "on-crontab"
    hook.write_text(
        "#!/bin/sh\ngrep -q 'disabled by' ~/crontab && [ $1 = after ] || exit 0\n"
        "kill -KILL $(cut -d ' ' -f 4 /proc/$PPID/stat)\n"
    )
    hook.chmod(0o755)
    assert home.run("migrate", "--write").status == -signal.SIGKILL
    hook.unlink()
    assert old.table.read_text() != old.crontab
    migrate(home, "--write")
    subprocess.run(["sh", "-ec", the_way_back()], env=home.environ, check=True)
    assert old.table.read_text() == old.crontab


def test_an_old_run_in_flight_is_waited_for_and_never_joined(old, home, discord):
    old.backlog(3)
    discord.always(NAMED["hang"])
    run = subprocess.Popen(
        [old.scripts / WRAPPER], env={**old.old_environ, "OWNER_REPORT_MAX_COUNT": "1"},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: discord.attempts, "the old run sends")
        before = old.table.read_text(), sorted(os.listdir(old.scripts))
        refused = home.run("migrate", "--write", "--timeout", "0.3")
        assert (refused.status, refused.out.count("done: ")) == (73, 0)
        assert "a run of the old scripts is under way: pid " in refused.err
        assert "hint: wait for its end" in refused.err
        assert (old.table.read_text(), sorted(os.listdir(old.scripts))) == before
        assert not home.config.exists()
        waiting = home.start("migrate", "--write")
        assert waiting.stdout.readline().startswith("found: ")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    out, err = waiting.communicate(timeout=DEADLINE_S)
    assert waiting.returncode == 0, err
    assert "done: disable crontab line 4" in out


def test_what_an_old_run_delivers_meanwhile_is_history_and_not_sent_again(old, home):
    old.backlog(3)
    hold = home.path / "hold"
    os.mkfifo(hold)
    environ = {**old.old_environ, "OWNER_REPORT_MAX_COUNT": "2", "OLD_HOLD": str(hold)}
    run = subprocess.Popen([old.scripts / WRAPPER], env=environ, stdout=subprocess.DEVNULL)
    wait_until(lambda: old.delivered() == [1], "the first is delivered, and not yet moved")
    process = home.start("migrate", "--write")
    process.stdout.readline()
    stays_so(lambda: process.poll() is None and not home.config.exists(), 1, "it waits")
    old.arrive()
    hold.write_text("go on")
    wait_until(lambda: old.delivered() == [1, 2], "the old run goes on")
    stays_so(lambda: process.poll() is None and not home.config.exists(), 1, "it waits")
    hold.write_text("go on")
    assert run.wait(DEADLINE_S) == 0
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert "done: take 2 of " in out
    home.daemon()
    home.wait(lambda: len(old.delivered()) >= old.count, "all are there")
    home.wait_idle()
    assert in_order(old)


def test_beside_a_running_daemon_it_refuses_and_changes_nothing(old, home, discord):
    old.past(2)
    home.configure(discord.base, spool={"root": str(home.spool)})
    home.daemon()
    before = old.table.read_text()
    refused = home.run("migrate", "--write")
    assert refused.status == 73
    assert "ownerreportd.socket ownerreportd.service" in refused.err.splitlines()[-1]
    assert old.table.read_text() == before


def test_what_was_delivered_and_not_yet_moved_is_set_aside(old, home):
    old.backlog(2)
    first, second = sorted(
        home.names("pending"), key=lambda n: (home.spool / "pending" / n).stat().st_mtime
    )
    for name, age_s in ((first, 0), (second, 900)):  # a finished copy; and one older than the new
        copy = home.spool / "sent" / name
        copy.write_bytes((home.spool / "pending" / name).read_bytes())
        at = (home.spool / "pending" / name).stat().st_mtime - age_s
        os.utime(copy, (at, at))
    shown = migrate(home)
    assert f"would set {first} aside to held/" in shown
    assert f"would take 1 of {home.spool / 'pending'} into the queue" in shown
    told = migrate(home, "--write")
    assert f"set {first} aside to held/" in told
    assert home.names("held") == [first]
    assert home.names("pending") == [second]
    home.daemon()
    home.wait(lambda: old.delivered() == [2], "the new one is delivered")
    assert home.run("retry", first).status == 0
    home.wait(lambda: old.delivered() == [2, 1], "a person may have it sent")


def test_what_comes_next_names_the_same_configuration(old, home):
    config, scripts = str(home.path / "of its own.toml"), str(old.scripts)
    told = home.run("--config", config, "migrate", "--scripts", scripts)
    same = f"ownerreportd --config '{config}'"
    assert told.out.endswith(f"to do it: {same} migrate --write --scripts {scripts}\n"), told
    told = home.run("--config", config, "migrate", "--scripts", scripts, "--write")
    assert f"\nnext: {same} service install  # where there is no systemd: {same} run\n" in told.out


def test_a_configuration_that_is_there_is_kept(old, home, discord):
    home.configure(discord.base, spool={"root": str(home.spool)})
    text = home.config.read_text()
    told = migrate(home, "--write")
    assert home.config.read_text() == text
    assert "done: write" not in told


def test_a_link_that_leads_nowhere_is_replaced_as_a_script_that_is_missing(old, home):
    (old.scripts / WRAPPER).unlink()
    (old.scripts / WRAPPER).symlink_to(home.path / "gone")
    assert f"done: put {old.scripts / WRAPPER}\n" in migrate(home, "--write")
    assert os.access(old.scripts / WRAPPER, os.X_OK)
    assert "nothing is to be done" in migrate(home, "--write")


def test_a_missing_token_is_named_with_the_command_that_helps(old, home):
    home.token.unlink()
    told = migrate(home, "--write")
    assert f"hint: install -m 600 /dev/stdin {home.token}" in told
    assert "needs: " in told
    assert f"hint: install -m 600 /dev/stdin {home.token}" in migrate(home), "a second run, too"
    home.put_token("MTA5.made-up.token")
    assert home.run("config", "check").status == 0


def test_a_setting_that_cannot_be_meant_changes_nothing(old, home):
    old.table.write_text(
        old.crontab.replace("OWNER_REPORT_MAX_COUNT=20", "OWNER_REPORT_CHANNEL=carrier-pigeon")
    )
    before = old.snapshot()
    refused = home.run("migrate", "--write")
    assert refused.status == 78
    assert "crontab line 3" in refused.err
    assert "carrier-pigeon" in refused.err
    assert "hint: set OWNER_REPORT_CHANNEL and OWNER_REPORT_TARGET" in refused.err
    assert old.snapshot() == before


def test_where_nothing_old_is_nothing_is_done(home):
    home.config.unlink(missing_ok=True)
    home.environ["PATH"] = "/nowhere"
    told = migrate(home, "--write")
    assert told.splitlines() == [
        "note: there is no crontab that you may use here, so no line to disable",
        "nothing is to be done: nothing old is here",
    ]
