"""The daemon and a program of somebody's: every part once, in order, and nothing of it left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.exec import ExecDouble
from e2e.harness import GOOD, LoopThread, parted

from ownerreportd.render.dialects import MARKDOWN


@pytest.fixture
def double():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        found = ExecDouble()
        loop.call(found.__aenter__())
        stack.callback(lambda: loop.call(found.__aexit__(None, None, None)))
        found.loop = loop
        yield found


def running(home, double, **changes):
    """A home whose reports go to the program."""
    destination = {"channel": "exec", **double.destination, "timeout_s": 20, **changes}
    return home.configure(destinations={"owner": destination}, queue={"stop_grace_s": 0.2})


def arrange(double, situation):
    assert double.loop.call(double.arrange(situation))


@pytest.mark.parametrize(
    "known", [{"read_back": False}, {"dedup_window_s": 0}], ids=["by its key", "by a look"]
)
def test_lost_answers_and_kills_make_no_part_twice(home, double, known):
    turns = iter(["drops", None, "drops", None, None] * 9)
    double.says_if = lambda _number: next(turns, None)
    running(home, double, timeout_s=1, **known)
    if "dedup_window_s" in known:  # what is looked up is never repeated by its key alone
        double.forgets = True
    home.drop_many({f"{number:02}.md": f"report {number}" for number in range(8)})
    for _ in range(2):
        daemon = home.daemon()
        had = len(double.had)
        home.wait(lambda had=had: len(double.had) > had + 1, "some have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 8, "all are sent")
    assert double.texts == [f"report {number}" for number in range(8)]


def test_good_reports_come_whole_and_in_order(home, double):
    sources = {path.name: path.read_bytes() for path in sorted(GOOD.glob("*.md"))[:6]}
    running(home, double, text_max=1500, tables=False)
    home.drop_many({name: text.decode() for name, text in sources.items()})
    home.daemon()
    home.wait_sent(*sources)
    assert parted(double.texts, sources, replace(MARKDOWN, tables=False)) == {}


def test_a_program_that_anybody_can_change_blocks_until_it_is_mended(home, double):
    double.program.chmod(0o757)
    running(home, double)
    home.drop("a.md", "kept")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert f"chmod go-w {double.program}" in found["hint"]
    assert double.seen == []
    double.program.chmod(0o755)
    assert home.run("retry").status == 0
    home.wait_sent("a.md")
    assert double.texts == ["kept"]


def test_doctor_asks_the_program_and_sends_nothing(home, double):
    running(home, double)
    assert home.run("doctor").status == 0
    assert [seen["asked"]["do"] for seen in double.seen] == ["check"]
    arrange(double, "wrong_target")
    done = home.run("doctor")
    assert done.status != 0
    assert str(double.program) in done.out + done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_program_and_its_children(home, double, number, tmp_path):
    script = Path(double.program).with_name("hangs")
    script.write_text(
        "#!/bin/sh\n"
        'trap "" TERM\n'
        f"sleep 1000 & echo $$ $! > {tmp_path}/draft; mv {tmp_path}/draft {tmp_path}/pids; wait\n"
        "sleep 1000\n"
    )
    script.chmod(0o755)
    running(home, double, target=str(script), timeout_s=60, read_back=False)
    home.drop("a.md", "hangs")
    daemon = home.daemon()
    home.wait((tmp_path / "pids").exists, "the program runs")
    daemon.signal(number)
    assert daemon.ended() == 0
    pids = json.loads("[" + ",".join((tmp_path / "pids").read_text().split()) + "]")
    home.wait(lambda: not any(map(_is_alive, pids)), "nothing of it is left")


def _is_alive(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
