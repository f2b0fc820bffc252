"""What every service's double offers to the tests that go over all channels.

A double is an asynchronous context manager on loopback that takes what its service takes and
refuses what it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Service(Protocol):
    """One service with one place that reports go to.

    `channel` is the channel's type, `destination` the keys of its table (target and options) but
    `channel` itself, and `secrets` its secrets by name. `texts` is what a reader of the place
    sees, as readable text without the service's own notation, oldest first, a repeat once more.
    `exactly_once` is what CHANNELS says of it: a repeat is recognised, or it can be read back.

    `on_step` is called, where it is set, with "arrived" when a whole part is here and nothing has
    been taken, and with "taken" when it has been, before the answer is begun. A repeat that the
    service recognises arrives too, but is not taken again.

    `arrange` brings the service into a situation and returns whether it can be brought there:
    those of `ownerreportd.testing.Bench` and, for people's mistakes, "wrong_token",
    "wrong_target" (deleted, or never there) and "no_permission". "drops" takes the part and then
    loses the answer. "accepts" mends everything.
    """

    channel: str
    secrets: dict[str, str]
    exactly_once: bool
    on_step: Callable[[str], None] | None

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def destination(self) -> dict[str, Any]: ...

    @property
    def texts(self) -> list[str]: ...

    async def arrange(self, situation: str) -> bool: ...
