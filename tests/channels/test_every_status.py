"""Every status that a service or a proxy can answer to a part, and what the channel makes of it."""

from http import HTTPStatus

import pytest
from doubles.discord import DiscordDouble
from doubles.discord_webhook import DiscordWebhookDouble
from doubles.faults import answer, proxy
from doubles.matrix import MatrixDouble
from doubles.ntfy import NtfyDouble
from doubles.slack import SlackDouble
from doubles.telegram import TelegramDouble
from doubles.webhook import WebhookDouble

from ownerreportd import channels
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Throttled
from ownerreportd.core.report import Report
from ownerreportd.testing.bench import parts_of

STATUSES = range(200, 600)
# A service answers with what has a name (a 204 has no body); a proxy with whatever it likes.
NAMED = {status.value for status in HTTPStatus} - {204} | {299, 399, 499, 599}
DOUBLES = {
    "discord": DiscordDouble,
    "discord-webhook": DiscordWebhookDouble,
    "telegram": TelegramDouble,
    "slack": SlackDouble,
    "matrix": MatrixDouble,
    "ntfy": NtfyDouble,
    "webhook": WebhookDouble,
}
WEBHOOK_CONFIG = {401, 403, 404, 405, 410}
IN_REPORT = {400, 413, 422}


def discords_own(status):
    return answer(status, {"message": "made up", "code": 0})


def telegrams_own(status):
    return answer(status, {"ok": False, "error_code": status, "description": "made up"})


def slacks_own(status):
    return answer(status, {"ok": False, "error": "made_up"})


def matrixs_own(status):
    return answer(status, {"errcode": "ORG.MADE_UP", "error": "made up"})


def ntfys_own(status):
    return answer(status, {"code": status * 100 + 99, "http": status, "error": "made up"})


def webhooks_own(status):
    """The receiver's own answers; it may also say when to come again."""
    if status not in NAMED:
        return ()
    told = {"error": "made up"}
    return answer(status, told), answer(status, told, **{"Retry-After": "7"})


OWN = {
    "discord": discords_own,
    "discord-webhook": discords_own,
    "telegram": telegrams_own,
    "slack": slacks_own,
    "matrix": matrixs_own,
    "ntfy": ntfys_own,
}


def usual(status):
    """What every channel but the webhook makes of a status, without the scope of a refusal."""
    if status == 429:
        return Throttled
    return InDoubt if status < 300 or status == 408 or status >= 500 else Rejected


def of_webhook(status, fault):
    """A receiver's statuses are all that it says: it has no error of its own to be known by."""
    if status < 300:
        return Confirmed, None
    if status == 503 and "Retry-After" in fault.headers:
        return Throttled, None
    if usual(status) is not Rejected:
        return usual(status), None
    return Rejected, "config" if status < 400 or status in WEBHOOK_CONFIG else "report"


def of_proxy(status):
    return usual(status), "config" if usual(status) is Rejected else None


# What a service's own refusal, with a code that nobody knows, is said of.
def of_report_by_status(status):
    return "report" if status in IN_REPORT else "config"


def of_telegram(status):
    return "config" if status in {401, 403, 404, 409, 421} else "report"


def of_report(_status):
    return "report"


SCOPES = {
    "discord": of_report_by_status,
    "discord-webhook": of_report_by_status,
    "telegram": of_telegram,
    "slack": of_report,
    "matrix": of_report_by_status,
    "ntfy": of_report_by_status,
}


def of_service(kind, status):
    if kind.startswith("discord") and status == 502:
        return NotSent, None  # "There was not a gateway available to process your request"
    if kind == "slack" and status < 300:
        return Rejected, "report"  # the status is 200 for a failure too
    if usual(status) is not Rejected:
        return usual(status), None
    return Rejected, "config" if status < 400 else SCOPES[kind](status)


def cases(kind):
    """Every status with an answer that has it, and with the kind and the scope of the outcome."""
    for status in STATUSES:
        if kind == "webhook":
            for fault in (proxy(status), *webhooks_own(status)):
                yield status, fault, of_webhook(status, fault)
        else:
            yield status, proxy(status), of_proxy(status)
            if status in NAMED:
                yield status, OWN[kind](status), of_service(kind, status)


def channel_to(service):
    kind = channels.load(service.channel)
    options = {**service.destination, "timeout_s": 5.0}
    timeout_s, target = options.pop("timeout_s"), options.pop("target", "")
    return kind(
        name="owner", target=kind.check_target(target), timeout_s=timeout_s,
        options=kind.Options(**options), secrets=service.secrets, language="en",
    )  # fmt: skip


@pytest.mark.parametrize("kind", DOUBLES)
async def test_every_status_is_what_it_proves(kind):
    wrong = []
    async with DOUBLES[kind]() as service:
        channel = channel_to(service)
        (part,) = parts_of(channel, Report("a", "kept"))
        for status, fault, expected in cases(kind):
            service.always = fault
            outcome = await channel.send(part)
            found = type(outcome), getattr(outcome, "scope", None)
            if found != expected:
                wrong.append((status, fault.body, outcome))
        await channel.aclose()
        assert not service.texts
    assert not wrong
