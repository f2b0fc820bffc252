"""`status`, `list` and `show`: what a person reads, and what a script does."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading

import pytest

from ownerreportd.cli.output import age, columns, moment, printable

AT = "2026-11-22T10:54:00Z"
HERE = "2026-11-22 18:54:00"

BLOCKED = {
    "state": "blocked", "code": "config", "since": AT, "hint": "ownerreportd retry",
    "reason": "discord.50013: Missing Permissions", "oldest_age_s": 12_000.0,
    "head": {
        "id": "r-1", "title": "一半", "destination": "owner", "attempts": 3,
        "last_outcome": "rejected", "last_error": "403 Missing Permissions",
        "next_attempt_at": AT,
    },
    "last_delivery": {"id": "r-0", "at": AT, "receipt": {"id": "9", "link": "https://d/9"}},
    "destinations": [
        {"name": "owner", "channel": "discord", "target": "channel:1", "proof": "confirmed"}
    ],
    "rejected_total": 2, "rejected_today": [{"name": "空.md", "reason": "The file is empty."}],
    "left_alone": ["NOTE.txt"],
}  # fmt: skip


def test_an_idle_queue_is_told_in_a_few_lines(run, daemon):
    assert run("status") == (
        0,
        f"idle since {HERE}\n  for: AGE\nwaiting: 0\nsent: 0\nspool: /spool\n",
        "",
    )


def test_a_state_that_began_in_the_future_has_no_age(run, daemon):
    daemon.extra = {"since": "2100-01-01T00:00:00Z"}
    assert run("status").out.startswith("idle since 2100-01-01 08:00:00\nwaiting: 0\n")


def test_a_blocked_queue_tells_why_and_what_helps_and_exits_3(run, daemon):
    daemon.extra = BLOCKED
    daemon.add("r-1")
    assert run("status") == (
        3,
        (
            f"blocked since {HERE}\n  for: AGE\n"
            "  why: discord.50013: Missing Permissions (config)\n"
            "  hint: ownerreportd retry\n"
            "head: r-1 一半 to owner\n"
            "  tried: 3, last rejected: 403 Missing Permissions\n"
            f"  next: {HERE} (AGO)\n"
            "waiting: 1, the oldest for 3 h 20 min\n"
            f"last delivery: r-0 {HERE} (AGO) https://d/9\n"
            "sent: 0, rejected: 2\n"
            "  rejected today: 空.md (The file is empty.)\n"
            "  left alone: NOTE.txt\n"
            "destination: owner discord channel:1 (confirmed)\n"
            "spool: /spool\n"
        ),
        "",
    )


def test_several_lanes_are_told_each(run, daemon):
    lane = {"name": "owner", "state": "idle", "waiting": 0, "reason": ""}
    phone = {"name": "phone", "state": "blocked", "waiting": 4, "reason": "401", "hint": "retry"}
    daemon.extra = {"state": "blocked", "lanes": [lane, phone]}
    out = run("status").out
    assert (
        "lanes:\n  owner idle, 0 waiting\n  phone blocked, 4 waiting: 401\n    hint: retry\n" in out
    )
    daemon.extra = {"lanes": [lane]}
    assert "lanes" not in run("status").out


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"state": "paused"}, 3), ({"state": "waiting", "stale": True}, 3),
        ({"state": "waiting"}, 0), ({"state": "sending"}, 0),
    ],
)  # fmt: skip
def test_the_exit_status_says_whether_it_needs_a_look(run, daemon, extra, status):
    daemon.extra = extra
    assert run("status").status == status
    assert run("status", "--json").status == status


def test_the_json_is_the_daemons_own(run, daemon):
    daemon.extra = BLOCKED
    told = json.loads(run("status", "--json").out)
    assert told["schema"] == "ownerreportd.status/1"
    assert told["head"]["title"] == "一半"


def test_a_daemon_that_hangs_up_at_its_start_sends_to_doctor(run, spool):
    """So it is where systemd listens for a daemon that its configuration keeps from starting."""
    (spool / "state").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(spool / "state" / "api.sock"))
        listening.listen()

        def hang_up():
            listening.accept()[0].close()

        peer = threading.Thread(target=hang_up)
        peer.start()
        ended = run("status")
        peer.join()
    assert ended.status == 69
    assert ended.out.startswith("down\n")
    assert "\n  hint: ownerreportd doctor  # says what keeps" in ended.out


def test_without_a_daemon_the_spool_tells_what_it_can(run, spool):
    for name, folder in (("a.md", "pending"), ("b.md", "pending"), ("c.md", "sent")):
        (spool / folder).mkdir(parents=True, exist_ok=True)
        (spool / folder / name).write_text("x")
    (spool / "pending" / ".hidden.md").write_text("x")
    os.utime(spool / "pending" / "a.md", (0, 0))
    ended = run("status")
    assert ended.status == 69
    first, *_, last = ended.out.splitlines()
    assert (first, last) == ("down", f"spool: {spool}")
    assert f"tried {spool}/state/api.sock (no such file or directory)\n" in ended.out
    assert "  hint: start the daemon: ownerreportd run\nwaiting: 2, the oldest for " in ended.out
    told = json.loads(run("status", "--json").out)
    assert (told["state"], told["waiting"], told["sent_total"]) == ("down", 2, 1)
    assert told["oldest_age_s"] > 1e9


def test_a_stale_socket_is_no_daemon(run, spool):
    import socket

    (spool / "state").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(spool / "state" / "api.sock"))
    ended = run("status")
    assert ended.status == 69
    assert "api.sock (connection refused)" in ended.out


def test_the_list_lines_up_with_chinese_titles(run, daemon):
    daemon.add("short", "sent", title="一份報告", admitted_at="")
    daemon.add("much-longer-id", title="evil \x1b[31mred\n", admitted_at="")
    daemon.add(None, task_id="t", name="x.md", admitted_at="")
    assert run("list") == (
        0,
        (
            "short           sent       一份報告\n"
            "much-longer-id  waiting    evil \\x1b[31mred\n"
            "x.md            waiting    t\n"
        ),
        "",
    )


def test_the_list_goes_by_state_and_limit(run, daemon):
    for number in range(3):
        daemon.add(f"r-{number}", "sent" if number == 1 else "waiting")
    told = json.loads(run("list", "--state", "waiting", "--limit", "1", "--json").out)
    assert ([r["id"] for r in told["reports"]], told["next_after"]) == (["r-0"], 1)
    ended = run("list", "--state", "waiting", "--limit", "1")
    assert ended.err == "note: there are more: ownerreportd list --after 1\n"
    assert run("list", "--state", "held") == (0, "", "note: there is no such report\n")


def test_show_tells_the_whole_story(run, daemon):
    attempts = [
        {"started_at": AT, "ended_at": AT, "duration_s": 0.5, "form": "plain",
         "outcome": "not_sent", "code": "", "detail": "connection refused"},
        {"started_at": AT, "ended_at": AT, "duration_s": 0.21, "form": "marked",
         "outcome": "confirmed", "code": "", "detail": ""},
        {"started_at": AT, "ended_at": None, "duration_s": None, "form": "plain",
         "outcome": None, "code": "", "detail": ""},
    ]  # fmt: skip
    part = {
        "number": 1, "count": 1, "key": "k", "state": "confirmed", "form": "marked",
        "doubt_since": AT, "attempts": attempts,
        "receipt": {"id": "99", "link": "https://d/99", "proof": "confirmed", "at": AT, "note": ""},
    }  # fmt: skip
    delivery = {
        "destination": "owner", "channel": "discord", "target": "channel:1",
        "state": "confirmed", "generation": 1, "parts": [part],
    }  # fmt: skip
    daemon.add("r-1", "sent", title="一半", worker="alice", deliveries=[delivery])
    assert run("show", "r-1") == (
        0,
        (
            "r-1 sent\ntitle: 一半\nworker: alice\nfile: r-1.md, 1 bytes\n"
            f"sha256: {'0' * 64}\nsubmitted by: uid 0 pid 1\n"
            f"arrived: {HERE} (AGO)\nsettled: {HERE} (AGO)\n\n"
            "to owner (discord channel:1): confirmed, sent again 1x\n"
            "  part 1/1: confirmed, marked as a possible duplicate\n"
            f"    in doubt since {HERE} (AGO)\n"
            f"    attempt 1: {HERE} (AGO) not_sent after 0.50 s: connection refused\n"
            f"    attempt 2: {HERE} (AGO) confirmed after 0.21 s\n"
            f"    attempt 3: {HERE} (AGO) open, no answer yet\n"
            "    receipt: 99, https://d/99, confirmed\n"
        ),
        "",
    )
    assert json.loads(run("show", "r-1", "--json").out)["deliveries"] == [delivery]


def test_show_of_a_report_that_was_not_read_yet(run, daemon):
    daemon.add(None, name="報告.md", sha256=None, submitted_by="")
    out = run("show", "報告.md").out
    assert out.startswith("報告.md waiting\nfile: 報告.md, 1 bytes\n")
    assert out.endswith("place in the queue: 1\n")


def test_show_of_an_unknown_report_exits_66(run, daemon):
    assert run("show", "none") == (
        66,
        "",
        "error: there is no report 'none'\nhint: ownerreportd list\n",
    )


def on_terminal(**environ):
    """What `status` writes to a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "ownerreportd", "status"]
    with subprocess.Popen(
        command, stdout=follower, stderr=follower, env={**os.environ, **environ}
    ) as process:
        os.close(follower)
        written = b""
        try:
            while chunk := os.read(leader, 4096):
                written += chunk
        except OSError:
            pass  # Linux says EIO when the last one closes a terminal
        process.wait(30)
    os.close(leader)
    return written


def test_a_terminal_gets_colour_but_not_with_no_color(daemon):
    daemon.extra = BLOCKED
    assert on_terminal(TERM="xterm").startswith(b"\x1b[31mblocked\x1b[0m since")
    assert b"\x1b" not in on_terminal(TERM="xterm", NO_COLOR="1")
    assert b"\x1b" not in on_terminal(TERM="dumb")


def test_watching_draws_over_and_over_until_ctrl_c(daemon):
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ownerreportd", "status", "--watch"],
        stdout=side, stderr=side, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(side)
    shown = b""
    while shown.count(b"\x1b[H") < 3:
        shown += os.read(main, 4096)
        if b"idle" in shown:
            daemon.extra = BLOCKED
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    os.close(main)
    assert shown.startswith(b"\x1b[2J\x1b[H\x1b[32midle\x1b[0m since")
    assert b"\x1b[31mblocked\x1b[0m since" in shown.rpartition(b"\x1b[H")[0]


def test_watching_is_for_a_terminal(run, daemon):
    for words in (("status", "--watch"), ("status", "--watch", "--json")):
        ended = run(*words)
        assert (ended.status, ended.out) == (64, "")
        assert "tail -f --json" in ended.err


def test_ages_have_their_two_largest_units():
    ages = {
        0: "0 s",
        59.9: "59 s",
        60: "1 min",
        3600: "1 h",
        12_000: "3 h 20 min",
        90_000: "1 d 1 h",
    }
    assert {seconds: age(seconds) for seconds in ages} == ages
    assert age(-5) == "0 s"
    assert moment("not a time\x07") == "not a time\\x07"
    assert moment(None) == "unknown"
    assert "(in " in moment("2999-01-01T00:00:00+00:00")


def test_nothing_that_a_terminal_obeys_is_printed():
    assert printable("a\x1b]0;title\x07\u202eb\nc\x9b") == "a\\x1b]0;title\\x07\\u202eb c\\x9b"


def test_columns_count_cells_not_characters():
    assert columns([("一", "x"), ("ab", "y"), ("a", "z")]) == ["一  x", "ab  y", "a   z"]


def test_the_list_goes_by_team(run, daemon):
    daemon.add("r-1", team="build")
    daemon.add("r-2", team="docs")
    assert "r-2" not in run("list", "--team", "build").out
    assert run("list", "--team", "nobody").err == "note: there is no such report\n"
    assert run("list", "--since", "yesterday").status == 64
