"""The Matrix channel against the double of a homeserver: what it asks, and what answers mean."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

from doubles.matrix import TOKEN, MatrixDouble

from ownerreportd.channels.matrix import MatrixChannel
from ownerreportd.core.channel import Part
from ownerreportd.core.report import Report
from ownerreportd.testing import Bench, channel_contract


def make(base, target, *, timeout_s=2.0, token=TOKEN, **options):
    return MatrixChannel(
        name="owner", target=target, options=MatrixChannel.Options(homeserver=base, **options),
        secrets={"token": token}, language="en", timeout_s=timeout_s,
    )  # fmt: skip


def body_of(payload):
    return json.loads(payload)["body"]


@asynccontextmanager
async def matrix_bench():
    async with MatrixDouble() as homeserver:
        given = homeserver.destination
        channel = make(
            given["homeserver"], given["target"], timeout_s=0.5, device_id=given["device_id"]
        )
        yield Bench(channel, homeserver.arrange, secrets=(TOKEN,), text_of=body_of)


TestMatrix = channel_contract(matrix_bench)


KEY = "abcdefghijklmnopqrstuv23"


def part(text="hello 完成", key=KEY, form="plain"):
    plain, marked = (json.dumps({"body": each}).encode() for each in (text, f"(again) {text}"))
    return Part(1, 1, plain, marked, key, form)


def worst_parts(channel):
    """Parts that become as large as any can."""
    bodies = ["\x01" * 8000, '"' * 8000, "\n>&<" * 1990, "- x\n" * 1990]
    return [channel.render(Report("r", body))[0] for body in bodies]
