"""Owns what the author of a channel tests with: two fakes, and the contract as a class of tests.

In a test module, with pytest:

    @asynccontextmanager
    async def bench():
        async with MyService() as service:
            yield Bench(MyChannel(...), arrange=service.arrange, secrets=("the token",))

    TestMyChannel = channel_contract(bench)
"""

from __future__ import annotations

from ownerreportd.testing.bench import Bench, OpenBench, Situation
from ownerreportd.testing.contract import ChannelContract, channel_contract
from ownerreportd.testing.fakes import Accepts, FakeChannel, FakeClock, Hangs, Step

__all__ = [
    "Accepts",
    "Bench",
    "ChannelContract",
    "FakeChannel",
    "FakeClock",
    "Hangs",
    "OpenBench",
    "Situation",
    "Step",
    "channel_contract",
]
