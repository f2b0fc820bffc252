"""The daemon and ntfy: every part once over lost answers and kills; topics open and closed."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.faults import NAMED
from doubles.ntfy import TOKEN, NtfyDouble
from e2e.harness import LoopThread

COUNT = 8


@pytest.fixture
def ntfy():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        double = NtfyDouble()
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


def put_token(home, token):
    path = home.config.parent / "ntfy.token"
    path.write_text(token + "\n")
    path.chmod(0o600)


def configured(home, ntfy):
    """A home whose reports go to the topic."""
    return home.configure(destinations={"owner": {"channel": ntfy.channel, **ntfy.destination}})


def test_lost_answers_and_kills_make_no_part_twice(home, ntfy):
    put_token(home, TOKEN)
    configured(home, ntfy)
    # The first is had whole, so that the cache can prove what it does not have.
    turns = iter(
        [None, "accept_then_drop", "close", "accept_then_500", None, "drop_after_body"] * 2
    )
    posts = {"POST"}
    ntfy.fault_if = lambda seen: NAMED.get(next(turns, None)) if seen.method in posts else None
    home.drop_many({f"{number:02}.md": f"report {number}" for number in range(COUNT)})
    for _ in range(2):
        daemon = home.daemon()
        had = len(ntfy.messages)
        home.wait(lambda had=had: len(ntfy.messages) > had, "one has come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == COUNT, "all are sent")
    assert ntfy.texts == [f"report {number}" for number in range(COUNT)]
    assert TOKEN not in "".join(each.log for each in home.daemons)


def test_a_lost_answer_whose_cache_is_gone_is_repeated_with_its_mark(home, ntfy):
    put_token(home, TOKEN)
    configured(home, ntfy)
    ntfy.caches = False
    turns = iter(["accept_then_drop"])
    ntfy.fault_if = lambda seen: NAMED.get(next(turns, None)) if seen.method == "POST" else None
    home.drop("a.md", "kept")
    home.daemon()
    home.wait_sent("a.md")
    first, second = ntfy.texts
    assert (first, second.endswith("\n\nkept")) == ("kept", True)
    assert ntfy.messages[0].sequence_id == ntfy.messages[1].sequence_id


def test_an_open_topic_needs_no_token_and_a_closed_one_names_it(home, ntfy):
    configured(home, ntfy)
    ntfy.access = {None: "rw"}
    home.daemon()
    home.drop("a.md", "to an open topic")
    home.wait_sent("a.md")
    ntfy.access = {TOKEN: "rw", None: ""}
    home.drop("b.md", "to a closed one")
    assert "token_file" in home.wait_state("blocked", "config")["hint"]
    put_token(home, TOKEN)
    assert home.run("reload").status == 0
    home.wait_sent("b.md")
    assert ntfy.texts == ["to an open topic", "to a closed one"]


def test_a_wrong_token_blocks_names_the_remedy_and_a_reload_goes_on(home, ntfy):
    put_token(home, "tk_of_yesterday")
    configured(home, ntfy)
    home.daemon()
    home.drop("a.md", "kept")
    assert "token_file" in home.wait_state("blocked", "config")["hint"]
    put_token(home, TOKEN)
    assert "destinations.owner.token: changed" in home.run("reload").out
    home.wait_sent("a.md")
    assert ntfy.texts == ["kept"]
