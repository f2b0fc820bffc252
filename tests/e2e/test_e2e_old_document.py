"""The old document's command lines, after `migrate`: each does what that document says of it."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from e2e.harness import DEADLINE_S, GOOD, TOKEN, Ended
from e2e.old_installation import OLD, TESTS, WRAPPER, OldInstallation

pytestmark = pytest.mark.timeout(180)
TELEGRAM = "123456:made-up"
SCRIPTS = ("producer", "consumer", "driver", "watchdog")


def commands():
    """Each with its comment's text; the document stands with an empty line after every line."""
    document = (OLD / "owner-reporting-system.zh-TW.md").read_text(encoding="utf-8")
    block = re.search(r"```bash\n(.*?)```", document, re.DOTALL)[1]
    lines = "\n".join(line for line in block.splitlines() if line).split("\n# ")
    told = dict(each.removeprefix("# ").split("\n", 1) for each in lines)
    assert len(told) == 4
    return told


COMMANDS = commands()
PRODUCE = COMMANDS["produce one checkpoint report"]
DRY_RUN = COMMANDS["dry-run watchdog"]
BACKLOG = COMMANDS["process backlog immediately"]
OVERRIDE = COMMANDS["temporarily override destination"]


@pytest.fixture
def old(home, discord):
    """Migrated, with `uv` in PATH and a token for the other channel."""
    old = OldInstallation(home, discord, crontab="")
    (home.path / "bin" / "uv").symlink_to(TESTS / "doubles" / "uv.sh")
    done = home.run("migrate", "--write")
    assert done.status == 0, done.err
    token = home.config.parent / "telegram.token"
    token.write_text(TELEGRAM)
    token.chmod(0o600)
    return old


def typed(home, command, **environ):
    """A command line as a person or an agent types it."""
    done = subprocess.run(
        ["bash", "-c", command], env={**home.environ, **environ}, cwd=home.path,
        capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def script(old, name, *words):
    return typed(old.home, " ".join([f"python3 {old.scripts}/owner_report_{name}.py", *words]))


def test_each_of_them_runs_without_a_daemon(old, home, discord):
    old.backlog(24)
    produced = typed(home, PRODUCE)
    assert produced.status == 0, produced.err
    assert re.fullmatch(r"[0-9a-f]{32}\n", produced.out)
    (name,) = [n for n in home.names("pending") if produced.out.strip() in n]
    _, front, body = (home.spool / "pending" / name).read_text().split("---\n", 2)
    said = yaml.load(front, yaml.BaseLoader)
    example = yaml.load((GOOD / "01-checkpoint-zh.md").read_text().split("---\n", 2)[1],
                        yaml.BaseLoader)  # fmt: skip
    assert said == {**example, "created": said["created"]}
    assert "第一階段完成" in body
    assert "等待第二階段結果" in body

    shown = typed(home, DRY_RUN)
    assert shown.status == 0, shown.err
    assert len(shown.out.splitlines()) == 5, "five a run"
    assert shown.out.count("-> owner (discord channel:1480577550445969541)") == 5
    assert discord.attempts == []
    elsewhere = typed(home, OVERRIDE)
    assert elsewhere.status == 0, elsewhere.err
    assert elsewhere.out.count("(telegram 864811879)") == 5
    assert discord.attempts == []

    done = typed(home, BACKLOG)
    assert done.status == 0, done.err
    assert old.delivered() == list(range(1, 21))
    done = typed(home, BACKLOG.replace("OWNER_REPORT_MAX_COUNT=20", ""))
    assert done.status == 0, done.err
    assert old.delivered() == list(range(1, 25)), "the four others, and then the produced one"
    last = discord.contents[-1]
    for text in ("example-task", "alice", "general-task", "50%", "normal", "第一階段完成"):
        assert text in last
    assert home.names("pending") == []


def test_each_of_them_runs_beside_a_daemon(old, home, discord):
    home.daemon()
    assert typed(home, PRODUCE).status == 0
    home.wait(lambda: len(discord.contents) == 1, "it is delivered")
    home.wait_idle()
    assert home.run("pause").status == 0
    old.backlog(2)
    home.wait(lambda: home.status()["waiting"] == 2, "they wait")
    shown = typed(home, DRY_RUN)
    assert shown.status == 0, shown.err
    assert len(shown.out.splitlines()) == 2
    elsewhere = typed(home, OVERRIDE)
    assert elsewhere.status == 0, elsewhere.err
    assert elsewhere.out.count("(telegram 864811879)") == 2
    assert len(discord.contents) == 1
    assert typed(home, BACKLOG).status == 75, "paused"
    assert home.run("resume").status == 0
    done = typed(home, BACKLOG)
    assert done.status == 0, done.err
    assert old.delivered() == [1, 2]
    refused = typed(home, OVERRIDE.replace("--dry-run", ""))
    assert refused.status == 78, "a daemon's destination is not changed from outside"


def test_the_single_shot_path_goes_through_the_driver(old, home, discord):
    old.backlog(3)
    names = sorted(home.names("pending"))
    files = [home.spool / "pending" / name for name in names]
    where = "--channel discord --target channel:1480577550445969541"
    shown = script(old, "driver", str(files[0]), where, "--dry-run")
    assert shown.status == 0, shown.err
    assert shown.out.startswith(names[0])
    assert "(discord channel:1480577550445969541)" in shown.out
    assert discord.attempts == []
    assert script(old, "driver", str(files[0]), where).status == 0
    assert home.names("sent") == [names[0]]
    by_environment = f"OWNER_REPORT_TARGET=channel:1480577550445969541 python3 {old.scripts}/"
    done = typed(home, f"{by_environment}owner_report_driver.py {files[1]}")
    assert done.status == 0, done.err
    home.daemon()
    home.wait(lambda: len(discord.contents) == 3, "the third goes its usual way")
    discord.refuse()
    outside = home.path / "outside.md"
    outside.write_text("from outside")
    failed = script(old, "driver", str(outside))
    assert failed.status == 75, failed.err


def test_a_rehearsed_send_names_the_place_or_what_send_would_refuse(old, home, discord):
    report_id = home.run("submit", "--done", "x " * 3_000).out.strip()
    empty = home.path / "empty.md"
    empty.write_text("")
    for ref, words, status, told in (
        (report_id, (), 0, "owner (discord channel:1480577550445969541, 4 parts)"),
        (report_id, ("--to", "nowhere"), 64, "unknown destination 'nowhere'"),
        (report_id, ("--channel", "slack", "--target", "C0123456789"), 78, "slack"),
        (str(empty), (), 65, "empty"),
    ):
        shown = home.run("send", ref, "--dry-run", *words)
        assert (shown.status, told in shown.out + shown.err) == (status, True), shown
    assert discord.requests == []
    home.daemon()
    home.wait(lambda: home.names("sent"), "it is delivered")
    gone = home.run("send", report_id, "--dry-run")
    assert (gone.status, "does not wait" in gone.err) == (64, True), gone
    assert home.run("send", "no-such-id", "--dry-run").status == 66


def test_consumer_and_watchdog_are_drain(old, home):
    old.backlog(4)
    assert len(script(old, "consumer", "--dry-run").out.splitlines()) == 4
    assert script(old, "watchdog", "--max-count", "1").status == 0
    assert old.delivered() == [1]
    assert script(old, "consumer", "--max-count", "2").status == 0
    assert old.delivered() == [1, 2, 3]


def test_each_of_them_says_what_it_is(old, home):
    is_now = {"producer": "submit", "driver": "send", "consumer": "drain", "watchdog": "drain"}
    for name in SCRIPTS:
        told = script(old, name, "--help")
        assert (told.status, told.err) == (0, "")
        assert f"`ownerreportd {is_now[name]}`" in " ".join(told.out.split())
    told = typed(home, f"{old.scripts}/{WRAPPER} --help")
    assert "`ownerreportd drain`" in told.out
    assert "five" in told.out
    flags = set(re.findall(r"--[a-z-]+", script(old, "producer", "--help").out)) - {"--help"}
    assert flags == set(re.findall(r"--[a-z-]+", PRODUCE))


def test_mistakes_are_told_as_the_program_tells_them(old, home):
    for command in (
        f"python3 {old.scripts}/owner_report_producer.py --title x --done y",
        f"python3 {old.scripts}/owner_report_producer.py",
        f"python3 {old.scripts}/owner_report_watchdog.py --max-count many",
        f"{old.scripts}/{WRAPPER} --max-count 3",
    ):
        done = typed(home, command)
        assert (done.status, done.out) == (64, ""), command
        assert re.match(r"error: .*\nhint: .*\n", done.err), command
    assert script(old, "driver", "/nowhere.md").status == 66
    count = typed(home, f"{old.scripts}/{WRAPPER}", OWNER_REPORT_MAX_COUNT="many")
    assert count.status == 78
    assert "many" in count.err


def test_the_program_is_found_or_its_places_are_told(old, home):
    shared = old.scripts / "owner_report_program.py"
    text = shared.read_text()
    shared.write_text(re.sub(r"(?m)^PROGRAM.*$", "PROGRAM: list[str] = []", text))
    producer = f"/usr/bin/python3 {old.scripts}/owner_report_producer.py --done x"
    bare = {"PATH": "/usr/bin:/bin", "OWNERREPORTD": ""}
    lost = typed(home, producer, **bare)
    assert lost.status == 69
    assert "ownerreportd is not in PATH, nor in " in lost.err
    own = home.path / ".local/bin/ownerreportd"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\necho found $*\n")
    own.chmod(0o755)
    assert typed(home, producer, **bare).out == "found submit --done=x\n"
    named = home.path / "another"
    named.write_text("#!/bin/sh\nexit 42\n")
    named.chmod(0o755)
    assert typed(home, producer, **{**bare, "OWNERREPORTD": str(named)}).status == 42
    assert "done: put" in home.run("migrate", "--write").out, "a lost program is found again"
    assert shared.read_text() == text
    assert TOKEN not in text
