"""`reload` and SIGHUP: taken whole between two attempts, or refused whole."""

from __future__ import annotations

import signal

from doubles.wire import Fault
from e2e.fleet import Abreast

abreast = Abreast()
launch = abreast.launch

SLOWLY = Fault("drip", accept=True, pause_s=0.0005)  # a whole, honest answer within about a second
OTHER_TOKEN = "MTA5.made-up.other-token-of-a-bot-0123456789"


def changes(home):
    return [event["changed"] for event in home.events("config.reloaded")]


@abreast
def test_a_mended_token_is_taken_and_the_blocked_lane_tries_at_once(home, discord):
    home.configure(discord.base)
    right = home.token.read_text()
    home.put_token(OTHER_TOKEN)
    daemon = home.daemon()
    home.drop("a.md", "kept")
    home.wait_state("blocked", "config")
    home.token.write_text(right)
    done = home.run("reload")
    assert done.status == 0, done.err
    assert done.out == "reloaded, 1 change\n  destinations.owner.token: changed\n"
    home.wait_sent("a.md")
    assert discord.contents == ["kept"]
    key = "destinations.owner.token"
    assert changes(home) == [[{"key": key, "old": "changed", "new": "changed"}]]
    for secret in (OTHER_TOKEN, right.strip()):
        assert secret not in daemon.log


@abreast
def test_a_reload_with_five_mistakes_changes_nothing_and_tells_all_five(home, discord):
    home.configure(discord.base)
    daemon = home.daemon()
    good = home.config.read_text()
    for old, new in (
        ("settle_s = 0.05", "settle_s = -1"),
        ("rescan_s = 1", "rescan_ss = 1"),
        ("initial_s = 0.02", 'initial_s = "soon"'),
        ('format = "json"', 'format = "xml"'),
        ('channel = "discord"', 'channel = "discorb"'),
    ):
        assert old in home.config.read_text()
        home.config.write_text(home.config.read_text().replace(old, new))
    done = home.run("reload")
    assert (done.status, done.out) == (78, "")
    for name in ("settle_s", "rescan_ss", "initial_s", "xml", "discorb"):
        assert done.err.count(name) >= 1, name
    assert "config.refused" in daemon.log
    assert changes(home) == []
    home.drop("a.md", "by the earlier one")
    home.wait_sent("a.md")
    home.config.write_text(good)
    assert home.run("reload").out == "reloaded, 0 changes\n"


@abreast
def test_what_the_process_holds_open_asks_for_a_restart(home):
    home.configure()
    home.daemon()
    home.configure(socket={"submit_group": "nogroup"}, spool={"rescan_s": 2})
    done = home.run("reload")
    assert done.status == 78, done.err
    assert "socket.submit_group cannot change while the daemon runs" in done.err
    assert "restart" in done.err
    assert changes(home) == []


@abreast
def test_a_reload_waits_for_the_attempt_in_flight(home, discord):
    home.configure(discord.base, destinations={"owner": {"timeout_s": 30}})
    discord.meets(SLOWLY)
    home.drop_many({"a.md": "first", "b.md": "second"})
    home.daemon(ready=False)
    home.wait(lambda: discord.attempts, "an attempt is in flight")
    home.configure(destinations={"owner": {"target": str(home.path / "mail")}})
    done = home.run("reload", "--json")
    assert done.status == 0, done.err
    told = {each["key"]: each["new"] for each in done.json["changed"]}
    assert told["destinations.owner.channel"] == "inbox"
    home.wait_sent("a.md", "b.md")
    assert discord.contents == ["first"]
    (mail,) = (home.path / "mail" / "new").iterdir()
    assert "second" in mail.read_text()
    outcomes = home.ledger("SELECT outcome FROM attempts ORDER BY id")
    assert outcomes == [("confirmed",), ("confirmed",)]


@abreast
def test_what_waits_goes_where_the_new_routes_say(home):
    home.configure()
    home.daemon()
    assert home.run("pause").status == 0
    for number in range(3):
        home.drop(f"{number}.md", f"of {number}", age_s=60 - number)
    home.wait(lambda: home.status().get("waiting") == 3, "all of them wait")
    home.configure(destinations={"owner": {"target": str(home.path / "elsewhere")}})
    assert home.run("reload").status == 0
    assert home.run("resume").status == 0
    home.wait_sent("0.md", "1.md", "2.md")
    assert len(list((home.path / "elsewhere" / "new").iterdir())) == 3
    assert not list((home.spool / "inbox" / "new").glob("*"))


@abreast
def test_every_part_takes_its_new_values(home):
    home.configure()
    daemon = home.daemon()
    log = home.path / "lines.log"
    home.configure(
        spool={"report_bytes_max": 2000},
        gate={"enabled": False},
        ledger={"retention_days": 3},
        log={"file": str(log), "level": "debug"},
        delivery={"language": "zh-TW"},
    )
    daemon.signal(signal.SIGHUP)
    home.wait(lambda: changes(home), "the reload is recorded")
    (found,) = changes(home)
    assert {each["key"]: each["new"] for each in found} == {
        "spool.report_bytes_max": 2000,
        "gate.enabled": False,
        "ledger.retention_days": 3.0,
        "log.file": str(log),
        "log.level": "debug",
        "delivery.language": "zh-TW",
    }
    assert home.events("config.reloaded")[0]["who"] == "signal SIGHUP"
    assert home.run("submit", stdin=b"x" * 2001).status == 65
    asked = home.run("gate", "check", stdin=b'{"source": {"planId": "approved-plan-1"}}')
    assert "disabled" in asked.err
    home.wait(lambda: "config.reloaded" in log.read_text(), "the new log file has a line")
    home.drop("big.md", "y" * 2001)
    home.wait(lambda: home.status()["rejected_total"] == 1, "too long a report is set aside")


@abreast
def test_reloads_at_once_are_taken_one_after_the_other(home):
    home.configure()
    daemon = home.daemon()
    asked = [home.start("reload") for _ in range(4)]
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
    home.drop("a.md", "meanwhile")
    assert [each.wait(60) for each in asked] == [0] * 4
    for each in asked:
        each.communicate()
    home.wait_sent("a.md")


@abreast
def test_no_daemon_no_reload(home):
    home.configure()
    done = home.run("reload")
    assert done.status == 69
    assert "no daemon answers" in done.err
