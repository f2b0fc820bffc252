"""The exec channel against programs that do what programs do."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from doubles.exec import ExecDouble
from doubles.programs import Folder
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ownerreportd.channels import exec_answers as answers
from ownerreportd.channels.exec import OUTPUT_BYTES_MAX, ExecChannel, ExecOptions
from ownerreportd.core.channel import Part, Problem, measure
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)
from ownerreportd.core.report import Report
from ownerreportd.render.dialects import MARKDOWN
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference
from ownerreportd.testing import Bench, channel_contract

ROOT = Path(__file__).parents[2]
GOOD = sorted((ROOT / "tests" / "data" / "good").glob("*.md"))
KEY = "abcdefghijklmnopqrstuv23"
SINCE = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATEST_S = 30.0
PAGER_TOKEN = "very-secret"


def part(text="hello 完成", key=KEY, form="plain"):
    return Part(1, 1, text.encode(), f"{text} (may be a duplicate)".encode(), key, form)


def make(target, *, timeout_s=LATEST_S, **options):
    return ExecChannel(
        name="owner", target=str(target), options=ExecOptions(**options), secrets={},
        language="en", timeout_s=timeout_s,
    )  # fmt: skip


@asynccontextmanager
async def exec_bench():
    async with ExecDouble() as double:
        options = {k: v for k, v in double.destination.items() if k not in {"target", "timeout_s"}}

        async def arrange(situation):
            if situation != "drops":
                return await double.arrange(situation)
            await double.arrange("accepts")
            double.takes = True
            double.says = {"output": "", "status": 1, "errors": f"401 for {PAGER_TOKEN}"}
            return True

        # The channel has no secret, but its program may have one in its environment, and tell it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PAGER_TOKEN", PAGER_TOKEN)
            # Short enough for a silent program, long enough to start one on a busy machine.
            channel = make(double.program, timeout_s=4, environment=("PAGER_TOKEN",), **options)
            yield Bench(channel, arrange, secrets=(PAGER_TOKEN,))


TestExec = channel_contract(exec_bench)


@pytest.fixture
async def double():
    async with ExecDouble() as found:
        yield found


@pytest.fixture
def channel(double):
    return make(double.program)


@pytest.fixture
def folder():
    with Folder() as found:
        yield found


# --- what it is asked ---------------------------------------------------------------------------


async def test_the_part_comes_on_standard_input_and_the_answer_is_its_receipt(double, channel):
    assert await channel.send(part()) == Confirmed(Receipt(f"m-{KEY}"))
    (seen,) = double.seen
    assert seen["asked"] == {
        "schema": "ownerreportd.exec/1", "do": "send", "key": KEY, "number": 1, "count": 1,
        "may_be_duplicate": False, "text": "hello 完成",
    }  # fmt: skip
    await channel.send(part(form="marked"))
    assert double.seen[1]["asked"]["may_be_duplicate"] is True
    assert double.seen[1]["asked"]["text"] == "hello 完成 (may be a duplicate)"


async def test_it_gets_its_arguments_and_only_the_environment_that_is_named(double, monkeypatch):
    monkeypatch.setenv("WANTED", "1")
    monkeypatch.setenv("OTHER", "2")
    arguments = ("--to", "$HOME; rm -rf x", "")
    channel = make(double.program, arguments=arguments, environment=("WANTED", "UNSET"))
    assert isinstance(await channel.send(part()), Confirmed)
    (seen,) = double.seen
    assert seen["arguments"] == list(arguments)
    assert seen["environment"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own
    assert seen["environment"] == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "WANTED": "1",
    }  # fmt: skip


async def test_look_and_check_are_asked_only_where_the_program_answers_them(double, channel):
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Unknown)
    assert await channel.check() == []
    assert double.seen == []
    asked = make(double.program, read_back=True)
    assert await asked.look(part(), SINCE, frozenset({"b", "a"})) == Absent()
    assert double.seen[0]["asked"] == {
        "schema": "ownerreportd.exec/1", "do": "look", "key": KEY, "number": 1, "count": 1,
        "texts": ["hello 完成", "hello 完成 (may be a duplicate)"],
        "since": "2026-11-22T12:00:00+00:00", "known": ["a", "b"],
    }  # fmt: skip
    await asked.send(part())
    assert await asked.look(part(), SINCE, frozenset()) == Found(Receipt(f"m-{KEY}"))
    assert await asked.check() == []
    assert double.seen[-1]["asked"] == {"schema": "ownerreportd.exec/1", "do": "check"}


# --- what it answers ----------------------------------------------------------------------------

REJECTED = {"outcome": "rejected", "code": "e5", "scope": "report", "detail": "d", "hint": "h"}


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"outcome": "confirmed", "id": "1"}, Confirmed(Receipt("1"))),
        (
            {"outcome": "confirmed", "id": "1", "link": "https://x.org/1", "note": "n",
             "proof": "accepted", "pause_s": 3},
            Confirmed(Receipt("1", "https://x.org/1", "accepted", "n"), 3.0),
        ),
        ({"outcome": "confirmed", "id": "1", "pause_s": 1e9}, Confirmed(Receipt("1"), 86_400.0)),
        ({"outcome": "throttled", "retry_after_s": 7}, Throttled(7.0)),
        ({"outcome": "throttled", "retry_after_s": 1e9, "detail": "x"}, Throttled(86_400.0, "x")),
        ({"outcome": "not_sent", "detail": "no route"}, NotSent("no route")),
        ({"outcome": "in_doubt", "detail": "who knows"}, InDoubt("who knows")),
        (REJECTED, Rejected("exec.e5", "report", "d", "h")),
        ({**REJECTED, "scope": "config"}, Rejected("exec.e5", "config", "d", "h")),
    ],
)  # fmt: skip
async def test_every_outcome_can_be_said(double, channel, said, outcome):
    double.says = said
    assert await channel.send(part()) == outcome


@pytest.mark.parametrize(
    "output",
    [
        "", "\n", "ok", "[]", "null", '"confirmed"', "{}", '{"outcome": "confirmed"}',
        '{"outcome": "sent", "id": "1"}', '{"id": "1"}', '{"outcome": "confirmed", "id": ""}',
        '{"outcome": "confirmed", "id": 1}', '{"outcome": "confirmed", "id": null}',
        '{"outcome": "confirmed", "id": "a\\nb"}', '{"outcome": "confirmed", "id": "\\ud800"}',
        '{"outcome": "confirmed", "id": "1", "extra": 1}',
        '{"outcome": "confirmed", "id": "1", "proof": "sure"}',
        '{"outcome": "confirmed", "id": "1", "pause_s": -1}',
        '{"outcome": "confirmed", "id": "1", "pause_s": NaN}',
        '{"outcome": "confirmed", "id": "1", "pause_s": "1"}',
        '{"outcome": "confirmed", "id": "1"} {"outcome": "confirmed", "id": "1"}',
        '{"outcome": "confirmed", "id": "1"} more', 'Sent!\n{"outcome": "confirmed", "id": "1"}',
        '{"outcome": "rejected", "outcome": "confirmed", "id": "1"}',
        '{"outcome": "confirmed", "id": "1", "id": "2"}',
        '{"outcome": "throttled"}', '{"outcome": "throttled", "retry_after_s": Infinity}',
        '{"outcome": "throttled", "retry_after_s": true}',
        '{"outcome": "not_sent"}', '{"outcome": "in_doubt"}',
        '{"outcome": "rejected", "code": "x", "scope": "report", "detail": "d"}',
        '{"outcome": "rejected", "code": "a b", "scope": "report", "detail": "d", "hint": "h"}',
        '{"outcome": "rejected", "code": "x", "scope": "both", "detail": "d", "hint": "h"}',
        '{"outcome": "found", "id": "1"}', '{"outcome": "absent"}', '{"problems": []}',
        "[" * 100_000, "1" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_answer_is_none(output):
    with pytest.raises(answers.AnswerError) as caught:
        answers.sent(output.encode(), "confirmed")
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=200))
def test_rubbish_is_never_an_answer(output):
    with pytest.raises(answers.AnswerError):
        answers.sent(output, "confirmed")


YES = json.dumps({"outcome": "confirmed", "id": "1"})


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"output": ""}, "it wrote nothing"),
        ({"output": "done\n"}, "it wrote no JSON object alone"),
        ({"output": YES, "status": 1}, "it ended with status 1"),
        ({"output": YES, "status": 1, "errors": "a\nwhy  so\n"}, "it ended with status 1: why so"),
        ({"output": YES, "signal": 9}, "it was killed by SIGKILL"),
        ({"output": "", "signal": 11}, "it was killed by SIGSEGV"),
        ({"output": YES + " " * OUTPUT_BYTES_MAX}, f"it wrote more than {OUTPUT_BYTES_MAX} bytes"),
        ({"output": '{"outcome": "sent", "id": "1"}'}, "its answer is none: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("takes", [True, False])
async def test_every_other_end_is_a_doubt(double, channel, said, detail, takes):
    double.says, double.takes = said, takes
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert outcome.detail.startswith(detail)
    assert len(double.texts) == takes


async def test_an_answer_is_worth_nothing_before_the_program_has_ended(double):
    double.says = {"output": YES, "sleep_s": 1000}
    outcome = await make(double.program, timeout_s=2).send(part())
    assert outcome == InDoubt("it had not ended within 2 s")


async def test_what_it_says_on_standard_error_shows_no_value_of_its_environment(
    double, monkeypatch
):
    monkeypatch.setenv("PAGER_TOKEN", PAGER_TOKEN)
    double.says = {"output": "", "status": 1, "errors": f"401 for {PAGER_TOKEN}"}
    outcome = await make(double.program, environment=("PAGER_TOKEN",)).send(part())
    assert outcome == InDoubt("it ended with status 1: 401 for [secret]")


async def test_a_proof_is_never_better_than_the_destination_says(double):
    channel = make(double.program, proof="accepted", read_back=True)
    assert channel.capabilities.proof == "accepted"
    double.says = {"outcome": "confirmed", "id": "1", "proof": "confirmed"}
    outcome = await channel.send(part())
    assert outcome.receipt.proof == "accepted"


def test_every_result_of_a_look_can_be_said():
    def looked(**said):
        return answers.looked(json.dumps(said).encode(), "confirmed")

    assert looked(outcome="found", id="1", note="n") == Found(Receipt("1", note="n"))
    assert looked(outcome="absent", detail="d") == Absent("d")
    assert looked(outcome="unknown", detail="d") == Unknown("d")
    more = looked(outcome="unknown", detail="d", transient=True, retry_after_s=1e9)
    assert more == Unknown("d", transient=True, retry_after_s=86_400.0)
    for wrong in ({"outcome": "confirmed", "id": "1"}, {"outcome": "found"}, {"problems": []}):
        with pytest.raises(answers.AnswerError):
            looked(**wrong)


def test_problems_are_told_under_the_channels_name_but_for_unreachable():
    each = {"detail": "d", "hint": "h"}
    output = json.dumps({"problems": [{"code": "x", **each}, {"code": "unreachable", **each}]})
    assert answers.checked(output.encode()) == [
        Problem("exec.x", "d", "h"), Problem("unreachable", "d", "h"),
    ]  # fmt: skip
    for wrong in (b"[]", b"{}", b'{"problems": [{}]}', b'{"problems": [], "more": 1}', b""):
        with pytest.raises(answers.AnswerError):
            answers.checked(wrong)


async def test_a_look_or_check_that_fails_proves_nothing(folder):
    channel = make(folder.program("fails", "raise SystemExit('no')"), read_back=True)
    look = await channel.look(part(), SINCE, frozenset())
    assert look == Unknown("it ended with status 1: no", transient=True)
    (found,) = await channel.check()
    assert found.code == "exec.no_answer"
    assert "no" in found.detail


# --- what never ran -----------------------------------------------------------------------------


def absent(path):
    path.unlink()


def is_text(path):
    path.write_text("no program")


def without_interpreter(path):
    path.write_text("#!/no/such/interpreter\n")


def not_executable(path):
    path.chmod(0o644)


def world_writable(path):
    path.chmod(0o757)


@pytest.mark.parametrize("read_back", [True, False])
@pytest.mark.parametrize(
    ("spoil", "code", "hint"),
    [
        (absent, "exec.ENOENT", "or set target to"), (is_text, "exec.ENOEXEC", "first line"),
        (without_interpreter, "exec.ENOENT", "first line"),
        (not_executable, "exec.EACCES", "chmod +x"),
        (world_writable, "exec.writable", "chmod go-w"),
    ],
)  # fmt: skip
async def test_what_was_not_started_is_the_configurations_fault(
    folder, spoil, code, hint, read_back
):
    program = folder.program("x", "print('never')")
    channel = make(program, read_back=read_back)
    spoil(program)
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (code, "config")
    assert hint in outcome.hint
    found = await channel.check()
    if read_back or spoil in {absent, not_executable, world_writable}:
        assert [each.code for each in found] == [code]
        assert hint in found[0].hint
    look = await channel.look(part(), SINCE, frozenset())
    assert isinstance(look, Unknown)
    assert look.transient == read_back


async def test_a_program_that_is_just_being_replaced_was_not_sent(folder):
    program = folder.path / "busy"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with program.open("ab"):
        assert isinstance(await make(program).send(part()), NotSent)


# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["", "deliver", "./deliver", "bin/deliver", "/x\0", "/bin/"])
def test_only_an_absolute_path_is_a_target(target):
    with pytest.raises(ConfigError) as caught:
        ExecChannel.check_target(target)
    assert "absolute" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"environment": ["A=b"]}, {"environment": ["A\n"]}, {"environment": [""]},
        {"arguments": ["\0"]}, {"text_max": 10},
        {"dedup_window_s": -1}, {"dedup_window_s": float("nan")}, {"text_unit": "words"},
        {"proof": "sure"}, {"shell": True},
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(ValidationError):
        ExecOptions(**options)


def test_what_the_program_can_do_is_said_by_the_options():
    found = make("/bin/true", text_max=500, text_unit="utf16", dedup_window_s=60, read_back=True)
    assert found.capabilities == replace(
        ExecChannel.capabilities,
        text_max=500, text_unit="utf16", dedup_window_s=60, read_back=True,
    )  # fmt: skip


# --- rendering ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "options", [{}, {"text_max": 300, "text_unit": "bytes", "tables": False}, {"text_max": 1000}]
)
def test_every_good_report_comes_whole(path, options):
    report = read_report(path.read_bytes()).report
    texts = [each.plain.decode() for each in make("/bin/true", **options).render(report)]
    dialect = replace(MARKDOWN, tables=options.get("tables", True))
    assert difference(report.body, texts, report, dialect=dialect) is None
    if options:
        unit = options.get("text_unit", "code_points")
        assert max(measure(text, unit) for text in texts) <= options["text_max"]
    else:
        assert len(texts) == 1


@given(
    st.text(st.sampled_from("ab \n`#|-*\U0001f600é完"), max_size=900),
    st.sampled_from(["code_points", "utf16", "bytes"]),
)
def test_no_part_is_over_the_limit_in_its_own_unit(body, unit):
    channel = make("/bin/true", text_max=200, text_unit=unit)
    for each in channel.render(Report("r", body)):
        assert measure(each.plain.decode(), unit) <= 200
        assert measure(each.marked.decode(), unit) <= 200


# --- the page -----------------------------------------------------------------------------------


async def test_the_program_on_the_page_delivers_as_it_stands(folder):
    page = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
    text = re.search(r"```python\n(#!.*?)```", page.partition("\n## exec\n")[2], re.DOTALL)[1]
    assert len(text.splitlines()) <= 11
    program = folder.path / "to-a-file"
    program.write_text(text.replace("/var/lib/my-reports", str(folder.path / "reports")))
    program.chmod(0o755)
    channel = make(program, dedup_window_s=86_400)
    reports = folder.path / "reports"
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt), "there is no folder yet"
    reports.mkdir()
    assert await channel.send(part()) == Confirmed(Receipt(KEY))
    assert await channel.send(part(form="marked")) == Confirmed(Receipt(KEY))
    assert [(path.name, path.read_text()) for path in reports.iterdir()] == [
        (f"{KEY}.md", "hello 完成"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "ownerreportd.exec/2"}, {"do": "ping"}, {"key": "short"}, {"number": 2},
        {"text": " "}, {"more": 1},
    ],
)  # fmt: skip
async def test_the_double_takes_no_request_that_is_none(double, change):
    asked = json.loads(answers.send_request(part())) | change
    done = await asyncio.to_thread(
        subprocess.run, [double.program], input=json.dumps(asked).encode(), capture_output=True
    )
    assert done.returncode == 64
    assert double.texts == []
