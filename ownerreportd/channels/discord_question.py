"""Owns one question to Discord: the answer, or why there is none and whether to ask again.

Rule: a question changes nothing at Discord, so whatever stands in its way may be tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ownerreportd.channels.discord_answers import NO_HINTS, refusal
from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import Answer
from ownerreportd.core.outcome import Rejected, Throttled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ownerreportd.channels.discord_answers import Refusal
    from ownerreportd.channels.http import HttpClient

HINT_UNREACHABLE: Final = "check the network, the proxy and api_base; it is tried again by itself"


NOT_DISCORD: Final = Failed(
    "not_discord",
    "the answer was 200, but not what Discord answers",
    "check api_base and the proxy between here and Discord",
    # A portal that wants a log-in answers like this, and goes away.
    is_transient=True,
)


async def ask(
    http: HttpClient, url: str, own_hints: Mapping[int, str] = NO_HINTS
) -> Answer | Failed:
    """GET once; an answer is always a 200. `own_hints` are as in `refusal`."""
    answer = await http.exchange("GET", url)
    if not isinstance(answer, Answer):
        return _failed(answer)
    return answer if answer.status == 200 else _failed(refusal(answer, http.shown, own_hints))


def too_slow(timeout_s: float) -> Failed:
    """Several questions together did not end in time."""
    detail = f"Discord did not answer everything within {timeout_s:g} s"
    return Failed("unreachable", detail, HINT_UNREACHABLE, is_transient=True)


def _failed(outcome: Refusal) -> Failed:
    if isinstance(outcome, Rejected):
        return Failed(outcome.code, outcome.detail, outcome.hint, is_transient=False)
    wait_s = outcome.retry_after_s if isinstance(outcome, Throttled) else 0.0
    return Failed(
        "unreachable",
        outcome.detail,
        HINT_UNREACHABLE,
        is_transient=True,
        retry_after_s=wait_s,
    )
