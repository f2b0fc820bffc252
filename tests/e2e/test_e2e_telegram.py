"""The daemon and Telegram: in order, marked where it may be twice, and once with `stub`."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.faults import NAMED
from doubles.telegram import SENDS, TOKEN, TelegramDouble, method_of
from e2e.harness import LoopThread

MARK = "⚠ Possible duplicate: an earlier copy may have arrived.\n\n"
REPORTS = {f"{number:02}.md": f"report {number}" for number in range(12)}


@pytest.fixture
def telegram():
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        double = TelegramDouble()
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


@pytest.fixture
def posting(home, telegram):
    """A home whose reports go to Telegram, with all that can be logged in its log."""
    token = home.config.parent / "telegram.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    yield configured(home, telegram)
    told = "".join(each.log for each in home.daemons)
    told += f"{home.status()}{home.ledger('SELECT * FROM events')}"
    told += f"{home.ledger('SELECT * FROM attempts')}{home.run('doctor').out}"
    assert TOKEN not in told
    assert TOKEN.partition(":")[2] not in told


def configured(home, telegram, **options):
    owner = {"channel": "telegram", **telegram.destination, **options}
    return home.configure(destinations={"owner": owner}, log={"level": "debug"})


def losing(telegram, *names):
    """Every so often a message or an edit meets one of these."""
    turns = iter([*names] * 9)
    telegram.fault_if = lambda seen: (
        NAMED.get(next(turns, None)) if method_of(seen) in SENDS else None
    )


def killed_again_and_again(posting, telegram):
    posting.drop_many(REPORTS)
    for _ in range(3):
        daemon = posting.daemon()
        had = len(telegram.texts)
        posting.wait(lambda had=had: len(telegram.texts) > had + 2, "some have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    posting.daemon()
    posting.wait(lambda: len(posting.names("sent")) == len(REPORTS), "all are sent")


def test_over_lost_answers_and_kills_a_second_copy_always_says_so(posting, telegram):
    losing(telegram, "accept_then_drop", None, None, "close", "accept_then_500", None)
    killed_again_and_again(posting, telegram)
    plain = [text for text in telegram.texts if not text.startswith(MARK)]
    assert len(plain) == len(set(plain)), "a copy that does not say so came twice"
    first = list(dict.fromkeys(text.removeprefix(MARK) for text in telegram.texts))
    assert first == list(REPORTS.values())


def test_with_a_line_first_every_report_comes_once_over_lost_answers_and_kills(posting, telegram):
    configured(posting, telegram, stub=True)
    losing(telegram, "accept_then_drop", None, None, "accept_then_500", None, None, "close")
    killed_again_and_again(posting, telegram)
    reports = [text for text in telegram.texts if not text.startswith("⏳")]
    assert reports == list(REPORTS.values())
    assert not any(MARK in text for text in telegram.texts)


def test_a_wrong_token_blocks_names_the_remedy_and_a_reload_goes_on(posting, telegram):
    telegram.token = "987654321:another-token"
    posting.daemon()
    posting.drop("a.md", "kept")
    found = posting.wait_state("blocked", "config")
    assert "token_file" in found["hint"]
    assert posting.run("doctor").status == 78
    token = posting.config.parent / "telegram.token"
    token.write_text("987654321:another-token\n")
    done = posting.run("reload")
    assert done.out == "reloaded, 1 change\n  destinations.owner.token: changed\n", done.err
    posting.wait_sent("a.md")
    assert telegram.texts == ["kept"]


def test_a_right_that_is_missing_blocks_names_the_remedy_and_retry_goes_on(posting, telegram):
    telegram.home.status, telegram.home.can_send = "member", False
    posting.daemon()
    posting.drop("a.md", "kept")
    found = posting.wait_state("blocked", "config")
    assert "allow the bot" in found["hint"]
    telegram.home.can_send = True
    assert posting.run("retry").status == 0
    posting.wait_sent("a.md")


def test_a_group_that_moved_is_written_to_after_a_restart_too_and_the_owner_is_told(
    posting, telegram
):
    telegram.home.type, old = "group", telegram.home.id
    telegram.move(-1005)
    posting.daemon()
    posting.drop("a.md", "first")
    posting.wait_sent("a.md")
    posting.daemons[-1].stop()
    posting.daemon()
    posting.drop("b.md", "second")
    posting.wait_sent("b.md")
    assert [(m.chat_id, m.text) for m in telegram.all_messages] == [
        (-1005, "first"),
        (-1005, "second"),
    ]
    asked_old = [r for r in telegram.requests("sendMessage") if r.json()["chat_id"] == old]
    assert len(asked_old) == 1, "the new id was forgotten"
    notes = [event["note"] for event in posting.events("part.confirmed")]
    assert all('set target = "-1005"' in note for note in notes)
    doctor = posting.run("doctor", "--json")
    assert doctor.status == 0, "it works as it is"
    (finding,) = [f for f in doctor.json if f["check"] == "destination owner"]
    assert finding["mark"] == "warning"
    assert 'set target = "-1005"' in finding["remedy"]


def test_a_moved_group_from_which_the_bot_was_removed_goes_on_at_retry(posting, telegram):
    telegram.home.type = "group"
    telegram.move(-1005)
    telegram.chats[-1005].status = "kicked"
    posting.daemon()
    posting.drop("a.md", "kept")
    posting.wait_state("blocked", "config")
    telegram.chats[-1005].status = "administrator"
    posting.run("retry")
    posting.wait_sent("a.md")
    assert telegram.texts == ["kept"]
