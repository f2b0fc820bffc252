"""The gate as a service: the whole table over HTTP, one contract by every way, and alone."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
from datetime import UTC, datetime, timedelta

import pytest
from doubles.faults import NAMED
from e2e.fleet import Abreast
from gate.gate_tools import fields, row
from gate.gate_tools import receipt as receipt_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd import gate
from ownerreportd.client import Client
from ownerreportd.core.errors import InvalidGateInputError, UsageError

abreast = Abreast()
launch = abreast.launch
LONG = True

FLAGS = (False, True)
PLAN, TASK = "approved-plan-1", "task-3"
STATES = ("complete", "in_progress", "unknown")
CLOSURES = (
    None, "waiting_user", "blocked", "pending_verification", "completed", "in_progress", "failed",
    "unknown", "handed_over",
)  # fmt: skip
BATCH = 64


class Wire:
    """One kept-alive connection; requests go out in batches, answers come back in order."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(path))
        self.ahead = b""

    def close(self):
        self.sock.close()

    def post(self, path, bodies):
        """The answers to these bodies: `(status, JSON)` each."""
        bodies = iter(bodies)
        while batch := list(itertools.islice(bodies, BATCH)):
            data = b"".join(self.request(path, body) for body in batch)
            self.sock.sendall(data)
            for _ in batch:
                yield self.answer()

    @staticmethod
    def request(path, body):
        data = json.dumps(body).encode()
        return (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        ).encode() + data

    def answer(self):
        while b"\r\n\r\n" not in self.ahead:
            self.more()
        head, _, rest = self.ahead.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next(int(x.split(":")[1]) for x in lines if x.startswith("content-length:"))
        self.ahead = rest
        while len(self.ahead) < length:
            self.more()
        body, self.ahead = self.ahead[:length], self.ahead[length:]
        return int(lines[0].split()[1]), json.loads(body)

    def more(self):
        chunk = self.sock.recv(1 << 16)
        assert chunk, "the daemon hung up"
        self.ahead += chunk


def served(home, bodies):
    """The answers of a daemon to these bodies for the adapter `manual`."""
    home.configure().daemon()
    with contextlib.closing(Wire(home.socket)) as wire:
        yield from wire.post("/v1/gate/manual", bodies)


def now(**ago):
    return datetime.now(UTC) - timedelta(**ago)


def ask(home):
    return Client([home.socket])


# --- the whole product ---------------------------------------------------------------------------


def receipts():
    """Each kind of receipt: what it is, whether it is valid and matches, whether it is real."""
    at = now(minutes=1)
    return {
        "absent": (None, False, False),
        "valid": (receipt_of(at), True, True),
        "invalid": (receipt_of(at, replyClosureState=None), False, True),
        "dry_run": (receipt_of(at, dryRun=True), True, False),
        "placeholder": (receipt_of(at, dispatchRunId="placeholder"), True, False),
        "other_plan": (receipt_of(at, planId="approved-plan-2"), False, True),
        "other_task": (receipt_of(at, currentTask="task-2"), False, True),
        "future": (receipt_of(now(hours=-2)), False, True),
    }


def product(states=STATES):
    """Every combination, with the body that says it and the row that the design gives it."""
    kinds = receipts().values()
    for (
        matched,
        kind,
        risk,
        state,
        boundary,
        known,
        same,
        closure,
        action,
        real,
        allowed,
    ) in itertools.product(
        FLAGS, kinds, FLAGS, states, FLAGS, FLAGS, FLAGS, CLOSURES, FLAGS, FLAGS, FLAGS
    ):
        receipt, good, is_real = kind
        body = {
            "planId": PLAN if matched else "a-draft", "currentTask": TASK, "taskState": state,
            "nextTaskKnown": known, "sameApprovedPlan": same, "taskBoundaryStop": boundary,
            "highRiskStop": risk, "replyClosureState": closure, "dispatchReceipt": receipt,
            "nextDerivedAction": {"type": "go"} if action else None,
            "config": {"requireRealDispatchReceipt": real,
                       "allowReplyClosureWithoutDispatch": allowed},
            "lookup": False,
        }  # fmt: skip
        counts = good and (is_real or not real)
        yield (
            body,
            row(matched, counts, risk, state, boundary, known and same, closure, action, allowed),
        )


@abreast
def test_every_combination_gives_the_row_of_the_design_over_http(home, discord):
    cases = list(product())
    answers = served(home, (body for body, _ in cases))
    rows = set()
    for (body, expected), (status, contract) in zip(cases, answers, strict=True):
        result = contract["result"]
        found = contract["evaluation"]["rule"], result["status"], result["reason"]
        assert (status, found) == (200, expected), body
        assert bool(contract["block"]) == (result["status"] == "fail"), body
        rows.add(found[0])
    assert rows == set(range(2, 14))
    assert len(cases) == 55_296


@abreast
def test_a_gate_that_is_off_skips_every_combination(home, discord):
    cases = [
        {**body, "config": {**body["config"], "enabled": False}}
        for body, _ in product(states=("complete", "unknown"))
    ]
    for status, contract in served(home, cases):
        assert (status, contract["evaluation"]["rule"]) == (200, 1)
        assert contract["result"] == {
            "status": "skip", "ok": True, "reason": "disabled", "reasons": [],
        }  # fmt: skip


# --- one contract by every way -------------------------------------------------------------------

BODIES = {
    "manual": lambda given: given,
    "generic-preflight": lambda given: {"source": given},
    "force-recall": lambda given: {"wrapperResult": given},
}


def without_meta(contract):
    return {name: value for name, value in contract.items() if name != "meta"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 20),
        ({"dispatchReceipt": "here"}, 0),
        ({"planId": "計畫"}, 0),
        ({"taskState": "odd", "nextDerivedAction": "go on"}, 20),
        ({"currentTask": "stored"}, 0),
    ],
)
def test_the_same_input_gives_the_same_contract_by_every_way(home, changes, status):
    home.configure().daemon()
    stored = receipt_of(now(minutes=5), currentTask="stored")
    ask(home).write_receipt(stored)
    if "dispatchReceipt" in changes:
        changes = {"dispatchReceipt": receipt_of(now(minutes=1))}
    given = fields(**changes)
    contracts = []
    for adapter, body in BODIES.items():
        request = body(given)
        contracts.append(ask(home).gate(adapter, request))
        for more in ((), ("--local",)):
            ended = home.run(
                "gate", "check", "--adapter", adapter, "--json", *more,
                stdin=json.dumps(request).encode(),
            )  # fmt: skip
            assert (ended.status, ended.err) == (status, "")
            contracts.append(json.loads(ended.out))
        contracts.append(gate.evaluate(adapter, request, find=lambda asked: (
            stored if asked.current_task == "stored" else None
        )))  # fmt: skip
    assert len(contracts) == 12
    first = without_meta(contracts[0])
    assert all(without_meta(each) == first for each in contracts)
    source = first["evaluation"]["receipt"]["source"]
    assert source == {"dispatchReceipt": "input", "currentTask": "store"}.get(
        next(iter(changes), "")
    )


@abreast
def test_a_refusal_the_receipt_that_answers_it_and_the_pass(home, discord):
    home.configure().daemon()
    given = home.path / "input.json"
    given.write_text(json.dumps({"source": fields()}))
    receipt = home.path / "receipt.json"
    receipt.write_text(json.dumps(receipt_of(now())))
    check = ("gate", "check", "--input", str(given))
    refused = home.run(*check)
    assert (refused.status, refused.err) == (20, "")
    assert refused.out.splitlines()[0] == "[APPROVED_PLAN_CONTINUITY_GATE]"
    kept = home.run("gate", "receipt", "write", str(receipt))
    again = home.run("gate", "receipt", "write", str(receipt))
    assert (kept.status, again) == (0, kept)
    passed = home.run(*check)
    assert (passed.status, passed.out, passed.err) == (0, "", "note: pass: dispatched\n")
    folder = home.spool / "state" / "approved-plan-continuity"
    assert [str(path) for path in folder.iterdir()] == [kept.out.strip()]


@abreast
def test_what_cannot_be_decided_has_its_own_exit_status(home, discord):
    home.configure()
    body = json.dumps({"source": fields()}).encode()
    wrong = json.dumps({"source": fields(planId=7, highRiskStop="no")}).encode()
    config = home.path / "gate.json"
    config.write_text('{"enabled": 1, "debug": "x"}')

    def check(*words, stdin=body):
        ended = home.run("gate", "check", *words, stdin=stdin)
        assert ended.out == ""
        return ended.status, ended.err

    status, err = check()
    assert (status, err.splitlines()[-1]) == (69, "hint: start the daemon: ownerreportd run")
    for daemon in (False, True):
        local = () if daemon else ("--local",)
        if daemon:
            home.daemon()
        status, err = check(*local, stdin=wrong)
        assert status == 65
        assert "/source/planId must be a string" in err
        assert "/source/highRiskStop must be true or false" in err
        status, err = check(*local, "--config", str(config))
        assert status == 78
        assert "enabled: must be true or false" in err
        assert "debug: must be true or false" in err
        assert check(*local, stdin=b"{")[0] == 65
        assert check(*local, stdin=b"[]")[0] == 65
        assert check(*local, "--input", "no-such-file")[0] == 66
    assert check("--adapter", "none")[0] == 64


@abreast
def test_a_configuration_of_ones_own_counts_for_that_request(home, discord):
    home.configure(gate={"plan_matchers": ["mine-*"], "debug": True}).daemon()
    skipped = ask(home).gate("manual", fields())
    assert skipped["result"]["reason"] == "plan_not_matched"
    assert len(skipped["evaluation"]["trace"]) == 13
    asked = ask(home).gate("manual", fields(config={"planMatchers": ["approved-plan"]}))
    assert asked["evaluation"]["rule"] == 5
    assert "trace" in asked["evaluation"]
    answer = ask(home).request("POST", "/v1/gate/manaul", b"{}")
    assert (answer.status, answer.json["detail"]) == (404, "there is no adapter 'manaul'")
    noted = home.run(
        "gate", "check", "--adapter", "manual", stdin=json.dumps(fields(taskstate="x")).encode()
    )
    assert noted.err.startswith("note: 'taskstate' is ignored: is taskState meant?\n")
    found = ask(home).request("POST", "/v1/gate/config", b'{"debug": 1, "enabled": true}').json
    assert [each["path"] for each in found["errors"]] == ["debug"]
    found = ask(home).request("POST", "/v1/gate/config", b"{}").json
    assert (found["ok"], found["config"]["planMatchers"]) == (True, ["mine-*"])
    assert ask(home).request("POST", "/v1/gate/config", b"[]").json["ok"] is False


@abreast
def test_the_table_of_the_configuration_file_is_held_to_the_gates_own_rules(home, discord):
    home.configure(gate={"receipt_dir": "../outside"})
    ended = home.run("run")
    assert ended.status == 78
    assert "[gate] receipt_dir: must be absolute" in ended.err


# --- receipts ------------------------------------------------------------------------------------


@abreast
def test_receipts_over_http(home, discord):
    home.configure().daemon()
    client = ask(home)
    for number in range(3):
        at = now(minutes=10 - number)
        client.write_receipt(receipt_of(at, dispatchRunId=f"run-{number}"))
    body = json.dumps(receipt_of(now(minutes=10), dispatchRunId="twice")).encode()
    first, second = (client.request("POST", "/v1/receipts", body) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json["path"] == second.json["path"]
    found = client.receipts(planId=PLAN, limit=2)["receipts"]
    assert [each["receipt"]["dispatchRunId"] for each in found] == ["run-2", "run-1"]
    [one] = client.receipts(dispatchRunId="run-0", since=now(hours=1).isoformat())["receipts"]
    assert one["receipt"]["dispatchRunId"] == "run-0"
    assert client.receipts(planId="none")["receipts"] == []
    with pytest.raises(UsageError, match="since"):
        client.receipts(since="noon")
    with pytest.raises(InvalidGateInputError) as raised:
        client.write_receipt(receipt_of(now(hours=-1), planId=" ", dispatchRunId=7))
    assert [each["pointer"] for each in raised.value.mistakes] == [
        "/planId", "/dispatchRunId", "/dispatchedAt",
    ]  # fmt: skip
    assert len(home.events("receipt.written")) == 4


@abreast
def test_a_file_by_another_hand_counts_and_a_wrong_one_is_told_of(home, discord):
    home.configure().daemon()
    folder = home.spool / "state" / "approved-plan-continuity"
    folder.mkdir()
    assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 5
    (folder / "other.json").write_text(json.dumps(receipt_of(now(minutes=1))))
    (folder / "wrong.json").write_text("{}")
    assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 3
    rehearsal = json.dumps(receipt_of(now(), currentTask="other", dryRun=True)).encode()
    written = home.run("gate", "receipt", "write", stdin=rehearsal)
    assert written.err == "note: it tells of a rehearsal (dry_run), and proves nothing\n"
    listed = home.run("gate", "receipt", "list")
    assert "  [it tells of a rehearsal (dry_run), and proves nothing]\n" in listed.out
    assert "wrong.json is left alone" in listed.err
    assert (folder / "wrong.json").read_text() == "{}"


@abreast
def test_without_a_daemon_a_receipt_is_written_and_counts_when_one_runs(home, discord):
    home.configure()
    receipt = json.dumps(receipt_of(now(minutes=1))).encode()
    ended = home.run("gate", "receipt", "write", stdin=receipt)
    assert ended.status == 0
    assert "there is no daemon" in ended.err
    assert home.run("gate", "receipt", "write", stdin=b'{"planId": 7}').status == 65
    assert "run-17" in home.run("gate", "receipt", "list", "--since", "2h").out
    home.daemon()
    assert ask(home).gate("manual", fields())["result"]["reason"] == "dispatched"
    for words, status in (
        ((receipt,), 0), ((json.dumps(receipt_of(dryRun=True)).encode(),), 20), ((b"{}",), 65),
    ):  # fmt: skip
        assert home.run("gate", "receipt", "check", stdin=words[0]).status == status


@abreast
def test_old_receipts_of_ours_are_removed_at_the_start(home, discord):
    home.configure(gate={"retention_days": 1})
    folder = home.spool / "state" / "approved-plan-continuity"
    for days in (0.5, 2):
        body = json.dumps(receipt_of(now(days=days))).encode()
        path = home.run("gate", "receipt", "write", stdin=body).out.strip()
        os.utime(path, (now(days=days).timestamp(),) * 2)
    (folder / "text.json").write_text("no receipt")
    daemon = home.daemon()
    home.wait(lambda: len(list(folder.iterdir())) == 2, "the old one is removed")
    home.wait(lambda: '"receipt.left_alone"' in daemon.log, "the wrong one is told of")


# --- what was decided ----------------------------------------------------------------------------


@abreast
def test_every_decision_is_an_event_and_can_be_shown(home, discord):
    daemon = home.configure().daemon()
    ask(home).gate("manual", fields())
    ask(home).gate("manual", fields(highRiskStop=True, planId=f"{PLAN}\x1b[2J"))
    ask(home).gate("force-recall", {"wrapperResult": fields(planId="a-draft")})
    daemon.stop()
    told = home.events("gate.decided")
    assert [each["reason"] for each in told] == [
        "missing_auto_next_dispatch", "high_risk_stop", "plan_not_matched",
    ]  # fmt: skip
    assert told[0]["reasons"] == ["missing_auto_next_dispatch", "missing_dispatch_receipt"]
    assert told[0]["who"].startswith("uid ")
    home.daemon()
    listed = home.run("gate", "decisions", "--plan", PLAN)
    [line] = listed.out.splitlines()
    assert "fail missing_auto_next_dispatch approved-plan-1 task-3" in line
    shown = home.run("show", line.split()[0])
    assert "reason: missing_auto_next_dispatch" in shown.out
    assert "rule: 5" in shown.out
    assert "\x1b" not in home.run("gate", "decisions").out
    for group in (("gate",), ("gate", "receipt"), ("gate", "config")):
        assert home.run(*group).out.startswith("Usage: ownerreportd gate")
    missing = home.run("show", "gate-999999")
    assert (missing.status, missing.out) == (66, "")


@abreast
def test_decisions_are_counted_by_reason(home, discord):
    home.configure().daemon()
    for changes in ({}, {}, {"highRiskStop": True}):
        ask(home).gate("manual", fields(**changes))
    ask(home).write_receipt(receipt_of(now()))
    with contextlib.closing(Wire(home.socket)) as wire:
        wire.sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(AssertionError):
            while True:
                wire.more()
    head, _, text = wire.ahead.decode().partition("\r\n\r\n")
    assert "content-type: text/plain; version=" in head.lower()
    for line in (
        'decisions_total{reason="missing_auto_next_dispatch",status="fail"} 2.0',
        'decisions_total{reason="high_risk_stop",status="pass"} 1.0',
        "decisions_dropped_total 0.0",
        "receipts_written_total 1.0",
    ):
        assert f"\nownerreportd_gate_{line}\n" in text


# --- alone ---------------------------------------------------------------------------------------


@abreast
def test_it_answers_while_a_send_hangs(home, discord):
    home.configure(discord.base, destinations={"owner": {"timeout_s": 40}})
    discord.always(NAMED["accept_then_hang"])
    home.drop("a.md", "text")
    home.daemon()
    home.wait(lambda: discord.contents, "the send is under way")
    assert home.status()["state"] == "sending"
    assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 5
    ask(home).write_receipt(receipt_of(now()))
    assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 3
    assert [each["rule"] for each in decisions(home)] == [3, 5]
    assert home.status()["state"] == "sending"


@abreast
def test_it_answers_while_the_lane_is_blocked(home, discord):
    home.configure(discord.base)
    discord.always(NAMED["403"])
    home.drop("a.md", "text")
    home.daemon()
    home.wait_state("blocked", "config")
    assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 5


@abreast
def test_it_answers_while_a_hundred_thousand_files_are_scanned(home, discord):
    home.make_pending()
    pending = home.spool / "pending"
    for number in range(100_000):
        (pending / f"{number:06}.md").touch()
    home.configure()
    home.daemon(ready=False)
    home.wait(lambda: home.status()["state"] != "unreachable", "it answers")

    def scanning():
        return not home.ledger("SELECT 1 FROM reports LIMIT 1")

    answers = 0
    while scanning() and answers < 20:
        assert ask(home).gate("manual", fields())["evaluation"]["rule"] == 5
        answers += 1
    assert answers == 20


def decisions(home):
    return ask(home).decisions()["decisions"]


# --- any JSON at all -----------------------------------------------------------------------------

NAMES = sorted(
    {*fields(), *receipt_of(), "source", "config", "lookup", "wrapperResult", "since", "type",
     "autoChainPlanResult", "receiptDir", "plan", "id", "planMatchers", "dryRun"}
)  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(["../../../outside", "/etc/x", "\0", "\ud800", "2026-03-01T12:00:00Z", PLAN]),
    st.text(max_size=10),
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), TEXT), inner, max_size=6),
    ),
    max_leaves=15,
)
CHANGED = st.dictionaries(st.sampled_from(NAMES), ANY, max_size=3)
BODIES_OF = {
    "/v1/gate/manual": CHANGED.map(lambda changes: fields(**changes)),
    "/v1/gate/generic-preflight": CHANGED.map(lambda changes: {"source": fields(**changes)}),
    "/v1/gate/force-recall": CHANGED.map(lambda changes: {"wrapperResult": fields(**changes)}),
    "/v1/gate/config": CHANGED.map(lambda changes: {**gate.default_config(), **changes}),
    "/v1/receipts": CHANGED.map(lambda changes: receipt_of(now(), **changes)),
}


@abreast
def test_no_json_is_answered_500_or_leaves_a_file_outside(home, discord):
    daemon = home.configure().daemon()
    folder = home.spool / "state" / "approved-plan-continuity"
    before = {path for path in home.path.rglob("*") if path.parent != folder}
    with contextlib.closing(Wire(home.socket)) as wire:

        @settings(max_examples=400, deadline=None, database=None)
        @given(st.sampled_from(sorted(BODIES_OF)), st.data())
        def ask_any(path, data):
            body = data.draw(st.one_of(ANY, BODIES_OF[path]))
            wire.sock.sendall(wire.request(path, body))
            status, answer = wire.answer()
            assert status in (200, 201, 422), (path, body, answer)
            if status == 422:
                assert all(each["message"] for each in answer["errors"])
            elif "block" in answer:
                assert len(answer["block"]) <= gate.BLOCK_CHARS_MAX
            elif "path" in answer:
                assert answer["path"].startswith(f"{folder}/")

        ask_any()
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    after = {path for path in home.path.rglob("*") if path.parent != folder}
    assert {path.name for path in after - before} <= {
        folder.name, "ledger.sqlite3-wal", "ledger.sqlite3-shm",
    }  # fmt: skip
