"""The email channel against a strict SMTP server, at every stage of the conversation."""

from __future__ import annotations

import email
import email.policy
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from doubles.mail import (
    OWNER,
    PASSWORD,
    SENDER,
    STAGES,
    USER,
    EmailDouble,
    Fault,
    says,
    text_of,
    write_authority,
)  # fmt: skip
from pydantic import ValidationError

from ownerreportd.channels.email import EmailChannel, EmailOptions
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Throttled, Unknown
from ownerreportd.core.report import Report
from ownerreportd.testing import Bench, channel_contract

COMMON = {"target", "timeout_s", "archive_on"}
KEY = "abcdefghijklmnopqrstuv23"
REPORT = Report("r1", "All is well.\n\n.\n..hidden dots\n", title="Über alles", worker="alice")
OTHER = "second@example.org"


def make(double, *, password=None, timeout_s=None, **changes):
    given = {**double.destination, **changes}
    return EmailChannel(
        name="owner",
        target=given["target"],
        options=EmailOptions(**{k: v for k, v in given.items() if k not in COMMON}),
        secrets=double.secrets if password is None else {"password": password},
        language="en",
        timeout_s=timeout_s or given["timeout_s"],
    )


def part_for(channel, report=REPORT, form="plain"):
    return replace(channel.render(report)[0], key=KEY, form=form)


def text_in(payload):
    return text_of(email.message_from_bytes(payload, policy=email.policy.SMTPUTF8))


@asynccontextmanager
async def email_bench():
    async with EmailDouble() as double:
        channel = make(double, timeout_s=3)
        secrets = tuple(double.secrets.values())
        yield Bench(channel, double.arrange, secrets=secrets, text_of=text_in)


TestEmail = channel_contract(email_bench)


@pytest.fixture
async def double():
    async with EmailDouble() as server:
        yield server


@pytest.fixture
def channel(double):
    return make(double, timeout_s=5)


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """The tests' authority is one that this machine knows."""
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(tmp_path / "authority.pem")))


# --- what is confirmed ------------------------------------------------------------------------


async def test_a_250_is_confirmed_as_accepted_and_no_more(double, channel, no_blocking):
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Confirmed)
    receipt = outcome.receipt
    assert (receipt.id, receipt.proof) == (f"<{KEY}@example.org>", "accepted")
    assert receipt.note == "accepted by 127.0.0.1: 2.0.0 Ok: queued as Q1"
    assert double.envelopes == [(SENDER, (OWNER,))]
    assert double.texts == ["**Über alles** · alice\n\nAll is well.\n\n.\n..hidden dots"]
    assert double.commands[-1] == "QUIT"


def test_the_channel_says_that_it_can_prove_no_more_than_accepted():
    assert EmailChannel.capabilities.proof == "accepted"
    assert EmailChannel.secret_names == ()
    assert EmailChannel.optional_secret_names == ("password",)


async def test_every_attempt_has_the_same_bytes_and_the_marked_form_the_same_id(double, channel):
    report = replace(REPORT, written="2026-11-27T20:15:03+00:00")
    double.faults = {"taken": Fault("close")}
    assert isinstance(await channel.send(part_for(channel, report)), InDoubt)
    assert isinstance(await make(double).send(part_for(channel, report)), InDoubt)
    double.faults = {}
    assert isinstance(await channel.send(part_for(channel, report, "marked")), Confirmed)
    first, _, marked = double.messages
    assert double.contents[0] == double.contents[1] != double.contents[2]
    assert {each["Message-ID"] for each in double.messages} == {f"<{KEY}@example.org>"}
    assert first["Date"] == "Fri, 27 Nov 2026 20:15:03 +0000"
    assert text_of(marked).startswith("⚠ Possible duplicate")
    assert "Possible duplicate" in marked.get_body(("html",)).get_content()


async def test_a_report_without_any_time_still_has_a_date(double, channel):
    await channel.send(part_for(channel))
    assert double.messages[0]["Date"].datetime is not None


async def test_a_large_message_comes_whole(double, channel):
    body = "A line that is repeated, with a dot at the start of the next.\n.\n" * 3_000
    outcome = await channel.send(part_for(channel, Report("big", body)))
    assert isinstance(outcome, Confirmed), outcome
    assert double.texts == [body.removesuffix("\n")]


# --- every refusal, at every stage ------------------------------------------------------------

WAIT = Throttled
CONFIG, REPORT_ = "config", "report"
ANSWERS = [
    ("connection", "421 4.3.2 Closing", WAIT, None),
    ("connection", "451 4.7.1 Later", WAIT, None),
    ("connection", "554 5.7.1 No mail from there", Rejected, CONFIG),
    ("connection", "200 hello", NotSent, None),
    ("EHLO", "421 4.3.2 Closing", WAIT, None),
    ("EHLO", "502 5.5.1 Unknown", Rejected, CONFIG),
    ("EHLO", "550 5.7.1 Who are you", Rejected, CONFIG),
    ("AUTH", "421 4.7.0 Too many", WAIT, None),
    ("AUTH", "454 4.7.0 Temporary authentication failure", WAIT, None),
    ("AUTH", "500 5.5.1 What", Rejected, CONFIG),
    ("AUTH", "530 5.7.0 Must issue STARTTLS", Rejected, CONFIG),
    ("AUTH", "534 5.7.9 Application password wanted", Rejected, CONFIG),
    ("AUTH", "535 5.7.8 Credentials are not accepted", Rejected, CONFIG),
    ("AUTH", "538 5.7.11 Encryption required", Rejected, CONFIG),
    ("AUTH", "250 strange", NotSent, None),
    ("MAIL", "421 4.3.2 Closing", WAIT, None),
    ("MAIL", "451 4.3.0 Later", WAIT, None),
    ("MAIL", "452 4.3.1 No room", WAIT, None),
    ("MAIL", "530 5.7.0 Authentication required", Rejected, CONFIG),
    ("MAIL", "550 5.7.1 Sender", Rejected, CONFIG),
    ("MAIL", "552 Message size exceeds fixed limit", Rejected, REPORT_),
    ("MAIL", "552 5.3.4 Message too big", Rejected, REPORT_),
    ("MAIL", "553 5.1.8 Sender", Rejected, CONFIG),
    ("MAIL", "555 5.5.4 Parameters", Rejected, CONFIG),
    ("MAIL", "354 strange", NotSent, None),
    ("RCPT", "421 4.3.2 Closing", WAIT, None),
    ("RCPT", "450 4.2.0 Greylisted", WAIT, None),
    ("RCPT", "451 4.7.1 Greylisted", WAIT, None),
    ("RCPT", "452 4.5.3 Too many", WAIT, None),
    ("RCPT", "550 5.1.1 Unknown", Rejected, CONFIG),
    ("RCPT", "551 5.1.6 Moved", Rejected, CONFIG),
    ("RCPT", "552 5.2.2 Mailbox full", WAIT, None),
    ("RCPT", "552 5.3.4 Message too big", Rejected, REPORT_),
    ("RCPT", "553 5.1.3 Address", Rejected, CONFIG),
    ("RCPT", "554 5.7.1 Relay access denied", Rejected, CONFIG),
    ("RCPT", "354 strange", NotSent, None),
    ("DATA", "421 4.3.2 Closing", WAIT, None),
    ("DATA", "451 4.3.0 Later", WAIT, None),
    ("DATA", "503 5.5.1 Sequence", Rejected, CONFIG),
    ("DATA", "552 5.3.4 Message too big", Rejected, REPORT_),
    ("DATA", "554 5.5.1 No valid recipients", Rejected, CONFIG),
    ("DATA", "250 strange", NotSent, None),
    ("dot", "421 4.3.2 Closing", WAIT, None),
    ("dot", "450 4.7.1 Later", WAIT, None),
    ("dot", "451 4.3.0 Later", WAIT, None),
    ("dot", "452 4.3.1 No room", WAIT, None),
    ("dot", "550 No such user", Rejected, CONFIG),
    ("dot", "550 5.1.1 No such user", Rejected, CONFIG),
    ("dot", "550 5.7.1 Content looks like spam", Rejected, REPORT_),
    ("dot", "550 5.7.26 Neither SPF nor DKIM", Rejected, CONFIG),
    ("dot", "550 5.0.0 Because", Rejected, CONFIG),
    ("dot", "552 Too much", Rejected, REPORT_),
    ("dot", "552 5.2.2 Mailbox full", Rejected, CONFIG),
    ("dot", "552 5.3.4 Too big", Rejected, REPORT_),
    ("dot", "554 Failed", Rejected, REPORT_),
    ("dot", "554 5.6.0 Content", Rejected, REPORT_),
    ("dot", "571 Blocked", Rejected, REPORT_),
    ("dot", "251 strange", InDoubt, None),
    ("dot", "354 strange", InDoubt, None),
    ("taken", "200 strange", InDoubt, None),
]


@pytest.mark.parametrize(("stage", "text", "kind", "scope"), ANSWERS, ids=lambda x: str(x)[:12])
async def test_every_answer_has_its_outcome(double, channel, stage, text, kind, scope):
    double.faults = {stage: says(text)}
    outcome = await channel.send(part_for(channel))
    assert type(outcome) is kind, outcome
    assert getattr(outcome, "scope", None) == scope, outcome
    assert text.split()[0] in outcome.detail
    if kind is Rejected:
        assert outcome.code == f"email.{text[:3]}"
        assert text[4:] in outcome.detail
        assert outcome.hint
    if kind is Throttled:
        assert outcome.retry_after_s == 1
    assert double.commands.count(stage) == 1, "nothing is tried twice"


async def test_a_4yz_waits_as_long_as_greylisting_asks_for_and_a_421_a_minute(double):
    channel = make(double, wait_s=300)
    double.faults = {"RCPT": says("451 4.7.1 Greylisted")}
    assert (await channel.send(part_for(channel))).retry_after_s == 300
    double.faults = {"RCPT": says("421 4.3.2 Closing")}
    assert (await channel.send(part_for(channel))).retry_after_s == 60


@pytest.mark.parametrize("act", ["close", "reset", "garbage", "hang"])
@pytest.mark.parametrize("stage", STAGES)
async def test_what_breaks_before_the_dot_is_not_sent_and_after_it_in_doubt(double, stage, act):
    if stage == "STARTTLS" or (stage == "body" and act in {"garbage", "hang"}):
        pytest.skip("not a stage of this server, or no break of it")
    channel = make(double, timeout_s=1 if act == "hang" else 5)
    double.faults = {stage: Fault(act)}
    outcome = await channel.send(part_for(channel))
    expected = InDoubt if stage in {"dot", "taken"} else NotSent
    if stage == "body" and type(outcome) is InDoubt:
        return  # the little message was gone, dot and all, before the break was noticed
    assert type(outcome) is expected, outcome
    assert outcome.detail
    assert len(double.messages) == (stage == "taken")


async def test_an_answer_that_comes_before_the_message_is_not_its_confirmation(double, channel):
    double.faults = {"DATA": says("354 Go on\r\n250 2.0.0 Ok: queued as nothing")}
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, NotSent), outcome
    assert double.messages == []


HUGE = b"Subject: x\r\n\r\n" + b"A line that is repeated.\r\n" * 400_000  # no buffer holds it


async def test_a_break_in_the_middle_of_a_large_message_is_provably_not_sent(double, channel):
    double.faults = {"body": Fault("reset")}
    outcome = await channel.send(Part(1, 1, HUGE, b"", KEY))
    assert isinstance(outcome, NotSent), outcome


async def test_a_server_that_stops_reading_is_provably_not_sent_at_the_deadline(double):
    channel = make(double, timeout_s=1)
    double.faults = {"body": Fault("hang")}
    outcome = await channel.send(Part(1, 1, HUGE, b"", KEY))
    assert isinstance(outcome, NotSent), outcome
    assert double.messages == []


async def test_a_goodbye_that_is_not_answered_changes_nothing(double, channel):
    double.fault_if = lambda stage: Fault("hang") if stage == "QUIT" else None
    assert isinstance(await channel.send(part_for(channel)), Confirmed)
    assert double.commands[-1] == "QUIT"


# --- all addresses or none --------------------------------------------------------------------


async def test_every_address_gets_it_in_one_message(double):
    double.addresses.add(OTHER)
    channel = make(double, target=f"{OWNER}, {OTHER}")
    assert isinstance(await channel.send(part_for(channel)), Confirmed)
    assert double.envelopes == [(SENDER, (OWNER, OTHER))]


async def test_one_refused_address_keeps_the_message_from_all(double):
    channel = make(double, target=f"{OWNER}, {OTHER}")
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("email.550", "config")
    assert OTHER in outcome.detail
    assert "target" in outcome.hint
    assert double.messages == []
    assert "DATA" not in double.commands
    assert double.commands[-1] == "QUIT"


async def test_of_several_refusals_the_lasting_one_counts_and_all_are_named(double):
    turns = iter([says("451 4.7.1 Later"), None])
    double.fault_if = lambda stage: next(turns) if stage == "RCPT" else None
    channel = make(double, target=f"{OWNER}, {OTHER}")
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Rejected)
    assert OWNER in outcome.detail
    assert OTHER in outcome.detail


# --- what the server offers -------------------------------------------------------------------


async def test_a_message_over_the_servers_size_is_refused_before_it_is_sent():
    async with EmailDouble(size_max=20_000) as double:
        channel = make(double)
        outcome = await channel.send(part_for(channel, Report("big", "word " * 5000)))
        assert isinstance(outcome, Rejected)
        assert (outcome.code, outcome.scope) == ("email.size", "report")
        assert "20000" in outcome.detail
        assert "MAIL" not in double.commands


@pytest.mark.parametrize("methods", [("PLAIN",), ("LOGIN",), ("LOGIN", "PLAIN")])
async def test_each_way_to_log_in_works(methods):
    async with EmailDouble(methods=methods) as double:
        channel = make(double)
        assert isinstance(await channel.send(part_for(channel)), Confirmed)


async def test_a_wrong_password_is_tried_once(double):
    channel = make(double, password="wröng")
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("email.535", "config")
    assert "password" in outcome.hint
    assert "wröng" not in repr(outcome)
    assert double.commands.count("AUTH") == 1


async def test_a_server_without_users_is_not_told_the_password():
    async with EmailDouble(methods=()) as double:
        channel = make(double)
        outcome = await channel.send(part_for(channel))
        assert isinstance(outcome, Rejected)
        assert (outcome.code, outcome.scope) == ("email.no_auth", "config")


async def test_without_a_user_nobody_logs_in(double):
    channel = make(double, user="", password="")
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Rejected)  # this server wants one
    assert outcome.code == "email.530"
    assert "AUTH" not in double.commands


async def test_an_address_in_other_letters_needs_a_server_that_takes_it(double):
    target = "主人@example.org"
    double.addresses.add(target)
    channel = make(double, target=target)
    assert isinstance(await channel.send(part_for(channel)), Confirmed)
    async with EmailDouble(utf8=False) as old:
        channel = make(old, target=target)
        outcome = await channel.send(part_for(channel))
        assert isinstance(outcome, Rejected)
        assert (outcome.code, outcome.scope) == ("email.no_smtputf8", "config")
        assert old.messages == []


async def test_what_the_server_says_is_shown_without_the_password(double, channel):
    double.faults = {"MAIL": says(f"550 5.7.1 {PASSWORD} is\x07 wrong")}
    outcome = await channel.send(part_for(channel))
    assert PASSWORD not in repr(outcome)
    assert "[secret]" in outcome.detail
    assert "\x07" not in outcome.detail


# --- TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.usefixtures("trusted")
async def test_a_verified_connection_delivers(security):
    async with EmailDouble(security=security) as double:
        channel = make(double)
        outcome = await channel.send(part_for(channel))
        assert isinstance(outcome, Confirmed), outcome
        assert await channel.check() == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_unknown_authority_is_not_trusted_with_anything(security):
    async with EmailDouble(security=security) as double:
        channel = make(double)
        outcome = await channel.send(part_for(channel))
        assert isinstance(outcome, NotSent)
        assert "certificate is not valid" in outcome.detail
        (problem,) = await channel.check()
        assert problem.code == "email.certificate"
        assert "SSL_CERT_FILE" in problem.hint
        assert "AUTH" not in double.commands


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_not_trusted(security):
    async with EmailDouble(security=security, names=("mx.example.org",)) as double:
        channel = make(double)
        outcome = await channel.send(part_for(channel))
        assert isinstance(outcome, NotSent)
        assert "certificate is not valid" in outcome.detail
        assert "AUTH" not in double.commands


@pytest.mark.usefixtures("trusted")
async def test_without_starttls_nothing_is_said_in_the_clear(double):
    channel = make(double, security="starttls")
    outcome = await channel.send(part_for(channel))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("email.no_starttls", "config")
    assert "AUTH" not in double.commands
    assert "MAIL" not in double.commands
    (problem,) = await channel.check()
    assert problem.code == "email.no_starttls"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (says("454 4.7.0 TLS not available"), Throttled),
        (says("501 5.5.4 Syntax"), Rejected),
        (Fault("close"), NotSent),
        (Fault("hang"), NotSent),
        (says("220 Go on, but I cannot"), NotSent),
    ],
    ids=["454", "501", "close", "hang", "no handshake"],
)
@pytest.mark.usefixtures("trusted")
async def test_a_failed_starttls_ends_it(fault, kind):
    async with EmailDouble(security="starttls") as double:
        double.faults = {"STARTTLS": fault}
        channel = make(double, timeout_s=1)
        outcome = await channel.send(part_for(channel))
        assert type(outcome) is kind, outcome
        assert "AUTH" not in double.commands


@pytest.mark.usefixtures("trusted")
async def test_tls_towards_a_server_without_it_is_not_sent(double):
    channel = make(double, security="tls", timeout_s=1)
    assert isinstance(await channel.send(part_for(channel)), NotSent)


# --- check ------------------------------------------------------------------------------------


async def test_a_check_asks_for_every_address_and_sends_nothing(double, channel):
    assert await channel.check() == []
    assert {"MAIL", "RCPT", "QUIT"} <= set(double.commands)
    assert "DATA" not in double.commands


async def test_a_check_may_be_told_not_to_ask_for_addresses(double):
    channel = make(double, check_recipients=False)
    double.addresses = set()
    assert await channel.check() == []
    assert "MAIL" not in double.commands


@pytest.mark.parametrize(
    ("stage", "text", "code", "word"),
    [
        ("AUTH", "535 5.7.8 Wrong", "email.535", "password"),
        ("MAIL", "553 5.7.1 Not yours", "email.553", "from"),
        ("MAIL", "530 5.7.0 Log in", "email.530", "user"),
        ("RCPT", "550 5.1.1 Unknown", "email.550", "target"),
        ("EHLO", "502 What", "email.502", "port"),
        ("connection", "421 4.3.2 Later", "unreachable", "network"),
        ("AUTH", "454 4.7.0 Later", "unreachable", "network"),
    ],
)
async def test_a_check_names_what_is_wrong_and_the_remedy(double, channel, stage, text, code, word):
    double.faults = {stage: says(text)}
    (problem,) = await channel.check()
    assert problem.code == code
    assert text.split()[0] in problem.detail
    assert word in problem.hint


async def test_greylisting_is_nothing_that_a_check_complains_of(double, channel):
    double.faults = {"RCPT": says("451 4.7.1 Greylisted")}
    assert await channel.check() == []


async def test_a_check_keeps_the_deadline(double):
    double.faults = {"EHLO": Fault("hang")}
    (problem,) = await make(double, timeout_s=1).check()
    assert problem.code == "unreachable"


async def test_nobody_can_look_up_what_a_server_took(channel):
    from datetime import UTC, datetime

    result = await channel.look(part_for(channel), datetime.now(UTC), frozenset())
    assert isinstance(result, Unknown)
    assert not result.transient


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("a@example.org", "a@example.org"),
        (" a@Example.ORG ,b@example.org", "a@example.org, b@example.org"),
        ("mailto:a@example.org,b@example.org", "a@example.org, b@example.org"),
        ("MAILTO:a%2Bb@example.org", "a+b@example.org"),
        ("a@x.org, a@X.org", "a@x.org"),
        ("A@x.org, a@x.org", "A@x.org, a@x.org"),
        ("owner@localhost", "owner@localhost"),
        ("o'neil+x=y@sub.example.org", "o'neil+x=y@sub.example.org"),
        ("ich@bücher.example", "ich@xn--bcher-kva.example"),
        ("主人@example.org", "主人@example.org"),
    ],
)
def test_addresses_have_one_form(target, normal):
    assert EmailChannel.check_target(target) == normal
    assert EmailChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "target",
    [
        "", " ", "owner", "@example.org", "a@", "a@b@c", "a b@example.org", "a@exa mple.org",
        "a@-x.org", "a@x..org", ".a@x.org", "a..b@x.org", "a@x.org,", "a@x.org;b@x.org",
        "Ann <a@x.org>", '"a b"@x.org', "a@[127.0.0.1]", "a\r\nRCPT TO:<b@x.org>@x.org",
        "mailto:a@x.org?subject=x", "mailto:", "mailto:a%0D%0A@x.org", "a@x.org\0",
        "x" * 65 + "@x.org", "a@" + "x" * 64 + ".org", "a@" + "x." * 130 + "org",
        ", ".join(f"a{n}@x.org" for n in range(101)), "\u202ea@x.org", "\ud800@x.org",
    ],
    ids=lambda target: ascii(target)[:30],
)  # fmt: skip
def test_what_is_no_list_of_addresses_is_refused(target):
    with pytest.raises(ConfigError) as caught:
        EmailChannel.check_target(target)
    assert "a@example.org" in caught.value.hint


def options(**given):
    return EmailOptions(**{"from": SENDER, **given})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_on_this_machine_nothing_need_be_encrypted(host):
    assert options(host=host, security="none").security == "none"


@pytest.mark.parametrize("host", ["mail.example.org", "10.0.0.1", "localhost.example.org"])
def test_towards_others_encryption_must_be_given_up_by_name(host):
    with pytest.raises(ValidationError, match="allow_plaintext"):
        options(host=host, security="none")
    assert options(host=host, security="none", allow_plaintext=True).security == "none"


def test_encryption_is_the_default():
    assert options().security == "starttls"


def test_the_sender_is_the_user_where_that_is_an_address():
    assert EmailOptions(user="a@Example.org").from_ == "a@example.org"
    for given in ({}, {"user": "alice"}):
        with pytest.raises(ValidationError, match=r'from = "reports@example\.org"'):
            EmailOptions(**given)
    with pytest.raises(ValidationError, match="is no mail address"):
        EmailOptions(**{"from": "nobody"})


def test_a_user_without_a_password_is_told_where_to_put_it():
    with pytest.raises(ConfigError) as caught:
        EmailChannel(
            name="owner", target=OWNER, options=options(user=USER), secrets={}, language="en",
            timeout_s=1,
        )  # fmt: skip
    assert "email.password" in caught.value.hint


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_each_security_has_its_port(security, port):
    channel = EmailChannel(
        name="owner", target=OWNER, options=options(security=security), secrets={},
        language="en", timeout_s=1,
    )  # fmt: skip
    assert channel._server.port == port
    assert PASSWORD not in repr(channel._server)
