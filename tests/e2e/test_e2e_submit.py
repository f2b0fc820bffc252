"""`submit`: with and without a daemon, with ids, racing, waiting, to another destination."""

from __future__ import annotations

import subprocess

from e2e.fleet import ALL, Abreast
from e2e.harness import CHANNEL

from ownerreportd.spool import submit as submit_file

abreast = Abreast()
launch = abreast.launch

FIELDS = (
    "submit", "--team", "general-task", "--worker", "小林", "--task-id", "匯入 資料",
    "--progress", "50%", "--done", "第一步", "--next", "第二步", "--status", "normal",
    "--source", "manual-checkpoint",
)  # fmt: skip


@abreast
def test_submitted_without_a_daemon_it_waits_for_one(home, discord):
    home.configure(discord.base)
    first = home.run(*FIELDS)
    assert first.status == 0, first.err
    assert "the report is in" in first.err
    second = home.run("submit", "-", stdin=b"# from stdin\n")
    assert second.status == 0
    assert len(home.names("pending")) == 2
    status = home.run("status", "--json")
    assert (status.status, status.json["state"], status.json["waiting"]) == (69, "down", 2)
    assert "ownerreportd run" in status.json["hint"]
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 2, "both are sent")
    assert "匯入 資料" in discord.contents[0].splitlines()[0]
    assert "第一步" in discord.contents[0]
    assert discord.contents[1] == "# from stdin"
    shown = home.run("show", first.out.strip(), "--json")
    assert shown.json["state"] == "sent"


def submit(home, report_id, text):
    return home.run("submit", "--id", report_id, "-", stdin=text.encode())


@abreast
def test_the_same_id_with_the_same_bytes_is_one_report(home, discord):
    home.configure(discord.base).daemon()
    for _ in range(2):
        assert submit(home, "job-1", "the same").status == 0
    home.wait_idle()
    assert submit(home, "job-1", "the same").status == 0  # also after it was sent
    other = submit(home, "job-1", "something else")
    assert other.status == 65
    assert "'job-1'" in other.err
    assert other.err.splitlines()[-1].startswith("hint: ")
    home.wait_idle()
    assert discord.contents == ["the same"]


@abreast
def test_without_a_daemon_the_same_id_is_settled_when_one_comes(home, discord):
    """Producers that did not see each other: their files meet at admission."""
    home.configure(discord.base)
    assert submit(home, "job-1", "the same").status == 0
    for text in (b"the same", b"other bytes"):
        submit_file(home.spool, text, report_id="job-1")
    assert submit(home, "job-1", "the same").status == 0
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 2, "two are sent")
    assert submit(home, "job-1", "the same").status == 0  # now through the daemon
    home.wait_idle()
    assert discord.contents == ["the same", "other bytes"]
    assert home.events("report.duplicate")
    assert len(home.events("report.id_conflict")) == 1
    ids = {report["id"] for report in home.client.reports()["reports"]}
    assert "job-1" in ids
    assert len(ids) == 2


@abreast
def test_many_that_race_with_the_same_id_make_one_report(home, discord):
    """Half of them start before the daemon does, and may write to the spool themselves."""
    home.configure(discord.base)
    words = ("submit", "-", "--id")
    racers = [home.start(*words, "race", stdin=subprocess.PIPE) for _ in range(3)]
    home.daemon(ready=False)
    racers += [home.start(*words, "race", stdin=subprocess.PIPE) for _ in range(3)]
    rivals = [home.start(*words, "rivals", stdin=subprocess.PIPE) for _ in range(2)]
    for racer in racers:
        racer.communicate("the same", timeout=45)
    for number, rival in enumerate(rivals):
        rival.communicate(f"other bytes {number}", timeout=45)
    home.daemons[0].until_ready()
    assert {racer.returncode for racer in racers} == {0}
    assert sorted(rival.returncode for rival in rivals) in ([0, 0], [0, 65])
    home.wait_idle()
    accepted = [f"other bytes {n}" for n, rival in enumerate(rivals) if rival.returncode == 0]
    assert sorted(discord.contents) == sorted(["the same", *accepted])


@abreast
def test_dropped_files_with_the_same_id_are_both_delivered(home, discord):
    home.configure(discord.base)
    home.drop("a.md", "---\nid: copied\n---\none", age_s=3)
    home.drop("b.md", "---\nid: copied\n---\ntwo", age_s=2)
    home.drop("c.md", "---\nid: copied\n---\none", age_s=1)
    home.daemon()
    home.wait_sent("a.md", "b.md", "c.md")
    assert discord.contents == ["one", "two", "one"]


WAITS = {None: 0, "429_proxy": 0, "503": 75, "403": 76, "400": 76}


@abreast
def test_wait_exits_by_what_became_of_it(home, discord):
    home.configure(discord.base).daemon()
    for fault, status in WAITS.items():
        if status == 0:
            discord.meets(ALL.get(fault))
        else:
            discord.always(ALL[fault])
        ended = home.run("submit", "--done", "x", "--wait", "--timeout", "2" if status else "30")
        assert ended.status == status, (fault, ended.err)
        assert ended.out.strip()
        if status:
            assert ended.err.splitlines()[-1].startswith("hint: ownerreportd show ")
        discord.always(None)
        home.client.retry()
        home.wait_idle()


@abreast
def test_wait_without_a_daemon_keeps_the_report_and_exits_with_69(home, discord):
    home.configure(discord.base)
    ended = home.run("submit", "--done", "x", "--wait")
    assert ended.status == 69
    assert len(home.names("pending")) == 1


@abreast
def test_a_report_can_be_submitted_for_another_destination(home, discord):
    discord.place("200")
    home.configure(
        discord.base,
        destinations={"phone": home.discord(discord.base, "200")},
        delivery={"to": ["owner"]},
    ).daemon()
    assert home.run("submit", "--done", "to the phone", "--to", "phone").status == 0
    assert home.run("submit", "--done", "to both", "--to", "phone", "--to", "owner").status == 0
    assert home.run("submit", "--done", "to the usual one").status == 0
    wrong = home.run("submit", "--done", "to nobody", "--to", "nobody")
    assert wrong.status == 65
    assert "owner, phone" in wrong.err
    home.drop("a.md", "---\nto: nobody\n---\nunknown in a file")
    home.wait(lambda: len(home.names("sent")) == 4, "all are sent")
    got = [(m.channel, m.content.splitlines()[-1]) for m in discord.messages]
    assert [place for place, _ in got] == ["200", "200", CHANNEL, CHANNEL, CHANNEL]
    assert "This report names 'nobody'" in discord.contents[-1]


@abreast
def test_what_is_no_report_is_refused_at_once(home, discord):
    home.configure(discord.base).daemon()
    for data in (b"", b" \n", b"nul \0", b"\xff", b"x" * 1_048_577):
        ended = home.run("submit", "-", stdin=data)
        assert ended.status == 65, ended.err
    assert home.run("submit").status == 65  # an empty stdin
    assert home.run("submit", str(home.path / "missing.md")).status == 66
    assert home.run("submit", "--id", "a/b", "-", stdin=b"x").status == 64
    assert home.names("pending") == home.names("sent") == []


def test_what_submit_wrote_is_private_to_user_and_group(home):
    home.configure()
    assert home.run("submit", "--done", "x", umask=0).status == 0
    for path in (home.spool, home.spool / "pending", home.spool / "tmp"):
        assert path.stat().st_mode & 0o777 == 0o700
    (name,) = home.names("pending")
    assert (home.spool / "pending" / name).stat().st_mode & 0o777 == 0o640
