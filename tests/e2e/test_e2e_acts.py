"""What a person types: status, retry, skip, resolve, pause, resume, send."""

from __future__ import annotations

import pytest
from e2e.fleet import ALL, Abreast
from e2e.harness import stays_so

abreast = Abreast()
launch = abreast.launch

MARK = "⚠ Possible duplicate"
TEXTS = {f"{n}.md": f"report {n}" for n in range(3)}


def first_line(home):
    return home.run("status").out.splitlines()[0].split()[0]


@abreast
def test_a_blocked_queue_tells_all_and_retry_ends_it(home, discord):
    discord.always(ALL["403"])
    home.configure(discord.base).daemon()
    home.drop_many(TEXTS)
    home.wait_state("blocked", "config")
    home.wait(lambda: home.status()["waiting"] == 3, "all are admitted")
    status = home.run("status")
    assert status.status == 3
    lines = status.out.splitlines()
    assert lines[0].startswith("blocked since ")
    assert lines[1].startswith("  for: ")
    assert "Missing Access" in lines[2]
    assert lines[3].strip().startswith("hint: give the bot View Channel")
    assert lines[3].endswith("then: ownerreportd retry")
    assert "waiting: 3, the oldest for" in status.out
    shown = home.run("show", "head", "--json").json
    assert shown["state"] == "blocked"
    assert shown["deliveries"][0]["parts"][0]["attempts"][0]["code"] == "discord.50001"
    assert home.run("retry").status == 0
    home.wait(lambda: len(discord.attempts) == 2, "it was tried again")
    home.wait_state("blocked", "config")
    discord.always(None)
    assert home.run("retry", "head").status == 0
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())
    assert first_line(home) == "idle"


@abreast
def test_skip_sets_aside_and_retry_brings_back_to_the_tail(home, discord):
    discord.always(ALL["400"])
    home.configure(discord.base).daemon()
    home.drop_many(TEXTS)
    home.wait_state("blocked", "report")
    assert home.run("skip", "head").status == 64  # without a reason
    assert home.run("skip", "0.md", "--reason", "told by phone").status == 0
    discord.always(None)
    assert home.run("retry").status == 0
    home.wait_sent("1.md", "2.md")
    assert (home.spool / "held" / "0.md").read_text() == "report 0"
    shown = home.run("show", "0.md", "--json").json
    assert (shown["state"], shown["deliveries"][0]["state"]) == ("held", "skipped")
    assert "told by phone" in shown["reason"]
    assert home.run("retry", "0.md").status == 0
    home.wait_sent("0.md")
    assert discord.contents == ["report 1", "report 2", "report 0"]
    assert home.run("skip", "0.md", "--reason", "too late").status == 64


def hold_in_doubt(home, discord, fault="accept_then_reset"):
    """A report whose answer was lost, at a service that cannot be looked up, with `hold`."""
    discord.place(history=False)
    discord.meets(ALL[fault])
    owner = {"in_doubt": "hold", "dedup_window_s": 0, "timeout_s": 0.2}
    home.configure(discord.base, destinations={"owner": owner}).daemon()
    home.drop_many(TEXTS)
    status = home.wait_state("blocked", "doubt")
    assert "ownerreportd resolve head --sent, or --resend" in status["hint"]
    stays_so(lambda: len(discord.attempts) == 1, 0.4, "nothing is sent by itself")


@abreast
def test_resolve_sent_archives_on_a_persons_word(home, discord):
    hold_in_doubt(home, discord)
    assert home.run("resolve", "head").status == 64
    assert home.run("resolve", "head", "--sent").status == 0
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())
    shown = home.run("show", "0.md", "--json").json
    assert shown["deliveries"][0]["state"] == "asserted"
    assert "uid" in shown["deliveries"][0]["ended_by"]


@abreast
def test_resolve_resend_sends_a_second_time_with_a_new_key(home, discord):
    hold_in_doubt(home, discord)
    assert home.run("resolve", "0.md", "--resend").status == 0
    home.wait_sent(*TEXTS)
    assert len(discord.contents) == 4
    keys = [seen.json()["nonce"] for seen in discord.attempts]
    assert len(set(keys)) == 4


@abreast
def test_skip_ends_a_doubt_too(home, discord):
    hold_in_doubt(home, discord)
    assert home.run("skip", "head", "--reason", "the owner knows").status == 0
    home.wait_sent("1.md", "2.md")
    assert home.names("held") == ["0.md"]


@abreast
def test_a_pause_lasts_over_a_restart_until_resume(home, discord):
    home.configure(discord.base)
    daemon = home.daemon()
    assert home.run("pause").status == 0
    home.drop_many(TEXTS)
    home.wait(lambda: home.status()["waiting"] == 3, "all are admitted")
    assert home.run("status").status == 3
    assert first_line(home) == "paused"
    daemon.stop()
    assert home.run("drain").status == 75
    home.daemon()
    assert home.status()["state"] == "paused"
    assert home.status()["hint"] == "ownerreportd resume"
    stays_so(lambda: not discord.attempts, 0.3, "nothing is sent")
    assert home.run("resume").status == 0
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())


OTHER = "200"
SEND = ("send", "--channel", "discord", "--target", f"channel:{OTHER}")


def channels(discord):
    return [(m.channel, m.content) for m in discord.messages]


@pytest.fixture
def other(discord):
    discord.place(OTHER)
    return discord


@pytest.mark.parametrize("daemon", ["running", "stopped"])
def test_send_delivers_one_report_elsewhere_and_leaves_the_others(home, other, daemon):
    home.configure(other.base)
    process = home.daemon()
    home.client.pause()
    home.drop_many(TEXTS)
    home.wait(lambda: home.status()["waiting"] == 3, "all are admitted")
    if daemon == "stopped":
        process.stop()
    ended = home.run(*SEND, "2.md")
    assert ended.status == 0, ended.err
    assert channels(other) == [(OTHER, "report 2")]
    assert home.names("sent") == ["2.md"]
    assert home.names("pending") == ["0.md", "1.md"]
    outside = home.path / "outside.md"
    outside.write_text("from outside")
    assert home.run(*SEND, str(outside)).status == 0
    assert channels(other)[1:] == [(OTHER, "from outside")]
    assert outside.exists()


FAILURES = {"502_json": 75, "403": 76, "429": 75, "accept_then_reset": 76}


def test_a_send_that_fails_keeps_the_reports_place(home, other):
    configured = next(iter(other.places))
    home.configure(other.base).daemon()
    home.client.pause()
    home.drop_many(TEXTS)
    home.wait(lambda: home.status()["waiting"] == 3, "all are admitted")
    for number, (fault, status) in enumerate(FAILURES.items(), 1):
        other.meets(ALL[fault])
        ended = home.run(*SEND, "1.md")
        assert ended.status == status, (fault, ended.err)
        assert home.names("pending") == ["0.md", "1.md", "2.md"]
        assert len(other.attempts) == number
    home.client.resume()
    home.wait_sent(*TEXTS)
    # Only the last one may have arrived; the queue found out before it went on.
    assert channels(other).count((OTHER, "report 1")) == 1
    assert [text for place, text in channels(other) if place == configured] == list(TEXTS.values())


def test_send_passes_a_blocked_head(home, other):
    home.configure(other.base).daemon()
    other.always(ALL["403"])
    home.drop_many(TEXTS)
    home.wait_state("blocked", "config")
    home.wait(lambda: home.status()["waiting"] == 3, "all are admitted")
    other.always(None)
    assert home.run(*SEND, "2.md").status == 0
    assert channels(other) == [(OTHER, "report 2")]
    assert home.status()["state"] == "blocked"
    home.client.retry()
    home.wait_sent(*TEXTS)


@abreast
def test_a_new_report_for_a_channel_that_does_not_exist_is_not_handed_over(home, discord):
    home.configure(discord.base)
    text = home.path / "new.md"
    text.write_text("a new report")
    for daemon in (False, True):
        if daemon:
            home.daemon()
        ended = home.run("send", str(text), "--channel", "dicsord", "--target", "channel:1")
        assert ended.status == 64, ended.err
        error, hint = ended.err.splitlines()
        assert "dicsord" in error
        assert "discord" in hint
        assert (home.names("pending"), home.names("sent"), text.exists()) == ([], [], True)
    assert discord.contents == []
