"""Owns delivery to the terminal that the daemon runs in: for trying it out, and for people there.

"Confirmed" means written and flushed; whether anybody looked, a terminal cannot say.
"""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, ClassVar

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Receipt, Rejected, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult, Outcome
    from ownerreportd.core.report import Report

_HINT = "start the daemon in a terminal, or use another channel"


class ConsoleOptions(BaseModel):
    """The console has no keys of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConsoleChannel:
    """The standard output of the process."""

    Options: ClassVar[type[ConsoleOptions]] = ConsoleOptions
    capabilities: Capabilities = Capabilities(text_max=None)
    secret_names: ClassVar[tuple[str, ...]] = ()
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,  # noqa: ARG002  every channel is made alike
        target: str,
        options: ConsoleOptions,  # noqa: ARG002  likewise
        secrets: Mapping[str, str],  # noqa: ARG002  likewise
        language: str,
        timeout_s: float,  # noqa: ARG002  a terminal knows no deadline
    ) -> None:
        self.check_target(target)
        self._language = language

    @staticmethod
    def check_target(target: str) -> str:
        """`stdout`, which may be left out."""
        if target not in {"", "-", "stdout"}:
            raise ConfigError(
                f"target {target!r} is none of the console's",
                hint='use "stdout", or leave target out',
            )
        return "stdout"

    def render(self, report: Report) -> list[Part]:
        """The report as one text, in Markdown as it was written."""
        from ownerreportd.render.dialects import MARKDOWN
        from ownerreportd.render.parts import render_parts

        return render_parts(
            report,
            text_max=None,
            unit="code_points",
            dialect=MARKDOWN,
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """Write the text and an empty line."""
        return await to_thread.run_sync(_write, part)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002  there is nothing to read
        """A terminal cannot be read back."""
        return Unknown("a terminal cannot be read back")

    async def check(self) -> list[Problem]:
        """Whether there is a standard output."""
        if sys.stdout is None or sys.stdout.closed:
            return [Problem("console.closed", "there is no standard output", _HINT)]
        return []

    async def aclose(self) -> None:
        """The standard output is not ours to close."""


def _write(part: Part) -> Outcome:
    if sys.stdout is None or sys.stdout.closed:
        return Rejected("console.closed", "config", "there is no standard output", _HINT)
    text = _harmless(part.payload.decode("utf-8"))
    try:
        # Through the buffer: a terminal in another encoding must not cost the report.
        sys.stdout.buffer.write(text.encode("utf-8") + b"\n\n")
        sys.stdout.flush()
    except OSError as error:
        return InDoubt(f"the terminal may have shown only some of it: {error.strerror}")
    return Confirmed(Receipt(part.key))


def _harmless(text: str) -> str:
    """The text without control characters, with which a report could repaint the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "�" for c in text)
