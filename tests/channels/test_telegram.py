"""The Telegram channel against a strict double of the Bot API."""

from __future__ import annotations

from contextlib import asynccontextmanager

from doubles.telegram import TOKEN, TelegramDouble

from ownerreportd.channels.telegram import TelegramChannel, TelegramOptions
from ownerreportd.render.telegram import text_of
from ownerreportd.testing import Bench, channel_contract


def make(double, *, target=None, timeout_s=5.0, token=TOKEN, state=None, **options):
    return TelegramChannel(
        name="owner", target=target or str(double.home.id),
        options=TelegramOptions(**{"api_base": double.base, **options}),
        secrets={"token": token}, language="en", timeout_s=timeout_s, state=state,
    )  # fmt: skip


def bench_of(**options):
    @asynccontextmanager
    async def bench():
        async with TelegramDouble() as telegram:
            channel = make(telegram, timeout_s=0.5, **options)
            yield Bench(channel, telegram.arrange, secrets=(TOKEN,), text_of=text_of)

    return bench


TestContract = channel_contract(bench_of())
TestContractWithStub = channel_contract(bench_of(stub=True))
