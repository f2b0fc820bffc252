"""The daemon and a mail server: lost answers are repeated with the mark, refusals stop it."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.mail import OWNER, PASSWORD, EmailDouble, Fault, says, write_authority
from e2e.harness import LoopThread

MARK = "⚠ Possible duplicate: an earlier copy may have arrived.\n\n"


@pytest.fixture
def served():
    """Makes servers; `change` does something in their loop."""
    with LoopThread() as loop, contextlib.ExitStack() as stack:

        def make(**options):
            double = EmailDouble(**options)
            loop.call(double.__aenter__())
            stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
            double.change = lambda situation: loop.call(double.arrange(situation))
            return double

        yield make


@pytest.fixture
def server(served):
    return served()


def mailing(home, server, **changes):
    """The home, with its reports going to the server."""
    put_password(home, PASSWORD)
    destination = {"channel": "email", **server.destination, **changes}
    return home.configure(destinations={"owner": destination})


def put_password(home, password):
    path = home.config.parent / "email.password"
    path.write_text(password + "\n")
    path.chmod(0o600)


def test_reports_come_in_order_and_the_receipt_says_accepted(home, server):
    mailing(home, server)
    home.drop_many(
        {f"{number}.md": f"---\ntitle: T{number}\n---\nreport {number}" for number in range(5)}
    )
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 5, "all are sent")
    assert [str(each["Subject"]) for each in server.messages] == [f"T{n}" for n in range(5)]
    assert server.texts == [f"**T{number}**\n\nreport {number}" for number in range(5)]
    assert len({each["Message-ID"] for each in server.messages}) == 5
    shown = home.run("show", "--json", "0.md").json
    receipt = shown["deliveries"][0]["parts"][0]["receipt"]
    assert receipt["proof"] == "accepted"
    assert receipt["note"].startswith("accepted by 127.0.0.1: 2.0.0 Ok: queued as ")
    assert "(accepted)" in home.run("status").out
    assert PASSWORD not in "".join(each.log for each in home.daemons)


def test_a_destination_that_wants_more_proof_than_mail_can_give_does_not_start(home, server):
    mailing(home, server, archive_on="confirmed")
    done = home.run("run")
    assert done.status == 78
    assert 'archive_on = "accepted"' in done.err


def test_lost_answers_are_repeated_with_the_mark_and_the_same_id(home, server):
    turns = iter([Fault("close"), None, Fault("reset"), None])
    server.fault_if = lambda stage: next(turns, None) if stage == "taken" else None
    mailing(home, server)
    home.drop_many({"1.md": "report 1", "2.md": "report 2"})
    home.daemon()
    home.wait_sent("1.md", "2.md")
    assert server.texts == ["report 1", MARK + "report 1", "report 2", MARK + "report 2"]
    ids = [each["Message-ID"] for each in server.messages]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    dates = [each["Date"] for each in server.messages]
    assert dates[0] == dates[1]


def test_kills_lose_nothing_and_double_nothing_without_the_mark(home, server):
    mailing(home, server)
    expected = [f"report {number}" for number in range(12)]
    home.drop_many({f"{number:02}.md": text for number, text in enumerate(expected)})
    for _ in range(3):
        daemon = home.daemon()
        had = len(server.messages)
        home.wait(lambda had=had: len(server.messages) > had + 1, "some have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 12, "all are sent")
    assert list(dict.fromkeys(text.removeprefix(MARK) for text in server.texts)) == expected
    plain = [text for text in server.texts if not text.startswith(MARK)]
    assert len(plain) == len(set(plain)), "only a marked one may be the second"
    assert len(server.texts) <= 12 + 3


def test_a_break_before_the_dot_is_repeated_as_it_was(home, server):
    turns = iter([Fault("close"), Fault("reset"), None])
    server.fault_if = lambda stage: next(turns, None) if stage == "DATA" else None
    mailing(home, server)
    home.drop("a.md", "once")
    home.daemon()
    home.wait_sent("a.md")
    assert server.texts == ["once"]


def test_greylisting_is_waited_for(home, server):
    turns = iter([says("451 4.7.1 Greylisted")])
    server.fault_if = lambda stage: next(turns, None) if stage == "RCPT" else None
    mailing(home, server)
    home.drop("a.md", "later")
    home.daemon()
    home.wait_sent("a.md")
    assert server.texts == ["later"]
    assert server.commands.count("RCPT") == 2


def test_a_wrong_password_blocks_and_a_reload_goes_on(home, server):
    mailing(home, server)
    put_password(home, "wrong-password")
    home.drop("a.md", "kept")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert "password" in found["hint"]
    assert "wrong-password" not in home.daemons[-1].log + str(found)
    put_password(home, PASSWORD)
    assert home.run("reload").out.startswith("reloaded, 1 change\n")
    home.wait_sent("a.md")
    assert server.texts == ["kept"]


def test_a_refused_address_blocks_names_it_and_retry_goes_on(home, server):
    second = "second@example.org"
    mailing(home, server, target=f"{OWNER}, {second}")
    home.drop("a.md", "for both")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert second in str(found)
    assert server.messages == []
    server.addresses.add(second)
    assert home.run("retry").status == 0
    home.wait_sent("a.md")
    assert server.envelopes[0][1] == (OWNER, second)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_over_tls_the_system_authorities_decide(home, served, security, tmp_path):
    server = served(security=security)
    mailing(home, server)
    home.drop("a.md", "secret")
    daemon = home.daemon()
    home.wait(lambda: "certificate is not valid" in daemon.log, "the certificate is refused")
    assert server.messages == []
    daemon.stop()
    home.environ["SSL_CERT_FILE"] = str(write_authority(home.path / "authority.pem"))
    home.daemon()
    home.wait_sent("a.md")
    assert server.texts == ["secret"]


def test_doctor_asks_without_sending(home, server):
    mailing(home, server)
    assert home.run("doctor").status == 0
    server.change("wrong_target")
    done = home.run("doctor")
    assert done.status == 78
    assert OWNER in done.out + done.err
    assert server.messages == []
