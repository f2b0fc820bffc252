"""A person's verbs on a spool that no daemon holds, as users of cron have it."""

from __future__ import annotations

from e2e.fleet import ALL, Abreast

abreast = Abreast()
launch = abreast.launch


@abreast
def test_a_pause_and_its_end_need_no_daemon(home):
    home.configure()
    home.run("submit", "--done", "one", "--id", "one-1")
    assert home.run("drain").status == 0
    home.run("submit", "--done", "two", "--id", "two-2")
    assert home.run("pause").out == "paused, 1 waiting\n"
    drained = home.run("drain")
    assert drained.status == 75
    assert drained.err == "error: the queue is paused\nhint: ownerreportd resume\n"
    assert home.run("resume").status == 0
    assert home.run("drain") == (0, "sent two-2\n", "")


@abreast
def test_a_report_is_set_aside_listed_shown_and_taken_back_without_a_daemon(home):
    home.configure()
    home.run("submit", "--done", "one", "--id", "one-1")
    assert home.run("drain").status == 0
    home.run("submit", "--done", "two", "--id", "two-2", "--task-id", "deploy")
    skipped = home.run("skip", "two-2", "--reason", "not now")
    assert (skipped.status, skipped.out) == (0, "two-2 held\n")
    assert [path.suffix for path in (home.spool / "held").iterdir()] == [".md"]
    listed = home.run("list", "--json").json["reports"]
    assert [(r["id"], r["state"]) for r in listed] == [("one-1", "sent"), ("two-2", "held")]
    assert home.run("list", "--since", "1h", "--team", "nobody", "--json").json["reports"] == []
    assert len(home.run("list", "--since", "1h", "--json").json["reports"]) == 2
    assert "not now" in home.run("show", "two-2").out
    assert home.run("retry", "two-2").out == "two-2 waiting\n"
    assert home.run("drain").out == "sent two-2\n"
    assert home.names("held") == home.names("pending") == []


@abreast
def test_a_doubt_is_resolved_without_a_daemon(home, discord):
    home.configure(discord.base, destinations={"owner": {"in_doubt": "hold"}})
    home.run("submit", "--done", "one", "--id", "one-1")
    discord.meets(ALL["accept_then_drop"])
    assert home.run("drain").status == 76
    resolved = home.run("resolve", "one-1", "--sent")
    assert (resolved.status, resolved.out) == (0, "one-1 sent\n"), resolved.err
    assert home.run("show", "one-1", "--json").json["deliveries"][0]["state"] == "asserted"
    assert len(discord.contents) == 1


@abreast
def test_without_a_ledger_there_is_nothing_to_work_on(home):
    home.configure()
    for words in (["pause"], ["list"], ["show", "head"], ["resolve", "head", "--sent"]):
        ended = home.run(*words)
        assert ended.status == 69, words
        assert not home.spool.exists()
