"""The daemon and Slack: every part once over lost answers and kills, and a wrong token mended."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.faults import NAMED
from doubles.slack import TOKEN, SlackDouble
from e2e.harness import LoopThread

COUNT = 6


@pytest.fixture
def slack():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        double = SlackDouble()
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


@pytest.fixture
def posting(home, slack):
    """A home whose reports go to the channel."""
    put_token(home, TOKEN)
    destination = {"channel": slack.channel, **slack.destination}
    return home.configure(destinations={"owner": destination})


def put_token(home, token):
    path = home.config.parent / "slack.token"
    path.write_text(token + "\n")
    path.chmod(0o600)


def is_post(seen):
    return seen.path.endswith("/chat.postMessage")


def test_lost_answers_and_kills_make_no_part_twice(posting, slack):
    turns = iter(["accept_then_drop", None, "close", "accept_then_500", None, "drop_after_body"])
    slack.fault_if = lambda seen: NAMED.get(next(turns, None)) if is_post(seen) else None
    posting.drop_many({f"{number:02}.md": f"report {number}" for number in range(COUNT)})
    for _ in range(2):
        daemon = posting.daemon()
        had = len(slack.messages)
        posting.wait(lambda had=had: len(slack.messages) > had, "one has come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    posting.daemon()
    posting.wait(lambda: len(posting.names("sent")) == COUNT, "all are sent")
    assert slack.texts == [f"report {number}" for number in range(COUNT)]
    assert TOKEN not in "".join(each.log for each in posting.daemons)


def test_a_lost_answer_without_the_scope_to_look_is_repeated_with_its_mark(posting, slack):
    slack.scopes = frozenset({"chat:write", "channels:read"})
    turns = iter(["accept_then_drop"])
    slack.fault_if = lambda seen: NAMED.get(next(turns, None)) if is_post(seen) else None
    posting.drop("a.md", "kept")
    posting.daemon()
    posting.wait_sent("a.md")
    first, second = slack.texts
    assert (first, second.endswith("\n\nkept")) == ("kept", True)
    assert "Possible duplicate" in second


def test_a_wrong_token_blocks_names_the_remedy_and_a_reload_goes_on(posting, slack):
    slack.token = "xoxb-the-new-one"
    posting.daemon()
    posting.drop("a.md", "kept")
    found = posting.wait_state("blocked", "config")
    assert "token_file" in found["hint"]
    put_token(posting, slack.token)
    assert "destinations.owner.token: changed" in posting.run("reload").out
    posting.wait_sent("a.md")
    assert slack.texts == ["kept"]


def test_a_bot_that_is_invited_later_goes_on_by_a_word(posting, slack):
    slack.places["C0123456789"].member = False
    posting.daemon()
    posting.drop("a.md", "kept")
    assert "/invite" in posting.wait_state("blocked", "config")["hint"]
    assert "the bot is not in the channel" in posting.run("doctor").out
    slack.places["C0123456789"].member = True
    posting.run("retry")
    posting.wait_sent("a.md")
    assert slack.texts == ["kept"]
