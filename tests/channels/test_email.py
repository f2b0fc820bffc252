"""The email channel against a strict SMTP server, at every stage of the conversation."""

from __future__ import annotations

import email
import email.policy
from contextlib import asynccontextmanager

from doubles.email import EmailDouble, text_of

from ownerreportd.channels.email import EmailChannel, EmailOptions
from ownerreportd.testing import Bench, channel_contract

COMMON = {"target", "timeout_s", "archive_on"}


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


def text_in(payload):
    return text_of(email.message_from_bytes(payload, policy=email.policy.SMTPUTF8))


@asynccontextmanager
async def email_bench():
    async with EmailDouble() as double:
        channel = make(double, timeout_s=0.5)
        secrets = tuple(double.secrets.values())
        yield Bench(channel, double.arrange, secrets=secrets, text_of=text_in)


TestEmail = channel_contract(email_bench)
