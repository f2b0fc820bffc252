"""Owns requests that wait: they end with their answer, with the daemon, or with their caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from ownerreportd.core.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    Json: TypeAlias = dict[str, Any]


async def first_of(request: Request, ask: Callable[[], Awaitable[Json]]) -> Json | None:
    """The answer, or None as soon as the daemon stops or the caller has gone.

    `ask` is cancelled then, so it must be something that only waits.
    """
    stopping: anyio.Event = request.app.state.stopping
    answers: list[Json] = []
    refusals: list[OperatorError] = []
    async with anyio.create_task_group() as tasks:

        async def ended(waiting: Callable[[], Awaitable[object]]) -> None:
            await waiting()
            tasks.cancel_scope.cancel()

        tasks.start_soon(ended, stopping.wait)
        tasks.start_soon(ended, lambda: _gone(request))
        try:
            answers.append(await ask())
        except OperatorError as error:
            refusals.append(error)  # raised outside, where no group wraps it
        tasks.cancel_scope.cancel()
    for refusal in refusals:
        raise refusal
    return answers[0] if answers else None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that a GET had no need of
