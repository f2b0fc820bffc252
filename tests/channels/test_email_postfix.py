"""The email channel against a real Postfix, for what it does differently from the double."""

from __future__ import annotations

import email
import email.policy
import os
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.mail import OWNER, text_of, write_authority
from doubles.postfix import SIZE_MAX, Postfix, why_not

from ownerreportd.channels.email import EmailChannel, EmailOptions
from ownerreportd.core.outcome import Confirmed, Rejected, Throttled
from ownerreportd.core.report import Report
from ownerreportd.render.front_matter import read_report

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
pytestmark = [
    pytest.mark.postfix,
    # Where everything is to run, its absence is a failure.
    pytest.mark.skipif(bool(why_not()) and "CI" not in os.environ, reason=str(why_not())),
]


@pytest.fixture(scope="module")
def postfix():
    with Postfix() as server:
        yield server


@pytest.fixture
def make(postfix):
    def make(**changes):
        given = {**postfix.destination, **changes}
        target, timeout_s = given.pop("target"), given.pop("timeout_s")
        del given["archive_on"]
        return EmailChannel(
            name="owner", target=target, options=EmailOptions(**given), secrets={},
            language="en", timeout_s=timeout_s,
        )  # fmt: skip

    return make


def keyed(channel, report, number):
    return replace(channel.render(report)[0], key=f"{number:024}")


async def test_every_good_report_arrives_whole_and_its_queue_id_is_noted(postfix, make):
    channel = make()
    reports = [read_report(path.read_bytes()).report for path in GOOD]
    queue_ids = []
    for number, report in enumerate(reports):
        outcome = await channel.send(keyed(channel, report, number))
        assert isinstance(outcome, Confirmed), outcome
        assert outcome.receipt.proof == "accepted"
        queue_ids.append(outcome.receipt.note.rpartition("queued as ")[2])
    assert all(queue_id in postfix.log for queue_id in queue_ids)
    found = {str(each["Message-ID"]): each for each in postfix.delivered(len(reports))}
    for number, report in enumerate(reports):
        message = found[f"<{number:024}@example.org>"]
        assert message["X-Original-To"] == OWNER
        (part,) = channel.render(report)
        sent = email.message_from_bytes(part.plain, policy=email.policy.SMTP)
        assert text_of(message) == text_of(sent)
        assert str(message["Subject"]) == str(sent["Subject"])


async def test_a_repeat_under_the_same_message_id_is_delivered_again(postfix, make):
    channel = make()
    had = len(list((postfix.base / "mail/owner/new").glob("*")))
    part = keyed(channel, Report("r", "twice"), 77)
    for form in ("plain", "marked"):
        assert isinstance(await channel.send(part.as_form(form)), Confirmed)
    ids = [str(each["Message-ID"]) for each in postfix.delivered(had + 2)]
    assert ids.count(f"<{77:024}@example.org>") == 2


async def test_a_certificate_of_a_known_authority_lets_it_through(make, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(tmp_path / "authority.pem")))
    channel = make(security="starttls")
    outcome = await channel.send(keyed(channel, Report("r", "over TLS"), 78))
    assert isinstance(outcome, Confirmed), outcome


@pytest.mark.parametrize(
    ("target", "code", "word"),
    [
        (f"{OWNER}, nobody@example.org", "email.550", "User unknown in virtual mailbox table"),
        ("someone@elsewhere.example", "email.554", "Relay access denied"),
    ],
)
async def test_a_refused_address_keeps_the_message_from_all(postfix, make, target, code, word):
    channel = make(target=target)
    had = postfix.log.count("status=sent")
    outcome = await channel.send(keyed(channel, Report("r", "for nobody"), 79))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (code, "config")
    assert word in outcome.detail
    assert target.split(", ")[-1] in outcome.detail
    assert postfix.log.count("status=sent") == had
    (problem,) = await channel.check()
    assert problem.code == code


async def test_an_address_that_is_deferred_is_waited_for(make):
    channel = make(target="later@example.org")
    outcome = await channel.send(keyed(channel, Report("r", "later"), 80))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == 300
    assert await channel.check() == []


async def test_a_message_over_its_size_is_refused_before_it_is_sent(make):
    channel = make()
    outcome = await channel.send(keyed(channel, Report("r", "word " * SIZE_MAX), 81))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("email.size", "report")
    assert str(SIZE_MAX) in outcome.detail


async def test_a_ready_server_has_no_problem(make):
    assert await make().check() == []
