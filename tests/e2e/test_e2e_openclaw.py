"""The daemon and OpenClaw: a doubt is held for a person, and nothing is sent twice meanwhile."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.openclaw import TOKEN, OpenclawDouble
from e2e.harness import GOOD, LoopThread, parted

from ownerreportd.render.openclaw import OPENCLAW


@pytest.fixture
def double():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        found = OpenclawDouble()
        loop.call(found.__aenter__())
        stack.callback(lambda: loop.call(found.__aexit__(None, None, None)))
        found.loop = loop
        yield found


@pytest.fixture
def sending(home, double):
    """A home whose reports go to the gateway."""
    token = home.config.parent / "openclaw.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    return home.configure(
        destinations={"owner": {"channel": "openclaw", **double.destination, "timeout_s": 20}}
    )


def arrange(double, situation):
    assert double.loop.call(double.arrange(situation))


def test_good_reports_come_whole_and_in_order(sending, double):
    names = ["01-checkpoint-zh.md", "03-long-with-fences.md", "05-looks-like-commands.md"]
    sources = {name: (GOOD / name).read_bytes() for name in names}
    sending.drop_many({name: text.decode() for name, text in sources.items()})
    sending.daemon()
    sending.wait_sent(*names)
    assert parted(double.texts, sources, OPENCLAW) == {}
    assert double.orders == []


def test_a_message_that_the_gateway_delivers_later_is_not_sent_again(sending, double):
    double.queues = True
    sending.drop_many({"a.md": "late", "b.md": "after it"})
    sending.daemon()
    found = sending.wait_state("blocked", "doubt")
    assert "resolve" in found["hint"]
    sending.wait(lambda: double.texts == ["late"], "it came from the gateway's own queue")
    double.queues = False
    assert len(double.sends) == 1
    assert sending.run("resolve", "head", "--sent").status == 0
    sending.wait_sent("a.md", "b.md")
    assert double.texts == ["late", "after it"]


@pytest.mark.parametrize("situation", ["drops", "silent"])
def test_a_lost_answer_and_a_kill_leave_one_doubt(sending, double, situation):
    arrange(double, situation)
    sending.drop("a.md", "once")
    daemon = sending.daemon()
    sending.wait(lambda: double.texts == ["once"], "it came")
    daemon.signal(signal.SIGKILL)
    daemon.ended()
    arrange(double, "accepts")
    double.restart()  # so that the key alone would not have saved it
    sending.daemon()
    sending.wait_state("blocked", "doubt")
    assert double.texts == ["once"]


def test_a_gateway_that_is_down_is_waited_for(sending, double):
    arrange(double, "unreachable")
    sending.drop("a.md", "waits")
    sending.daemon()
    sending.wait_state("waiting")
    arrange(double, "accepts")
    sending.wait_sent("a.md")
    assert double.texts == ["waits"]


def test_a_wrong_token_blocks_names_the_remedy_and_a_reload_goes_on(sending, double):
    arrange(double, "wrong_token")
    sending.daemon()
    sending.drop("a.md", "kept")
    found = sending.wait_state("blocked", "config")
    assert "openclaw.token" in found["hint"]
    assert TOKEN not in str(found)
    token = sending.config.parent / "openclaw.token"
    token.write_text(double.token + "\n")
    assert sending.run("reload").status == 0
    sending.wait_sent("a.md")
    assert double.texts == ["kept"]
    assert TOKEN not in "".join(each.log for each in sending.daemons)


def test_doctor_sends_nothing_and_names_a_channel_that_is_not_there(sending, double):
    assert sending.run("doctor").status == 0
    arrange(double, "wrong_target")
    done = sending.run("doctor")
    assert done.status != 0
    assert "no channel telegram" in done.out + done.err
    assert double.sends == []
