"""The daemon and Apprise: a yes is accepted, a no is repeated with the mark."""

from __future__ import annotations

import contextlib

import pytest
from doubles.apprise import PATH, AppriseDouble
from doubles.faults import NAMED
from e2e.harness import LoopThread

MARK = "⚠ Possible duplicate: an earlier copy may have arrived.\n\n"


@pytest.fixture
def receiver():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        double = AppriseDouble()
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


def posting(home, receiver, **changes):
    put_url(home, receiver.url)
    destination = {"channel": "apprise", **receiver.destination, "timeout_s": 20, **changes}
    return home.configure(destinations={"owner": destination})


def put_url(home, url):
    path = home.config.parent / "apprise.url"
    path.write_text(url + "\n")
    path.chmod(0o600)


def test_reports_come_in_order_and_the_receipt_says_accepted(home, receiver):
    posting(home, receiver)
    home.drop_many({f"{number}.md": f"report {number}" for number in range(3)})
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 3, "all are sent")
    assert receiver.texts == [f"report {number}" for number in range(3)]
    receipt = home.run("show", "--json", "0.md").json["deliveries"][0]["parts"][0]["receipt"]
    assert receipt["proof"] == "accepted"
    assert PATH not in home.daemons[-1].log


def test_it_does_not_start_where_more_proof_is_wanted_or_failures_would_be_hidden(home, receiver):
    posting(home, receiver, archive_on="confirmed")
    done = home.run("run")
    assert done.status == 78
    assert 'archive_on = "accepted"' in done.err
    posting(home, receiver)
    put_url(home, f"{receiver.url}?optional=yes")
    done = home.run("run")
    assert done.status == 78
    assert "optional" in done.err
    assert PATH not in done.err


def test_a_no_is_repeated_with_the_mark(home, receiver):
    turns = iter([NAMED["accept_then_500"], NAMED["500"]])
    receiver.fault_if = lambda _seen: next(turns, None)
    posting(home, receiver)
    home.drop("a.md", "once or twice")
    home.daemon()
    home.wait_sent("a.md")
    assert receiver.texts == ["once or twice", MARK + "once or twice"]


def test_an_unknown_url_blocks_and_a_reload_goes_on(home, receiver):
    posting(home, receiver)
    put_url(home, "nosuch://hush/")
    home.drop("a.md", "kept")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert "apprise.url" in found["hint"]
    assert "hush" not in home.daemons[-1].log
    put_url(home, receiver.url)
    assert home.run("reload").out.startswith("reloaded, 1 change\n")
    home.wait_sent("a.md")
    assert receiver.texts == ["kept"]
