"""The daemon and a webhook: every part once, in order, also over a kill and lost answers."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.faults import NAMED
from doubles.webhook import SECRET, WebhookDouble
from doubles.wire import Fault
from e2e.harness import LoopThread


@pytest.fixture
def receiver():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        double = WebhookDouble()
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


@pytest.fixture
def posting(home, receiver):
    """A home whose reports go to the receiver."""
    secret = home.config.parent / "webhook.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    return home.configure(
        destinations={
            "owner": {"channel": "webhook", "target": receiver.address, "timeout_s": 1}
        }
    )  # fmt: skip


def test_lost_answers_and_kills_make_no_part_twice(posting, receiver):
    turns = iter(
        ["accept_then_drop", None, "close", "accept_then_500", None, "drop_after_body"] * 9
    )
    receiver.fault_if = lambda seen: NAMED.get(next(turns, None)) if seen.method == "POST" else None
    posting.drop_many({f"{number:02}.md": f"report {number}" for number in range(20)})
    for _ in range(3):
        daemon = posting.daemon()
        had = len(receiver.had)
        posting.wait(lambda had=had: len(receiver.had) > had + 2, "some have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    posting.daemon()
    posting.wait(lambda: len(posting.names("sent")) == 20, "all are sent")
    assert receiver.texts == [f"report {number}" for number in range(20)]
    assert SECRET not in "".join(each.log for each in posting.daemons)


def test_a_wrong_secret_blocks_names_the_remedy_and_a_reload_goes_on(posting, receiver):
    receiver.secret = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQQ=="
    posting.daemon()
    posting.drop("a.md", "kept")
    found = posting.wait_state("blocked", "config")
    assert "secret_file" in found["hint"]
    secret = posting.config.parent / "webhook.secret"
    secret.write_text(f"{SECRET} {receiver.secret}\n")
    done = posting.run("reload")
    assert done.out == "reloaded, 1 change\n  destinations.owner.secret: changed\n", done.err
    posting.wait_sent("a.md")
    assert receiver.texts == ["kept"]


def test_a_receiver_that_asks_for_a_pause_gets_it(posting, receiver):
    limits = iter([Fault("answer", status=429, headers={"Retry-After": "1"})])
    receiver.fault_if = lambda _seen: next(limits, None)
    posting.drop("a.md", "later")
    posting.daemon()
    posting.wait_sent("a.md")
    first, second = receiver.posts
    assert second.at - first.at > 0.9
