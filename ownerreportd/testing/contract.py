"""Owns the contract of channels as tests that anybody's channel can be put through.

Rule: nothing here needs pytest. The tests are plain methods that raise AssertionError, and
`unittest.SkipTest` where the service cannot be brought into a situation.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import unittest
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ownerreportd.core.channel import Form, Part, measure
from ownerreportd.core.outcome import Confirmed, Found, Outcome, Rejected, Throttled
from ownerreportd.testing.bench import (
    EXPECTED,
    REPORTS,
    Bench,
    OpenBench,
    Situation,
    arranged,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ownerreportd.core.report import Report

PATIENCE_S = 5.0


def channel_contract(open_bench: OpenBench) -> type[ChannelContract]:
    """The contract as a class of tests; give it a name that begins with `Test`."""
    return type("Contract", (ChannelContract,), {"open_bench": staticmethod(open_bench)})


class ChannelContract:
    """What every channel must do. Each test opens a bench of its own, in a loop of its own."""

    open_bench: OpenBench

    def run(self, test: Callable[[Bench], Awaitable[None]]) -> None:
        """Run one test on a fresh bench.

        Where blockbuster is installed, a channel that blocks the loop fails the test; the bench's
        own arranging may block.
        """

        async def whole() -> None:
            async with self.open_bench() as bench:
                try:
                    with _no_blocking() as guard:
                        await asyncio.wait_for(test(_free_to_block(bench, guard)), 10 * PATIENCE_S)
                finally:
                    await bench.channel.aclose()

        asyncio.run(whole())

    def outcome_in(self, situation: Situation) -> None:
        """Send one part in that situation and compare the kind of outcome."""

        async def test(bench: Bench) -> None:
            await arranged(bench, situation)
            outcome = await bench.channel.send(parts_of(bench.channel)[0])
            expected = EXPECTED[situation]
            _claim(isinstance(outcome, expected), f"{situation}: {outcome} is no {expected}")
            _claim_well_formed(outcome, situation)
            _claim_no_secret(bench, outcome)

        self.run(test)

    def test_an_accepted_part_is_confirmed(self) -> None:
        """With a receipt that has an id."""
        self.outcome_in("accepts")

    def test_a_throttled_part_says_how_long_to_wait(self) -> None:
        """As a finite number of seconds."""
        self.outcome_in("throttles")

    def test_an_unreachable_service_is_not_sent(self) -> None:
        """Since no connection was made, nothing can have been accepted."""
        self.outcome_in("unreachable")

    def test_a_dropped_connection_is_in_doubt(self) -> None:
        """The request was read; whether it was done, nobody can tell."""
        self.outcome_in("drops")

    def test_a_silent_service_is_in_doubt_after_the_deadline(self) -> None:
        """The channel keeps its own deadline."""
        self.outcome_in("silent")

    def test_a_refused_report_is_rejected_for_the_report(self) -> None:
        """With a hint."""
        self.outcome_in("refuses_report")

    def test_a_refused_configuration_is_rejected_for_the_configuration(self) -> None:
        """With a hint."""
        self.outcome_in("refuses_config")

    def test_repeating_a_key_within_the_window_returns_the_first_receipt(self) -> None:
        """Also in the other form."""

        async def test(bench: Bench) -> None:
            if not bench.channel.capabilities.dedup_window_s:
                raise unittest.SkipTest("the channel recognises no repeat")
            await arranged(bench, "accepts")
            part = parts_of(bench.channel)[0]
            first = await bench.channel.send(part)
            again = await bench.channel.send(part.as_form("marked"))
            _claim(isinstance(again, Confirmed) and first == again, f"{first}, then {again}")

        self.run(test)

    def test_a_sent_part_is_found_and_an_unsent_one_is_not(self) -> None:
        """And what is known to be another part's message is not this one."""

        async def test(bench: Bench) -> None:
            channel = bench.channel
            if not channel.capabilities.read_back:
                raise unittest.SkipTest("the channel cannot be read back")
            await arranged(bench, "accepts")
            since = datetime.now(UTC)
            sent, unsent = (parts_of(channel, report)[0] for report in REPORTS[:2])
            outcome = await channel.send(sent)
            _claim(isinstance(outcome, Confirmed), f"{outcome}")
            found = await channel.look(sent, since, frozenset())
            same = isinstance(found, Found) and found.receipt.id == _receipt_id(outcome)
            _claim(same, f"sent as {outcome}, looked up as {found}")
            missing = await channel.look(unsent, since, frozenset())
            _claim(not isinstance(missing, Found), f"found what was never sent: {missing}")

        self.run(test)

    def test_cancellation_passes_through_and_leaves_the_channel_usable(self) -> None:
        """A stop must not wait for the service."""

        async def test(bench: Bench) -> None:
            await arranged(bench, "silent")
            part = parts_of(bench.channel)[0]
            sending = asyncio.ensure_future(bench.channel.send(part))
            done, _ = await asyncio.wait([sending], timeout=0.05)
            if not done:
                sending.cancel()
                done, _ = await asyncio.wait([sending], timeout=PATIENCE_S)
            _claim(bool(done), "the cancelled send is still running")
            _claim(sending.cancelled(), "the send swallowed its cancellation")
            await arranged(bench, "accepts")
            outcome = await bench.channel.send(part)
            _claim(isinstance(outcome, Confirmed), f"after a cancellation: {outcome}")

        self.run(test)

    def test_closing_twice_is_no_error(self) -> None:
        """And closing without ever having sent is none."""

        async def test(bench: Bench) -> None:
            await bench.channel.aclose()
            await bench.channel.aclose()

        self.run(test)

    def test_a_ready_destination_has_no_problem(self) -> None:
        """`check` is read-only, so it may be asked twice."""

        async def test(bench: Bench) -> None:
            await arranged(bench, "accepts")
            problems = [*await bench.channel.check(), *await bench.channel.check()]
            _claim(not problems, f"{problems}")

        self.run(test)

    def test_an_unreachable_destination_is_one_problem_named_so(self) -> None:
        """Its code is `unreachable`, so that it is told from a wrong configuration."""

        async def test(bench: Bench) -> None:
            await arranged(bench, "unreachable")
            problems = await bench.channel.check()
            _claim([p.code for p in problems] == ["unreachable"], f"{problems}")
            _claim(all(p.detail and p.hint for p in problems), f"no hint: {problems}")
            _claim_no_secret(bench, problems)

        self.run(test)

    def test_a_wrong_configuration_shows_no_secret_in_its_problems(self) -> None:
        """Problems are printed and logged."""

        async def test(bench: Bench) -> None:
            await arranged(bench, "refuses_config")
            _claim_no_secret(bench, await bench.channel.check())

        self.run(test)

    def test_capabilities_are_possible(self) -> None:
        """Limits are positive, windows not negative."""

        async def test(bench: Bench) -> None:
            found = bench.channel.capabilities
            _claim(found.text_max is None or found.text_max > 0, f"{found}")
            _claim(found.dedup_window_s >= 0, f"{found}")

        self.run(test)

    def test_every_report_becomes_numbered_parts_within_the_limit(self) -> None:
        """In both forms, counted in the channel's own unit, and without keys."""

        async def test(bench: Bench) -> None:
            for report in REPORTS:
                parts = bench.channel.render(report)
                numbers = [(part.number, part.count) for part in parts]
                wanted = [(n, len(parts)) for n in range(1, len(parts) + 1)]
                _claim(bool(parts) and numbers == wanted, f"{report.id}: {numbers}")
                for part in parts:
                    _claim_fits(bench, report, part)

        self.run(test)

    def test_the_same_report_becomes_the_same_bytes(self) -> None:
        """Also in another object of the channel, so that a restart sends what was frozen."""
        rendered = []

        async def test(bench: Bench) -> None:
            rendered.append([bench.channel.render(report) for report in REPORTS])

        self.run(test)
        self.run(test)
        _claim(rendered[0] == rendered[1], "two renderings of one report differ")


def _claim(holds: bool, otherwise: str) -> None:  # noqa: FBT001  reads like an assertion
    if not holds:
        raise AssertionError(otherwise)


def _claim_fits(bench: Bench, report: Report, part: Part) -> None:
    limits = bench.channel.capabilities
    forms: tuple[Form, Form] = ("plain", "marked")
    for form in forms:
        text = bench.text_of(part.as_form(form).payload)
        size = measure(text, limits.text_unit)
        _claim(limits.text_max is None or size <= limits.text_max, f"{report.id}: {form} {size}")
        _claim(bool(text.strip()), f"{report.id}: part {part.number} is empty")
    _claim(part.plain != part.marked, f"{report.id}: the marked form says nothing")
    _claim(not part.key, f"{report.id}: the key is not the channel's to give")


def _claim_well_formed(outcome: Outcome, situation: Situation) -> None:
    if isinstance(outcome, Confirmed):
        _claim(bool(outcome.receipt.id), f"a receipt without an id: {outcome}")
    elif isinstance(outcome, Throttled):
        _claim(0 <= outcome.retry_after_s < math.inf, f"{outcome}")
    elif isinstance(outcome, Rejected):
        _claim(bool(outcome.code and outcome.detail and outcome.hint), f"{outcome}")
        _claim(situation == f"refuses_{outcome.scope}", f"{situation}: scope {outcome.scope}")
    else:
        _claim(bool(outcome.detail), f"no detail: {outcome}")


def _claim_no_secret(bench: Bench, shown: Any) -> None:
    for secret in bench.secrets:
        _claim(secret not in repr(shown), "a secret is shown")


def _receipt_id(outcome: Outcome) -> str:
    return outcome.receipt.id if isinstance(outcome, Confirmed) else ""


def _no_blocking() -> contextlib.AbstractContextManager[Any]:
    try:
        from blockbuster import blockbuster_ctx
    except ImportError:
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[Any] = blockbuster_ctx()
    return context


def _free_to_block(bench: Bench, guard: Any) -> Bench:
    """The bench, with the guard lifted while it arranges a situation."""
    if guard is None:
        return bench

    async def arrange(situation: Situation) -> bool:
        guard.deactivate()
        try:
            return await bench.arrange(situation)
        finally:
            guard.activate()

    return replace(bench, arrange=arrange)
