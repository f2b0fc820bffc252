"""The daemon and a Discord webhook: what a bot's token makes provable, and what happens without."""

from __future__ import annotations

import contextlib
import signal

import pytest
from doubles.discord_webhook import WEBHOOK_ID, WEBHOOK_TOKEN, DiscordWebhookDouble
from doubles.faults import NAMED

REPORTS = {f"{number}.md": f"report {number}" for number in range(5)}


@pytest.fixture
def webhook(loop, request):
    """The service; the test's parameter says whether there is a bot."""
    with contextlib.ExitStack() as stack:
        double = DiscordWebhookDouble(with_bot=request.param)
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield double


@pytest.fixture
def posting(home, webhook):
    """A home whose reports go to the webhook."""
    for name, value in webhook.secrets.items():
        put(home, name, value)
    return home.configure(
        destinations={"owner": {"channel": webhook.channel, **webhook.destination}}
    )


def put(home, name, value):
    secret = home.config.parent / f"discord-webhook.{name}"
    secret.write_text(value + "\n")
    secret.chmod(0o600)


def lose(double, *faults):
    """The messages meet these, in turn and over again."""
    turns = iter(faults * len(REPORTS))
    double.fault_if = lambda seen: NAMED.get(next(turns)) if double.is_create(seen) else None


def shows_no_secret(home, double):
    shown = [each.log for each in home.daemons] + [str(home.status()), home.run("status").out]
    return not any(secret in text for text in shown for secret in (WEBHOOK_TOKEN, double.token))


@pytest.mark.parametrize("webhook", [True], indirect=True)
def test_with_a_bot_lost_answers_and_kills_make_no_message_twice(posting, webhook):
    lose(webhook, "accept_then_drop", "none", "accept_then_500", "drop_after_body")
    posting.drop_many(REPORTS)
    for count in (1, 3):
        daemon = posting.daemon()
        posting.wait(lambda count=count: len(webhook.texts) >= count, f"{count} have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    posting.daemon()
    posting.wait_sent(*REPORTS)
    assert webhook.texts == list(REPORTS.values())
    assert shows_no_secret(posting, webhook)


@pytest.mark.parametrize("webhook", [False], indirect=True)
def test_without_a_bot_what_was_in_doubt_comes_again_and_says_so(posting, webhook):
    lose(webhook, "accept_then_drop", "none", "none")
    posting.drop_many(REPORTS)
    posting.daemon()
    posting.wait_sent(*REPORTS)
    came = [text.rpartition(" ")[2] for text in webhook.texts]
    assert came == ["0", "0", "1", "2", "2", "3", "4", "4"]
    marked = [number for number, text in enumerate(webhook.texts) if "duplicate" in text]
    assert marked == [1, 4, 7]


@pytest.mark.parametrize("webhook", [False], indirect=True)
def test_hold_waits_for_a_person(posting, webhook):
    posting.configure(
        destinations={
            "owner": {"channel": webhook.channel, **webhook.destination, "in_doubt": "hold"}
        }
    )
    lose(webhook, "accept_then_drop")
    posting.drop("a.md", "seen")
    posting.daemon()
    posting.wait_state("blocked", "doubt")
    assert webhook.texts == ["seen"]
    assert posting.run("resolve", "head", "--sent").status == 0
    posting.wait_sent("a.md")
    assert webhook.texts == ["seen"]


@pytest.mark.parametrize("webhook", [True, False], indirect=True)
def test_a_wrong_url_blocks_names_the_remedy_and_a_reload_goes_on(posting, webhook):
    put(posting, "url", f"{webhook.base}/webhooks/{WEBHOOK_ID}/another-token")
    daemon = posting.daemon()
    posting.drop("a.md", "kept")
    found = posting.wait_state("blocked", "config")
    assert "url_file" in found["hint"]
    assert webhook.texts == []
    put(posting, "url", webhook.url)
    done = posting.run("reload")
    assert done.out == "reloaded, 1 change\n  destinations.owner.url: changed\n", done.err
    posting.wait_sent("a.md")
    assert webhook.texts == ["kept"]
    assert "another-token" not in daemon.log
    assert shows_no_secret(posting, webhook)


@pytest.mark.parametrize("webhook", [False], indirect=True)
def test_a_configuration_check_needs_no_target_and_names_the_missing_file(posting, webhook):
    checked = posting.run("config", "check")
    assert checked.status == 0, checked
    assert "\n  owner: " in checked.out
    (posting.config.parent / "discord-webhook.url").unlink()
    refused = posting.run("config", "check")
    assert refused.status == 78
    assert "discord-webhook.url" in refused.err
    assert "url_file" in refused.err
