"""Owns delivery by a program of your own: one part is one run, JSON in, JSON out.

Rule: only a program that ended with status 0 and wrote exactly one answer has answered; every
other end of one that ran is a doubt. What the system did not even start is configuration.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ownerreportd.channels import exec_answers as answers
from ownerreportd.channels.program import (
    Ended,
    NeverRan,
    environment,
    run,
    shown,
    status_text,
)
from ownerreportd.channels.program_file import absolute, problem
from ownerreportd.core.channel import Capabilities, Part, Problem, TextUnit
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.channels.program import Run
    from ownerreportd.core.outcome import LookResult, Outcome
    from ownerreportd.core.report import Report

OUTPUT_BYTES_MAX: Final = 65_536
TEXT_MIN: Final = 200
_HINT_RUN: Final = "run it by hand, as the daemon's user, with the JSON on its standard input"
_HINT_START: Final = "check the program, its first line and its arguments"


class ExecOptions(BaseModel):
    """An exec destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: tuple[Annotated[str, Field(pattern=r"^[^\x00]*$")], ...] = Field(
        (), description="the program's arguments, as they are; no shell reads them"
    )
    environment: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = Field(
        (), description="names of the daemon's environment that the program is to see"
    )
    dedup_window_s: float = Field(
        0.0,
        ge=0,
        le=30 * 86_400,
        description="how long the program surely recognises a repeated key; 0 if it never does",
    )
    read_back: bool = Field(
        False,  # noqa: FBT003  the field's default
        description='whether the program also answers "look" and "check"',
    )
    proof: Literal["confirmed", "accepted"] = Field(
        "confirmed", description='the best that the program can prove; "accepted" needs archive_on'
    )
    text_max: int | None = Field(
        None, ge=TEXT_MIN, description="the longest text of one part; without it there is no limit"
    )
    text_unit: TextUnit = Field("code_points", description="what text_max counts")
    tables: bool = Field(
        True,  # noqa: FBT003  the field's default
        description="whether tables stay Markdown; else they come as code blocks",
    )


class ExecChannel:
    """One program that delivers parts."""

    Options: ClassVar[type[ExecOptions]] = ExecOptions
    capabilities: Capabilities = Capabilities(text_max=None)
    secret_names: ClassVar[tuple[str, ...]] = ()
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,  # noqa: ARG002  every channel is made alike
        target: str,
        options: ExecOptions,
        secrets: Mapping[str, str],  # noqa: ARG002  likewise
        language: str,
        timeout_s: float,
    ) -> None:
        self._program = self.check_target(target)
        self._options = options
        self._language = language
        self._timeout_s = timeout_s
        self.capabilities = Capabilities(
            text_max=options.text_max,
            text_unit=options.text_unit,
            dedup_window_s=options.dedup_window_s,
            read_back=options.read_back,
            proof=options.proof,
        )

    @staticmethod
    def check_target(target: str) -> str:
        """The absolute path of a program, with `~` resolved."""
        return absolute(target)

    def render(self, report: Report) -> list[Part]:
        """The report in Markdown, in parts of at most `text_max`."""
        from ownerreportd.render.dialects import MARKDOWN
        from ownerreportd.render.parts import render_parts

        return render_parts(
            report,
            text_max=self._options.text_max,
            unit=self._options.text_unit,
            dialect=replace(MARKDOWN, tables=self._options.tables),
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """Run the program once, with the part on its standard input."""
        done = await self._run(answers.send_request(part))
        if isinstance(done, Problem):
            return Rejected(done.code, "config", done.detail, done.hint)
        if isinstance(done, NeverRan):
            if done.passing:
                return NotSent(done.detail)
            return Rejected(f"exec.{done.code}", "config", done.detail, _HINT_START)
        try:
            return answers.sent(self._answer(done), self.capabilities.proof)
        except answers.AnswerError as error:
            return InDoubt(str(error))

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Ask the program, where it can be asked."""
        if not self.capabilities.read_back:
            return Unknown("the program cannot be asked what it has had")
        done = await self._run(answers.look_request(part, since, known))
        if isinstance(done, Problem | NeverRan):
            return Unknown(done.detail, transient=True)
        try:
            return answers.looked(self._answer(done), self.capabilities.proof)
        except answers.AnswerError as error:
            return Unknown(str(error), transient=True)

    async def check(self) -> list[Problem]:
        """Look at the program's file; with `read_back`, ask the program itself too."""
        if not self.capabilities.read_back:
            found = await problem(self._program, "exec", key="target")
            return [found] if found else []
        done = await self._run(answers.check_request())
        if isinstance(done, Problem):
            return [done]
        if isinstance(done, NeverRan):
            return [Problem(f"exec.{done.code}", done.detail, _HINT_START)]
        try:
            return answers.checked(self._answer(done))
        except answers.AnswerError as error:
            return [Problem("exec.no_answer", str(error), _HINT_RUN)]

    async def aclose(self) -> None:
        """Nothing stays open."""

    async def _run(self, request: bytes) -> Run | Problem:
        """One run, unless the file is not to be trusted: others could have changed it since."""
        found = await problem(self._program, "exec", key="target")
        return found or await run(
            (self._program, *self._options.arguments),
            environment(self._options.environment),
            given=request,
            timeout_s=self._timeout_s,
            output_bytes_max=OUTPUT_BYTES_MAX,
        )

    def _answer(self, done: Run) -> bytes:
        """What it wrote, if it ended as one does that has answered.

        Raises:
            AnswerError: if it did not.
        """
        if isinstance(done, NeverRan):
            raise answers.AnswerError(done.detail)
        if isinstance(done, Ended) and done.status == 0:
            return done.output
        detail = status_text(done.status) if isinstance(done, Ended) else done.detail
        secrets = [os.environ.get(name, "") for name in self._options.environment]
        said = shown(done.errors, secrets)
        raise answers.AnswerError(f"{detail}: {said}" if said else detail)
