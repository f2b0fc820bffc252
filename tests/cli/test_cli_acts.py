"""What a person does to the queue: retry, skip, resolve, pause, resume, send, drain."""

import json
import sys
import types
from datetime import UTC, datetime, timedelta

import pytest

import ownerreportd
from ownerreportd.core.errors import SpoolHeldError

NO_DAEMON = "hint: start the daemon: ownerreportd run\n"


def at(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def app(monkeypatch):
    """The composition root, as far as the verbs without a daemon ask for it."""
    calls = []
    fake = types.ModuleType("ownerreportd.app")

    def run(*, config, spool):
        calls.append(("run", config, spool))
        return 0

    def drain(*, config, spool, max_count, dry_run, say):
        calls.append(("drain", max_count, dry_run))
        say("sent r-1")
        return 75

    def send(*, config, spool, ref, destination, channel, target):
        calls.append(("send", ref, destination, channel, target))
        return {"outcome": "not_sent", "detail": "refused", "hint": "wait", "receipts": []}

    def new_ledger(*, config, spool):
        if spool == "held":
            raise SpoolHeldError("pid 7 holds the spool", hint="kill 7")
        return "began a new ledger"

    def restore(*, config, spool):
        return "in doubt: 3"

    fake.run, fake.drain, fake.send = run, drain, send
    fake.new_ledger, fake.restore = new_ledger, restore
    fake.calls = calls
    monkeypatch.setitem(sys.modules, "ownerreportd.app", fake)
    monkeypatch.setattr(ownerreportd, "app", fake, raising=False)
    return fake


def test_retry_of_one_report_and_of_the_queue(run, daemon):
    daemon.add("r-1", "blocked")
    assert run("retry", "r-1", "--to", "phone") == (0, "r-1 blocked\n", "")
    assert run("retry") == (0, "idle, 1 waiting\n", "")
    assert [act[:3] for act in daemon.acts] == [("retry", "r-1", "phone"), ("retry", None, None)]


def test_skip_keeps_its_reason(run, daemon):
    daemon.add("r-1")
    assert run("skip", "head", "--reason", "老闆知道了") == (
        0, "r-1 held\n", "note: 老闆知道了\n",
    )  # fmt: skip
    again = run("skip", "r-1", "--reason", "x")
    assert again == (64, "", "error: r-1 is held\nhint: ownerreportd list\n")


def test_skip_without_a_reason_is_a_usage_error(run, daemon):
    daemon.add("r-1")
    assert run("skip", "r-1").status == 64
    assert run("skip", "r-1", "--reason", " ").err == (
        "error: --reason must say something\nhint: ownerreportd skip --help\n"
    )
    assert daemon.acts == []


def test_resolve_takes_one_word(run, daemon):
    daemon.add("r-1", "blocked")
    assert run("resolve", "r-1", "--sent").status == 0
    assert run("resolve", "r-1", "--resend", "--to", "phone").status == 0
    assert daemon.acts == [("resolve", "r-1", "sent", None), ("resolve", "r-1", "resend", "phone")]
    for flags in ((), ("--sent", "--resend")):
        assert run("resolve", "r-1", *flags).status == 64


def test_pause_and_resume(run, daemon):
    assert run("pause") == (0, "paused, 0 waiting\n", "")
    assert run("resume", "--to", "owner") == (0, "idle, 0 waiting\n", "")
    assert daemon.acts == [("pause", None), ("resume", "owner")]


@pytest.mark.parametrize(
    "command",
    [
        ("retry",), ("skip", "x", "--reason", "y"), ("resolve", "x", "--sent"), ("pause",),
        ("resume",), ("list",), ("show", "x"),
    ],
)  # fmt: skip
def test_without_a_daemon_it_says_where_it_looked_and_exits_69(run, spool, command):
    ended = run(*command)
    assert (ended.status, ended.out) == (69, "")
    tried = f"{spool}/state/api.sock (no such file or directory)"
    assert ended.err == f"error: no daemon answers; tried {tried}\n{NO_DAEMON}"


def test_send_through_the_daemon_tells_outcome_and_receipt(run, daemon):
    daemon.add("r-1")
    assert run("send", "r-1", "--channel", "discord", "--target", "channel:1") == (
        0,
        "r-1 confirmed\nreceipt: 1, https://example.org/1\n",
        "",
    )
    assert daemon.acts == [("send", "r-1", None, "discord", "channel:1")]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("not_sent", 75), ("throttled", 75), ("in_doubt", 76), ("rejected", 76), ("confirmed", 0)],
)
def test_send_exits_by_its_outcome(run, daemon, outcome, status):
    daemon.add("r-1")
    daemon.send_result = {"outcome": outcome, "detail": "why", "hint": "what to do"}
    ended = run("send", "r-1", "--json")
    assert (ended.status, json.loads(ended.out)["outcome"]) == (status, outcome)
    assert run("send", "r-1").err == "note: why\nhint: what to do\n"


def test_send_of_a_file_hands_over_its_bytes_and_the_destination_in_one_act(run, daemon, home):
    (home / "r.md").write_text("body")
    ended = run("send", "r.md", "--to", "phone")
    [(report_id, data)] = daemon.bodies.items()
    assert data == b"body"
    assert ended.status == 0
    assert ended.err == f"note: r.md is submitted as {report_id}\n"
    assert daemon.acts[-1] == ("send", report_id, "phone", None, None)


def test_send_of_a_file_in_the_spool_means_that_report(run, daemon, spool):
    (spool / "pending").mkdir()
    (spool / "pending" / "r-1.md").write_text("body")
    daemon.add("r-1")
    assert run("send", str(spool / "pending" / "r-1.md")).status == 0
    assert daemon.bodies == {}


@pytest.mark.parametrize(
    "flags", [("--channel", "x"), ("--target", "x"), ("--to", "a", "--channel", "x")]
)
def test_send_to_half_a_destination_is_a_usage_error(run, daemon, flags):
    daemon.add("r-1")
    assert run("send", "r-1", *flags).status == 64
    assert daemon.acts == []


def test_send_of_a_missing_file_exits_66(run, daemon):
    assert run("send", "./none.md").status == 66
    assert run("send", "none").status == 66


def test_send_without_a_daemon_goes_alone(run, app):
    assert run("send", "r-1", "--to", "phone") == (
        75, "r-1 not_sent\n", "note: refused\nhint: wait\n",
    )  # fmt: skip
    assert app.calls == [("send", "r-1", "phone", None, None)]


def test_send_of_a_file_without_a_daemon_is_the_apps_to_submit(run, app, home, spool):
    (home / "r.md").write_text("body")
    (spool / "pending").mkdir(parents=True)
    (spool / "pending" / "p.md").write_text("body")
    run("send", "r.md")
    run("send", str(spool / "pending" / "p.md"))
    assert [call[1] for call in app.calls] == ["r.md", "p.md"]
    assert [each.name for each in (spool / "pending").iterdir()] == ["p.md"]


def test_drain_without_a_daemon_goes_alone(run, app):
    assert run("drain", "--max-count", "3", "--dry-run") == (75, "sent r-1\n", "")
    run("drain")
    run("drain", "--max-count", "0")
    assert app.calls == [("drain", 3, True), ("drain", None, False), ("drain", 0, False)]


def test_a_wrong_count_is_an_error(run, daemon, monkeypatch):
    assert run("drain", "--max-count", "-1").status == 64
    monkeypatch.setenv("OWNER_REPORT_MAX_COUNT", "many")
    assert run("drain") == (
        78, "", "error: 'many' is no number of reports\nhint: a whole number; 0 means all\n",
    )  # fmt: skip


def test_the_count_comes_from_flag_then_environment_then_file(run, daemon, home, monkeypatch):
    for number in range(4):
        daemon.add(f"r-{number}")
    config = home / "c.toml"
    config.write_text("[delivery]\nmax_count = 1\n")

    def shown(*flags):
        return len(run("--config", str(config), "drain", "--dry-run", *flags).out.splitlines())

    assert shown() == 1
    monkeypatch.setenv("OWNER_REPORT_MAX_COUNT", "2")
    assert shown() == 2
    monkeypatch.setenv("OWNERREPORTD_DELIVERY__MAX_COUNT", "3")
    assert shown() == 3
    assert shown("--max-count", "0") == 4


def deliver(count):
    """What a woken daemon does: it settles so many, oldest first."""

    def act(daemon):
        unsettled = [r for r in daemon.store if r["state"] in ("waiting", "blocked", "sending")]
        for report in unsettled[:count]:
            daemon.settle(report)

    return act


def test_drain_beside_a_daemon_wakes_it_and_waits_for_the_first(run, daemon):
    for number in range(4):
        daemon.add(f"r-{number}", "sending" if number == 0 else "waiting", title=f"T{number}")
    daemon.on_retry = deliver(4)
    assert run("drain", "--max-count", "2") == (
        0,
        "r-0 sent T0\nr-1 sent T1\n",
        "note: 2 reports settled, 0 left\n",
    )
    assert daemon.acts[0][:2] == ("retry", None)


def test_drain_with_nothing_to_do_is_done(run, daemon):
    assert run("drain") == (0, "", "note: 0 reports settled, 0 left\n")
    assert daemon.acts == []


def test_drain_of_more_than_a_page(run, daemon):
    for number in range(1001):
        daemon.add(f"r-{number}")
    daemon.on_retry = deliver(2000)
    ended = run("drain")
    assert (ended.status, ended.err) == (0, "note: 1001 reports settled, 0 left\n")


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"state": "blocked", "code": "config", "reason": "401"}, 76),
        ({"state": "blocked", "code": "doubt", "reason": "401"}, 76),
        ({"state": "blocked", "code": "disk_full", "reason": "401"}, 74),
        ({"state": "paused", "reason": "401"}, 75),
    ],
)
def test_drain_stops_with_the_queue_and_says_why(run, daemon, monkeypatch, extra, status):
    monkeypatch.setattr("ownerreportd.cli.draining.LOOK_S", 0.01)
    for number in range(2):
        daemon.add(f"r-{number}")

    def wake(daemon):
        deliver(1)(daemon)
        daemon.extra = {**extra, "hint": "ownerreportd retry"}

    daemon.on_retry = wake
    ended = run("drain")
    assert ended.status == status
    assert ended.err.endswith(
        f"note: the queue is {extra['state']}: 401\nhint: ownerreportd retry\n"
    )


def failing(outcome, seconds):
    head = {"last_outcome": outcome, "last_error": "503", "next_attempt_at": at(seconds)}
    return {"state": "waiting", "head": head}


def test_drain_ends_at_a_head_that_failed_and_waits(run, daemon, monkeypatch):
    monkeypatch.setattr("ownerreportd.cli.draining.LOOK_S", 0.01)
    daemon.add("r-1")
    daemon.extra = failing("not_sent", 30)
    ended = run("drain")
    assert ended.status == 75
    assert "note: the queue is waiting: 503\n" in ended.err


def test_drain_ends_at_a_long_throttling(run, daemon, monkeypatch):
    monkeypatch.setattr("ownerreportd.cli.draining.LOOK_S", 0.01)
    daemon.add("r-1")
    daemon.extra = failing("throttled", 120)
    assert run("drain").status == 75


def test_drain_waits_out_a_short_throttling(run, daemon, monkeypatch):
    monkeypatch.setattr("ownerreportd.cli.draining.LOOK_S", 0.01)
    report = daemon.add("r-1")
    daemon.extra = failing("throttled", 20)
    looks = []
    wait = daemon.wait

    async def third_time(ref, *, timeout_s):
        looks.append(ref)
        if len(looks) == 3:
            daemon.settle(report)
        return await wait(ref, timeout_s=timeout_s)

    daemon.wait = third_time
    assert run("drain").status == 0
    assert len(looks) == 3


def test_drain_counts_a_withdrawn_report_as_settled(run, daemon, monkeypatch):
    daemon.add("r-1")
    daemon.on_retry = lambda daemon: daemon.store.clear()
    assert run("drain") == (0, "r-1 withdrawn r-1.md\n", "note: 1 report settled, 0 left\n")


def test_a_dry_run_beside_a_daemon_changes_nothing(run, daemon):
    daemon.add("r-1", title="一", to=["owner", "phone"])
    daemon.add("r-2", to=[])
    assert run("drain", "--dry-run") == (
        0,
        "r-1 一 -> owner, phone\nr-2 r-2.md -> decided when it is read\n",
        "note: 2 reports would be sent\n",
    )
    assert run("drain", "--dry-run", "--max-count", "1").out.startswith("r-1 ")
    assert daemon.acts == []


def test_drain_beside_a_daemon_refuses_another_destination(run, daemon, monkeypatch):
    daemon.add("r-1")
    monkeypatch.setenv("OWNER_REPORT_CHANNEL", "discord")
    monkeypatch.setenv("OWNER_REPORT_TARGET", "channel:1")
    ended = run("drain")
    assert (ended.status, ended.out) == (78, "")
    assert "OWNER_REPORT_CHANNEL and OWNER_REPORT_TARGET" in ended.err
    assert ended.err.endswith(
        "hint: send one report elsewhere: ownerreportd send ID --channel C --target T\n"
    )
    assert daemon.acts == []


def test_run_and_doctor_hand_over_to_the_app(run, app):
    assert run("--config", "c", "--spool", "s", "run").status == 0
    assert app.calls == [("run", "c", "s")]
    assert run("doctor", "--new-ledger") == (0, "began a new ledger\n", "")
    assert run("--spool", "held", "doctor", "--new-ledger") == (
        73, "", "error: pid 7 holds the spool\nhint: kill 7\n",
    )  # fmt: skip
    assert run("doctor", "--restored") == (0, "in doubt: 3\n", "")
    both = run("doctor", "--restored", "--new-ledger")
    assert (both.status, both.err.splitlines()[0]) == (
        64, "error: --new-ledger and --restored exclude each other",
    )  # fmt: skip
