"""The apprise channel: real Apprise in its process, against a receiver on loopback."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.apprise import AppriseDouble
from doubles.faults import NAMED
from doubles.wire import Fault
from hypothesis import given
from hypothesis import strategies as st

from ownerreportd.channels.apprise import AppriseChannel, AppriseOptions, defused
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Unknown
from ownerreportd.core.report import Report
from ownerreportd.render.dialects import Dialect
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference
from ownerreportd.testing import Bench, channel_contract

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
KEY = "abcdefghijklmnopqrstuv23"
DIALECT = Dialect(name="apprise", tables=False)


def make(url, *, timeout_s=20.0, target="", **options):
    return AppriseChannel(
        name="owner", target=target, options=AppriseOptions(**options), secrets={"url": url},
        language="en", timeout_s=timeout_s,
    )  # fmt: skip


def part(text="hello 完成", form="plain"):
    return Part(1, 1, text.encode(), f"{text} (may be a duplicate)".encode(), KEY, form)


@asynccontextmanager
async def apprise_bench():
    async with AppriseDouble() as double:
        yield Bench(make(double.url, timeout_s=8), double.arrange, secrets=(double.url,))


TestApprise = channel_contract(apprise_bench)


@pytest.fixture
async def receiver():
    async with AppriseDouble() as double:
        yield double


@pytest.fixture
def channel(receiver):
    return make(receiver.url)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a package in the place of Apprise, for what the real one does not do on demand."""

    def put(code):
        (tmp_path / "apprise").mkdir()
        (tmp_path / "apprise" / "__init__.py").write_text(STAND_IN + code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return put


STAND_IN = """
import os, sys, time
class NotifyFormat:
    MARKDOWN, HTML = "markdown", "html"
class AppriseAsset:
    def __init__(self, **options): pass
class Service:
    service_name, body_maxlen, body_max_line_count = "Stand-in", 5000, 0
    def resolve_format(self, wanted): return wanted
    def notify(self, body, body_format): return True
class Apprise:
    @staticmethod
    def instantiate(url, asset): return Service()
"""


CLAIMS = """
def notify(*args, **options):
    print('{"result": true}')
    return False
Service.notify = notify
"""
CHATTERS = """
def notify(*args, **options):
    os.write(1, b"nonsense")
    return True
Service.notify = notify
"""

# --- outcomes ---------------------------------------------------------------------------------


async def test_a_yes_is_accepted_and_no_more(receiver, channel):
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed), outcome
    assert (outcome.receipt.id, outcome.receipt.proof) == (KEY, "accepted")
    assert outcome.receipt.note == "accepted, as Apprise says, by JSON"
    assert receiver.texts == ["hello 完成"]
    assert await channel.send(part(form="marked"))
    assert receiver.texts[1] == "hello 完成 (may be a duplicate)"


@pytest.mark.parametrize("name", ["404", "429", "500", "accept_then_500", "accept_then_drop"])
async def test_a_no_proves_nothing_and_is_not_tried_again(receiver, channel, name):
    receiver.fault = NAMED[name]
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert outcome.detail
    assert len(receiver.wire.requests) == 1


async def test_a_service_that_refuses_connections_is_in_doubt_since_apprise_does_not_say(
    receiver, channel
):
    receiver.wire.refuse()
    assert isinstance(await channel.send(part()), InDoubt)


async def test_what_had_not_begun_at_the_deadline_is_not_sent(receiver):
    outcome = await make(receiver.url, timeout_s=0.01).send(part())
    assert isinstance(outcome, NotSent), outcome
    assert receiver.wire.requests == []


async def test_a_process_that_cannot_be_started_is_not_sent(channel, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    outcome = await channel.send(part())
    assert isinstance(outcome, NotSent)
    assert "No such file" in outcome.detail


def _parent_of(process):
    try:
        status = (process / "status").read_text()
    except OSError:
        return None
    return int(status.partition("PPid:")[2].split()[0])


def processes_with(word, *, parent=None):
    """Those whose command line has it; another worker's tests have theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line and (parent is None or _parent_of(path) == parent):
            found.append(path)
    return found


async def test_at_the_deadline_the_whole_group_is_killed_and_nothing_goes_on(stand_in, tmp_path):
    mark = f"sleeper-of-{os.getpid()}"
    stand_in(
        "def notify(self, body, body_format):\n"
        "    import subprocess\n"
        f"    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{mark}'])\n"
        "    time.sleep(60)\n"
        "Service.notify = notify\n"
    )
    channel = make("json://127.0.0.1/", timeout_s=3)
    sending = asyncio.ensure_future(channel.send(part()))
    while not processes_with(mark):
        assert not sending.done()
        await asyncio.sleep(0.01)
    assert isinstance(await sending, InDoubt)
    while any(not _is_dead(path) for path in processes_with(mark)):
        await asyncio.sleep(0.01)


def _is_dead(path):
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_the_url_is_in_no_argument_and_no_variable(receiver, channel):
    receiver.fault = NAMED["hang"]
    sending = asyncio.ensure_future(channel.send(part()))
    while not receiver.wire.requests:
        assert not sending.done()
        await asyncio.sleep(0.01)
    (process,) = processes_with("apprise_child", parent=os.getpid())
    secret = b"secret-path-of-tests"
    assert secret not in (process / "cmdline").read_bytes()
    assert secret not in (process / "environ").read_bytes()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    while not _is_dead(process):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("raise ImportError", Rejected),
        ("os._exit(3)", NotSent),
        ("raise RuntimeError", NotSent),
        ("def boom(*a, **k): os._exit(0)\nService.notify = boom", InDoubt),
        ("def boom(*a, **k): raise RuntimeError\nService.notify = boom", InDoubt),
        ("def boom(*a, **k): raise SystemExit(0)\nService.notify = boom", InDoubt),
        ("def none(*a, **k): return None\nService.notify = none", InDoubt),
        (CLAIMS, InDoubt),
        (CHATTERS, Confirmed),
    ],
    ids=["missing", "exits", "breaks", "dies", "raises", "leaves", "none", "claims", "chatters"],
)  # fmt: skip
async def test_whatever_a_plugin_does_only_apprises_own_yes_is_one(stand_in, code, kind):
    stand_in(code)
    channel = make("json://127.0.0.1/")
    outcome = await channel.send(part())
    assert type(outcome) is kind, outcome
    if kind is Rejected:
        assert (outcome.code, outcome.scope) == ("apprise.missing", "config")
        assert outcome.hint == "pip install 'ownerreportd[apprise]'"


async def test_a_text_that_the_service_would_cut_is_refused(stand_in):
    stand_in("Service.body_maxlen = 160")
    channel = make("json://127.0.0.1/")
    outcome = await channel.send(part("x" * 161))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("apprise.too_long", "report")
    assert "text_max to 160" in outcome.hint
    (problem,) = await channel.check()
    assert problem.code == "apprise.text_max"
    assert isinstance(await channel.send(part("x" * 160)), Confirmed)
    assert await make("json://127.0.0.1/", text_max=160).check() == []


async def test_lines_that_apprise_would_cut_are_refused(stand_in):
    stand_in("Service.body_max_line_count = 2")
    channel = make("json://127.0.0.1/")
    assert isinstance(await channel.send(part("one\ntwo")), Confirmed)
    assert isinstance(await channel.send(part("one\ntwo\nthree")), Rejected)


async def test_a_service_of_html_gets_ours_with_all_of_the_text(receiver):
    channel = make(f"{receiver.url}?format=html")
    outcome = await channel.send(part("**bold** <script>alert(1)</script>\n\n- one"))
    assert isinstance(outcome, Confirmed), outcome
    (text,) = receiver.texts
    assert "<strong>bold</strong> &lt;script&gt;" in text
    assert "<li>one</li>" in text


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["optional", "retry", "wait", "overflow"])
@pytest.mark.parametrize("how", ["?{}=1", "?a=b&{}=no", "?{}", "?{}="])
@pytest.mark.parametrize("written", [str, str.upper, lambda key: f"%{ord(key[0]):X}{key[1:]}"])
def test_what_would_hide_a_failure_is_refused(key, how, written):
    given = how.format(written(key))
    with pytest.raises(ConfigError) as caught:
        make(f"json://secret-host/{given}")
    assert key in str(caught.value)
    assert "secret-host" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "url", ["", " ", "hush", "json:/hush", "json://hush json://b", "json://hush,json://b",
            "json://hush\njson://b"],
)  # fmt: skip
def test_what_is_not_one_url_is_refused_without_being_shown(url):
    with pytest.raises(ConfigError) as caught:
        make(url)
    assert "hush" not in f"{caught.value} {caught.value.hint}"
    assert "url_file" in caught.value.hint


@pytest.mark.parametrize("url", ["nosuch://hush/", "tgram://hush"])
async def test_a_url_that_apprise_does_not_know_is_refused(url):
    channel = make(url)
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("apprise.url", "config")
    (problem,) = await channel.check()
    assert problem.code == "apprise.url"
    assert "hush" not in f"{outcome} {problem}"


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError) as caught:
        make("json://127.0.0.1/")
    assert caught.value.hint == "pip install 'ownerreportd[apprise]'"


def test_the_channel_does_not_import_apprise(tmp_path):
    import subprocess

    code = (
        "import sys; from ownerreportd import channels; channels.load('apprise'); "
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_a_target_is_not_wanted():
    assert AppriseChannel.check_target("  ") == ""
    with pytest.raises(ConfigError) as caught:
        AppriseChannel.check_target("phone")
    assert "url_file" in caught.value.hint


def test_the_channel_says_that_it_can_prove_no_more_than_accepted():
    assert AppriseChannel.capabilities.proof == "accepted"
    assert AppriseChannel.secret_names == ("url",)


async def test_a_check_sends_nothing_and_keeps_the_deadline(receiver, channel):
    assert await channel.check() == []
    assert receiver.wire.requests == []
    (problem,) = await make(receiver.url, timeout_s=0.01).check()
    assert problem.code == "unreachable"


async def test_nobody_can_look(channel):
    from datetime import UTC, datetime

    assert isinstance(await channel.look(part(), datetime.now(UTC), frozenset()), Unknown)


# --- rendering --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_good_report_is_rendered_whole(path):
    report = defused(read_report(path.read_bytes()).report)
    parts = make("json://127.0.0.1/").render(report)
    texts = [each.plain.decode() for each in parts]
    assert difference(report.body, texts, report, dialect=DIALECT) is None
    assert max(map(len, texts)) <= 1000


async def test_a_report_of_several_parts_arrives_in_order(receiver):
    channel = make(receiver.url)
    report = read_report(GOOD[0].read_bytes()).report
    long = replace(report, body="\n\n".join(f"Paragraph {n}: " + "word " * 40 for n in range(8)))
    parts = channel.render(long)
    assert len(parts) > 1
    for each in parts:
        assert isinstance(await channel.send(replace(each, key=f"{each.number:024}")), Confirmed)
    assert receiver.texts == [each.plain.decode() for each in parts]


@given(st.text(max_size=3000), st.integers(140, 2000))
def test_no_part_is_longer_than_the_service_takes(body, text_max):
    for each in make("json://127.0.0.1/", text_max=text_max).render(Report("r", body)):
        assert len(each.plain.decode()) <= text_max
        assert len(each.marked.decode()) <= text_max


@pytest.mark.parametrize("ping", ["@everyone", "@here", "@channel", "@all", "<@1>", "<!here>"])
def test_nobody_is_called_upon(ping):
    (only,) = make("json://127.0.0.1/").render(Report("r", f"so {ping} now", title=ping))
    text = only.plain.decode()
    assert ping not in text
    assert ping in text.replace("\u200b", "").replace("\\", "")


async def test_a_hang_is_ended_at_the_deadline(receiver):
    receiver.fault = Fault("hang", accept=True)
    assert isinstance(await make(f"{receiver.url}?rto=60", timeout_s=4).send(part()), InDoubt)
    assert len(receiver.wire.requests) == 1
