"""`init`: a configuration that delivers, by flags or by three answers; nothing is written over."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
import time

from e2e.fleet import Abreast
from e2e.harness import TOKEN

abreast = Abreast()
launch = abreast.launch


def bare(home, discord=None):
    """A home without a configuration, in which the double, if there is one, is Discord."""
    home.config.unlink(missing_ok=True)
    home.token.unlink(missing_ok=True)
    home.environ["OWNERREPORTD_SPOOL__ROOT"] = str(home.spool)
    if discord is not None:
        home.environ["OWNERREPORTD_DESTINATIONS__OWNER__API_BASE"] = discord.base
    return home


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def answered(home, *words, answers):
    """The verb on a terminal: each answer is typed when its question has come; what was shown."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        home.command(*words), env=home.environ, cwd=home.path, stdin=side, stdout=side,
        stderr=side, start_new_session=True,
    )  # fmt: skip
    os.close(side)
    shown, waiting, end = "", list(answers), time.monotonic() + 60
    while time.monotonic() < end:
        if waiting and re.search(waiting[0][0], shown.rpartition("\n")[2]):
            os.write(main, f"{waiting.pop(0)[1]}\n".encode())
            shown += "\n"
        if select.select([main], [], [], 0.05)[0]:
            try:
                shown += os.read(main, 65_536).decode().replace("\r", "")
            except OSError:  # it has closed its terminal
                break
    os.close(main)
    return process.wait(10), shown, waiting


@abreast
def test_three_answers_lead_to_a_report_at_the_owner(home, discord):
    bare(home, discord)
    home.environ["NO_COLOR"] = "1"
    status, shown, left = answered(
        home, "init",
        answers=[
            ("channel .*: $", "discord"), ("target: $", "here"),
            ("target: $", "channel:1480577550445969541"), ("not shown.*: $", TOKEN),
            ("test report now.*: $", "y"),
        ],
    )  # fmt: skip
    assert (status, left) == (0, []), shown
    assert "target 'here' is none of Discord's" in shown
    assert TOKEN not in shown
    assert "✓ destination owner: discord" in shown
    assert (
        "next: ownerreportd service install  # where there is no systemd: ownerreportd run" in shown
    )
    assert "This is what the reports of your agents will look like here." in discord.contents[0]
    assert (mode(home.config), mode(home.token)) == (0o600, 0o600)
    assert TOKEN not in home.config.read_text()
    assert home.run("config", "check").status == 0
    home.daemon()
    assert home.run("submit", "--done", "hello", "--wait").status == 0
    assert "hello" in discord.contents[1]


@abreast
def test_without_input_it_asks_nothing_and_writes_over_nothing(home, discord):
    bare(home)
    done = home.run("init", "--no-input")
    assert done.status == 0, done.err
    written = home.config.read_bytes()
    assert b'\nchannel = "inbox"\n' in written
    assert written.count(b"\n#") > 60, "every other key is there, as a comment"
    again = home.run("init", "--no-input")
    assert (again.status, again.out) == (73, "")
    assert "is there already" in again.err
    assert home.config.read_bytes() == written
    assert list(home.config.parent.iterdir()) == [home.config]


@abreast
def test_a_script_gives_the_token_as_a_file(home, discord):
    bare(home, discord)
    words = (
        "init",
        "--no-input",
        "--channel",
        "discord",
        "--target",
        "channel:1480577550445969541",
    )
    refused = home.run(*words)
    assert (refused.status, refused.out) == (78, "")
    assert f"put it into {home.token}" in refused.err
    assert not home.config.exists()
    home.put_token(TOKEN)
    done = home.run(*words, "--test")
    assert done.status == 0, done.err
    assert len(discord.contents) == 1
    assert TOKEN not in done.out + done.err


@abreast
def test_a_token_that_is_refused_is_told_and_the_configuration_stays(home, discord):
    bare(home, discord)
    home.put_token("MTA5.made-up.another-token")
    done = home.run("init", "--channel", "discord", "--target", "channel:1480577550445969541")
    assert done.status != 0
    assert "✗ destination owner" in done.out
    assert home.config.exists()
    assert discord.contents == []


@abreast
def test_what_cannot_be_meant_writes_nothing(home, discord):
    bare(home, discord)
    for words, status in (
        (("--channel", "discrod"), 78),
        (("--channel", "discord", "--target", "bla"), 78),
        (("--chanel", "discord"), 64),
    ):
        done = home.run("init", "--no-input", *words)
        assert (done.status, done.out) == (status, ""), words
    away = home.path / "closed" / "config.toml"
    away.parent.write_text("no folder")
    done = home.run("--config", str(away), "init", "--no-input")
    assert done.status == 73, done.err
    assert not home.config.exists()


@abreast
def test_another_place_is_named_in_what_comes_next(home, discord):
    bare(home)
    path = home.path / "a b" / "回報.toml"
    done = home.run("--config", str(path), "init", "--no-input")
    assert done.status == 0, done.err
    assert f"next: ownerreportd --config '{path}' service install" in done.out
    assert home.run("--config", str(path), "config", "check").status == 0
    assert mode(path.parent) == 0o700


@abreast
def test_beside_a_running_daemon_it_says_reload(home, discord):
    bare(home)
    home.daemon(ready=False)
    home.wait((home.spool / "state" / "api.sock").exists, "the socket is there")
    done = home.run("init", "--no-input")
    assert done.status == 0, done.err
    assert "next: ownerreportd reload" in done.out
    assert home.run("reload").status == 0
