"""Owns the bench of the contract: a channel beside its service, situations, and odd reports."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Throttled
from ownerreportd.core.report import Report, part_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ownerreportd.core.channel import Channel, Part

Situation: TypeAlias = Literal[
    "accepts", "throttles", "unreachable", "drops", "silent", "refuses_report", "refuses_config"
]


@dataclass(frozen=True, slots=True)
class Bench:
    """A channel under test beside the service it talks to.

    `arrange` brings the service into a situation and returns whether it can: `accepts`: all is
    well; `throttles`: come back later; `unreachable`: no connection can be made; `drops`: the
    request is read, and the connection closed without an answer; `silent`: no answer ever comes
    (the channel needs a short deadline); `refuses_report`, `refuses_config`: a lasting refusal
    of this report, of this configuration. `text_of` takes the text out of a payload.
    """

    channel: Channel
    arrange: Callable[[Situation], Awaitable[bool]]
    secrets: tuple[str, ...] = ()
    text_of: Callable[[bytes], str] = bytes.decode


OpenBench: TypeAlias = "Callable[[], AbstractAsyncContextManager[Bench]]"

EXPECTED: dict[Situation, type] = {
    "accepts": Confirmed,
    "throttles": Throttled,
    "unreachable": NotSent,
    "drops": InDoubt,
    "silent": InDoubt,
    "refuses_report": Rejected,
    "refuses_config": Rejected,
}
REPORTS = (
    Report("plain", "All is well.", title="A title", worker="alice", team="general"),
    Report("long", "One sentence that is repeated. " * 700),
    Report("one-line", "x" * 9000),
    Report("emoji", "\N{FAMILY}\N{VARIATION SELECTOR-16}" * 3000),
    Report("fence", "```python\n" + "print('ein Satz')\n" * 400 + "```\n\nAfter it.\n"),
    Report("zh", "進度回報：一切正常。" * 500, task_id="任務", status="blocked"),
    Report("mentions", "@everyone <@1> <@&2> <!channel> [x](javascript:1) `code`"),
)


async def arranged(bench: Bench, situation: Situation) -> None:
    """Bring the service into the situation.

    Raises:
        unittest.SkipTest: if it cannot be brought there; pytest shows it as skipped.
    """
    if not await bench.arrange(situation):
        raise unittest.SkipTest(f"the service cannot be brought into the situation {situation!r}")


def parts_of(channel: Channel, report: Report = REPORTS[0]) -> list[Part]:
    """The report's parts with keys, as the ledger gives them."""
    return [
        replace(
            part,
            key=part_key(
                report.id, "0" * 64, "contract", "contract", number=part.number, generation=1
            ),
        )
        for part in channel.render(report)
    ]
