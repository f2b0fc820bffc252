import asyncio
import base64
import io
import json
import logging
import os
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from ownerreportd import log
from ownerreportd.log import MARK, Redactor

TOKEN = "MTk4NjIy.Cl2FMQ.ZnCj/1XVW+7wzluZ7Bo"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def start():
    """Set logging up on a stream in memory; gives the stream."""

    def start(stream=None, **keywords):
        stream = stream or io.StringIO()
        usual = {"level": "info", "format": "auto", "file": "", "secrets": [TOKEN]}
        log.set_up(**{**usual, **keywords}, stream=stream)
        return stream

    before = logging.getLogger().level
    yield start
    log.shut_down()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().setLevel(before)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_stable_keys_in_order(start):
    stream = start()
    structlog.get_logger().info("report sent", report="01JD", attempts=2, parts=["a"], name="報告")
    (line,) = lines(stream)
    assert list(line) == ["at", "level", "event", "report", "attempts", "parts", "name"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["at"])
    assert line["attempts"] == 2
    assert "報告" in stream.getvalue()


def test_on_a_terminal_a_line_is_for_people_and_in_colour(start, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = start(Terminal())
    structlog.get_logger().warning("queue blocked", code="config", since="5 minutes ago")
    text = stream.getvalue()
    assert text.endswith('queue blocked code=config since="5 minutes ago"\n')
    assert "\x1b[33mwarning\x1b[0m" in text


def test_no_color_is_honoured(start, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = start(Terminal())
    structlog.get_logger().warning("x")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(("how", "is_json"), [("auto", True), ("json", True), ("pretty", False)])
def test_elsewhere_the_format_decides(start, how, is_json):
    stream = start(format=how)
    structlog.get_logger().info("x")
    assert stream.getvalue().startswith("{") is is_json
    assert "\x1b" not in stream.getvalue()


def test_json_can_be_had_on_a_terminal(start):
    stream = start(Terminal(), format="json")
    structlog.get_logger().info("x")
    assert lines(stream)[0]["event"] == "x"


def test_the_level_cuts_off_what_is_below(start):
    stream = start(level="warning")
    logger = structlog.get_logger()
    logger.info("no")
    logger.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.access", "watchfiles.main"])
def test_noisy_libraries_speak_only_from_warning_and_through_the_same_pipeline(start, name):
    stream = start(level="debug")
    logging.getLogger(name).info("GET https://example.org/%s", TOKEN)
    logging.getLogger(name).warning("failed: https://example.org/%s", TOKEN)
    (line,) = lines(stream)
    assert line["event"] == f"failed: https://example.org/{MARK}"
    assert (line["level"], line["logger"]) == ("warning", name)


def test_the_standard_librarys_loggers_come_out_alike(start):
    stream = start()
    logging.getLogger("some.plugin").info("%d of %s", 3, {"a": 1})
    assert lines(stream)[0]["event"] == "3 of {'a': 1}"


def test_a_traceback_is_there_without_locals_and_without_secrets(start):
    stream = start()
    password_in_a_local = "hunter22"

    def fail(secret):
        raise RuntimeError(f"refused {secret}")

    for logger in (structlog.get_logger(), logging.getLogger("plugin")):
        try:
            fail(TOKEN)
        except RuntimeError:
            logger.exception("channel bug")
    first, second = lines(stream)
    for line in (first, second):
        assert f"RuntimeError: refused {MARK}" in line["exception"]
        assert "in fail" in line["exception"]
        assert password_in_a_local not in line["exception"].replace('"hunter22"', "")
        assert list(line)[-1] == "exception"


def test_a_value_cannot_forge_a_line_or_move_the_cursor(start):
    evil = "x\n2026-11-23T00:00:00Z error forged\r\x1b[2J\u202e\u2028\x85\udc80"
    for how in ("json", "pretty"):
        stream = start(format=how)
        structlog.get_logger().info(evil, **{"a\nb": evil, "nested": {evil: [evil]}})
        text = stream.getvalue()
        assert text.count("\n") == 1
        assert text.rstrip("\n").isprintable()
        text.encode("utf-8")


def test_json_keeps_odd_characters_exactly(start):
    stream = start()
    structlog.get_logger().info("x", odd="a\n\u202e\x85\udc80é")
    assert lines(stream)[0]["odd"] == "a\n\u202e\x85\udc80é"


def test_a_traceback_for_people_is_indented_so_that_its_text_forges_nothing(start):
    stream = start(format="pretty")

    def fail():
        raise RuntimeError("x\n2026-11-23T00:00:00Z error forged\x1b")

    try:
        fail()
    except RuntimeError:
        structlog.get_logger().exception("bug")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("bug")
    assert rest
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_any_value_can_be_logged(start):
    class Odd:
        def __str__(self):
            return f"odd {TOKEN}"

    deep = [[[[[[[[[[TOKEN]]]]]]]]]]
    stream = start()
    structlog.get_logger().info(
        "x", path=Path("/a"), odd=Odd(), raw=b"\xff", bad=float("nan"), some={1}, deep=deep, level=3
    )
    (line,) = lines(stream)
    assert line["path"] == "/a"
    assert line["odd"] == f"odd {MARK}"
    assert (line["raw"], line["bad"], line["some"]) == ("\\xff", "nan", [1])
    assert TOKEN not in stream.getvalue()
    assert line["level"] == "info"


def test_a_value_that_cannot_be_shown_stops_nothing(start, tmp_path):
    class Bad:
        def __str__(self):
            raise RuntimeError("no")

    stream = start(file=str(tmp_path / "log"))
    structlog.get_logger().info("x", bad=Bad(), good=1)
    log.shut_down()
    (line,) = lines(stream)
    assert (line["bad"], line["good"]) == ("<Bad that cannot be shown>", 1)
    assert written(tmp_path / "log") == [line]


def test_a_stream_that_is_gone_stops_nothing(start, capsys):
    stream = start()
    stream.close()
    structlog.get_logger().info("x", token=TOKEN)
    assert capsys.readouterr().err == ""


def test_secrets_that_are_loaded_later_are_removed_too(start):
    stream = io.StringIO()
    redactor = log.set_up(level="info", format="json", file="", secrets=[], stream=stream)
    redactor.add(["brand-new"])
    structlog.get_logger().info("brand-new", token="brand-new")
    assert (lines(stream)[0]["event"], lines(stream)[0]["token"]) == (MARK, MARK)
    log.shut_down()


def test_setting_up_again_replaces_what_was_there(start):
    logger = structlog.get_logger()
    first = start()
    logger.info("one")
    second = start(level="error")
    logger.info("two")
    logger.error("three")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["three"]


def test_bound_context_is_on_the_line(start):
    stream = start()
    structlog.contextvars.bind_contextvars(report="01JD")
    structlog.get_logger().info("x")
    assert lines(stream)[0]["report"] == "01JD"


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_has_every_line_as_json_whatever_the_stream_has(start, tmp_path):
    path = tmp_path / "log"
    start(Terminal(), file=str(path))
    structlog.get_logger().info("x", token=TOKEN)
    logging.getLogger("plugin").warning("y")
    log.shut_down()
    assert [(line["event"], line.get("token")) for line in written(path)] == [
        ("x", MARK),
        ("y", None),
    ]
    assert path.stat().st_mode & 0o007 == 0


def wait_for(path, count):
    """Wait until the writing thread has come so far; the file system is its only voice."""
    for _ in range(200_000):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        os.sched_yield()
    pytest.fail(f"{path} has not got {count} lines")


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_the_file_is_opened_anew_after_rotation(start, tmp_path, how):
    path, old = tmp_path / "log", tmp_path / "log.1"
    start(file=str(path))
    structlog.get_logger().info("one")
    wait_for(path, 1)
    if how == "removed":
        path.unlink()
    else:
        path.rename(old)
    if how == "replaced":
        path.touch()
    structlog.get_logger().info("two")
    log.shut_down()
    assert [line["event"] for line in written(path)] == ["two"]


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(start, tmp_path):
    folder = tmp_path / "later"
    stream = start(file=str(folder / "log"))
    for number in range(3):
        structlog.get_logger().info("lost", number=number)
    while not [line for line in lines(stream) if line["level"] == "error"]:
        os.sched_yield()
    log.shut_down()
    errors = [line["event"] for line in lines(stream) if line["level"] == "error"]
    assert errors == [
        f"the log file {folder}/log cannot be written: No such file or directory; going on"
    ]


def test_lines_that_were_lost_are_counted_when_the_file_can_be_written_again(start, tmp_path):
    folder = tmp_path / "later"
    stream = start(file=str(folder / "log"))
    structlog.get_logger().info("lost")
    while "cannot be written" not in stream.getvalue():
        os.sched_yield()
    folder.mkdir()
    structlog.get_logger().info("kept")
    log.shut_down()
    assert [line["event"] for line in written(folder / "log")] == ["kept"]
    assert lines(stream)[-1]["event"] == f"the log file {folder}/log lacks 1 lines"


def test_a_full_disk_is_said_and_stops_nothing(start):
    stream = start(file="/dev/full")
    structlog.get_logger().info("x")
    log.shut_down()
    events = [line["event"] for line in lines(stream)]
    assert "the log file /dev/full cannot be written: No space left on device; going on" in events


def test_a_fifo_that_nobody_reads_makes_nobody_wait(start, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    stream = start(file=str(tmp_path / "fifo"))
    structlog.get_logger().info("x")
    log.shut_down()
    assert "cannot be written" in stream.getvalue()


def test_whoever_logs_in_the_event_loop_does_not_wait_for_the_disk(start, tmp_path):
    from blockbuster import blockbuster_ctx

    start(file=str(tmp_path / "log"))

    async def speak():
        structlog.get_logger().info("x")

    with blockbuster_ctx():
        asyncio.run(speak())
    log.shut_down()
    assert [line["event"] for line in written(tmp_path / "log")] == ["x"]


FORMS = {
    "as it is": TOKEN,
    "in a URL": quote(TOKEN, safe=""),
    "in a URL, lower case": quote(TOKEN, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "in a path": quote(TOKEN),
    "in a form": quote_plus(TOKEN),
    "in JSON": json.dumps(TOKEN),
    "in PHP's JSON": json.dumps(TOKEN).replace("/", r"\/"),
    "in base64": base64.b64encode(TOKEN.encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("="),
    "in a header": base64.b64encode(f"user:{TOKEN}".encode()).decode(),
    "in another header": base64.b64encode(f"ab:{TOKEN}:c".encode()).decode(),
    "in a third header": base64.b64encode(f"abcd{TOKEN}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_is_found_in_every_form(form):
    shown = Redactor([TOKEN])(f"before {form} after")
    assert MARK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for n in range(len(TOKEN) - 8):
        assert form[n + 4 : n + 12] not in shown or form[n + 4 : n + 12] in "before  after"


def test_json_that_is_no_ascii_and_holds_quotes_is_found_in_json():
    secret = 'a"b\\密碼\n'
    redact = Redactor([secret])
    assert redact(json.dumps(f"x{secret}y")) == f'"x{MARK}y"'
    assert redact(json.dumps(f"x{secret}y", ensure_ascii=False)) == f'"x{MARK}y"'


def test_nested_values_keep_their_shape():
    value = {"a": [TOKEN, 1, None, True, 2.5], TOKEN: ("x", {"b": f"Bot {TOKEN}"})}
    shown = {"a": [MARK, 1, None, True, 2.5], MARK: ("x", {"b": f"Bot {MARK}"})}
    assert Redactor([TOKEN])(value) == shown
    assert value["a"][0] == TOKEN


def test_of_a_secret_url_the_path_alone_is_found_too():
    redact = Redactor(
        ["https://example.org/api/webhooks/123456789012345678/s3cr3t-t0ken-0f-30-chars"]
    )
    assert "s3cr3t" not in redact(
        "POST /api/webhooks/123456789012345678/s3cr3t-t0ken-0f-30-chars?wait=1"
    )
    assert "s3cr3t" not in redact("token s3cr3t-t0ken-0f-30-chars")
    assert redact("example.org") == "example.org"


def test_the_longer_of_two_secrets_goes_first():
    assert Redactor(["abcd", "abcdefgh"])("abcdefgh abcd") == f"{MARK} {MARK}"


def test_a_short_secret_does_not_destroy_the_text():
    redact = Redactor(["ab", "1", ""])
    assert redact("about 21 tabs, token=ab") == f"about 21 tabs, token={MARK}"
    assert redact("ab") == MARK


def test_without_secrets_nothing_changes():
    value = {"a": ["x"]}
    assert Redactor()(value) is value
    assert Redactor(["", " \n"])("a b") == "a b"


@given(secret=st.text(min_size=4), before=st.text(), after=st.text())
def test_no_secret_of_four_characters_is_left_anywhere(secret, before, after):
    assume(secret.strip())
    assume(secret not in MARK and MARK not in secret)
    shown = Redactor([secret])(before + secret + after)
    joins = {MARK[i:] for i in range(len(MARK))} | {MARK[:i] for i in range(len(MARK))}
    assert secret not in shown or any(join and join in secret for join in joins)
