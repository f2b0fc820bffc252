"""Owns running the OpenClaw CLI: where it is, what it sees, and how a method is called.

Rule: the report is an argument, since the CLI takes parameters nowhere else; the token is not.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from ownerreportd.channels.program import PATH, environment, run
from ownerreportd.channels.program_file import problem
from ownerreportd.core.channel import Problem

if TYPE_CHECKING:
    from ownerreportd.channels.program import Run

PLACES: Final = (
    "/usr/local/bin/openclaw",
    "/usr/bin/openclaw",
    "~/.local/bin/openclaw",
    "~/.npm-global/bin/openclaw",
)
_TOKEN: Final = "OPENCLAW_GATEWAY_TOKEN"  # noqa: S105  a name
_PASSWORD: Final = "OPENCLAW_GATEWAY_PASSWORD"  # noqa: S105  a name


@dataclass(frozen=True, slots=True)
class Cli:
    """The CLI as one destination runs it.

    `places` are where the program may be, `path` the PATH it finds Node by (its own folder and
    /usr where it is empty), `names` what it sees of our environment. `timeout_s` bounds each run.
    """

    places: tuple[str, ...]
    path: str
    names: tuple[str, ...]
    token: str
    timeout_s: float

    async def version(self) -> Run | Problem:
        """Ask the program for its version."""
        return await self._run("--version")

    async def call(self, method: str, params: dict[str, Any]) -> Run | Problem:
        """Call one of the gateway's methods."""
        given = json.dumps(params, ensure_ascii=False)
        wait = str(int(self.timeout_s * 1000))
        return await self._run(
            "gateway", "call", method, "--params", given, "--json", "--timeout", wait
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown of what the CLI says."""
        environ = self._environ("")
        return tuple(value for n in (_TOKEN, _PASSWORD) if (value := environ.get(n)))

    def _environ(self, program: str) -> dict[str, str]:
        path = self.path or f"{os.path.dirname(program)}:{PATH}"  # noqa: PTH120  it is a text
        token = {_TOKEN: self.token} if self.token else {}
        return {**environment(self.names, path=path), **token}

    async def _run(self, *words: str) -> Run | Problem:
        """One run, unless the file is not to be trusted: others could have changed it since."""
        program = await to_thread.run_sync(self._first)
        if program is None:
            detail = f"openclaw is at none of {', '.join(self.places)}"
            return Problem("openclaw.ENOENT", detail, "install it, or set program to its path")
        wrong = await problem(program, "openclaw", key="program")
        return wrong or await run(
            (program, *words), self._environ(program), timeout_s=self.timeout_s
        )

    def _first(self) -> str | None:
        """The first of the places where there is something; the one place that was set."""
        if len(self.places) == 1:
            return self.places[0]
        paths = (os.path.expanduser(place) for place in self.places)  # noqa: PTH111  never raises
        return next((path for path in paths if Path(path).exists()), None)
