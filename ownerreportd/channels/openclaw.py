"""Owns delivery by OpenClaw: its CLI asks the gateway to send one message.

The key goes along as `idempotencyKey`; the gateway remembers it for five minutes, in memory, and
forgets it when it is restarted. So no repeat is surely recognised, and a doubt is held for a
person. Its record of messages is off by default, so it is not read back. `--dry-run`, which older
versions took for an order to send, is never used.

Source: openclaw 2026.9.6, docs/cli/gateway/query.md, docs/cli/audit.md; measured.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import anyio
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ownerreportd.channels import openclaw_answers as answers
from ownerreportd.channels.openclaw_cli import PLACES, Cli
from ownerreportd.channels.program import CutOff, NeverRan
from ownerreportd.channels.program_file import absolute
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from datetime import datetime

    from ownerreportd.channels.program import Run
    from ownerreportd.core.outcome import LookResult, Outcome
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 2_000
REMEMBERED_S_MAX: Final = 300  # DEDUPE_TTL_MS of dist/server-constants-*.mjs
VERSION_MIN: Final = (2026, 9, 0)  # from here on a failure has status 1
_ENVIRONMENT: Final = (
    "HOME",
    "OPENCLAW_HOME",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_GATEWAY_URL",
    "OPENCLAW_GATEWAY_PORT",
    "OPENCLAW_GATEWAY_TOKEN",
    "OPENCLAW_GATEWAY_PASSWORD",
)
_TARGET: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}:\S(?:.*\S)?")
_HINT_TARGET: Final = 'use CHANNEL:TO, as "telegram:123456" or "discord:channel:148..."'
_VERSION: Final = re.compile(rb"\b(\d{4})\.(\d{1,2})\.(\d{1,3})\b")
_HINT_VERSION: Final = "npm install -g openclaw@latest; set program to the one that is to be used"
_HINT_GATEWAY: Final = "openclaw gateway status; it is tried again by itself"
_HINT_CHANNEL: Final = "openclaw channels status; set target to one of them, or add it there"
_HINT_SLOW: Final = "give it more time: timeout_s"


def _optional_path(path: str) -> str:
    try:
        return path and absolute(path)
    except ConfigError as error:
        raise ValueError(f"{error}; {error.hint}") from error


class OpenclawOptions(BaseModel):
    """An openclaw destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    program: Annotated[str, AfterValidator(_optional_path)] = Field(
        "", description="the absolute path of the CLI; without it the usual places are looked at"
    )
    path: str = Field(
        "", description="the PATH that the CLI finds Node by; without it its own folder and /usr"
    )
    environment: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = Field(
        _ENVIRONMENT, description="names of the daemon's environment that the CLI is to see"
    )
    account: str = Field("", description="which of the channel's accounts sends")
    text_max: int = Field(
        TEXT_MAX,
        ge=200,
        le=16_000,  # six bytes each in JSON are under the system's 128 KiB for one argument
        description="the longest text of one part, in code points",
    )
    dedup_window_s: float = Field(
        0.0,
        ge=0,
        le=REMEMBERED_S_MAX,
        description="how long the gateway surely remembers a key: surely runs on without a restart",
    )


class OpenclawChannel:
    """One place that an OpenClaw gateway can send to."""

    Options: ClassVar[type[OpenclawOptions]] = OpenclawOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX)
    secret_names: ClassVar[tuple[str, ...]] = ()
    optional_secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "hold"

    def __init__(
        self,
        *,
        name: str,  # noqa: ARG002  every channel is made alike
        target: str,
        options: OpenclawOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        self._channel, _, self._to = self.check_target(target).partition(":")
        self._account = options.account
        self._language = language
        self._cli = Cli(
            places=(options.program,) if options.program else PLACES,
            path=options.path,
            names=options.environment,
            token=secrets.get("token", ""),
            timeout_s=timeout_s,
        )
        self.capabilities = replace(
            self.capabilities,
            text_max=options.text_max,
            dedup_window_s=options.dedup_window_s,
        )

    @staticmethod
    def check_target(target: str) -> str:
        """One of OpenClaw's channels, a colon, and whom it is to reach."""
        found = target.strip()
        if not _TARGET.fullmatch(found) or not found.isprintable():
            raise ConfigError(f"target {target!r} is none of OpenClaw's", hint=_HINT_TARGET)
        return found

    def render(self, report: Report) -> list[Part]:
        """The report as Markdown of which OpenClaw takes nothing for its own."""
        from ownerreportd.render.openclaw import OPENCLAW, defused
        from ownerreportd.render.parts import render_parts

        return render_parts(
            defused(report),
            text_max=self.capabilities.text_max,
            unit="code_points",
            dialect=OPENCLAW,
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """Have the gateway send the part, under its key."""
        params = {
            "channel": self._channel,
            "action": "send",
            "params": {"to": self._to, "message": part.payload.decode("utf-8")},
            "idempotencyKey": part.key,
        }
        if self._account:
            params["accountId"] = self._account
        done = await self._cli.call("message.action", params)
        return answers.outcome(done, self._to, self._cli.secrets)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002  the protocol's
        """OpenClaw keeps no record that could be asked."""
        return Unknown("OpenClaw keeps no record of what it has sent")

    async def check(self) -> list[Problem]:
        """Look at the CLI and its version, and ask the gateway how it is; nothing is sent."""
        found: dict[str, Run | Problem] = {}

        async def keep(name: str, asking: Awaitable[Run | Problem]) -> None:
            found[name] = await asking

        async with anyio.create_task_group() as group:
            group.start_soon(keep, "version", self._cli.version())
            group.start_soon(keep, "health", self._cli.call("health", {}))
        wrong = _version_problem(found["version"], self._cli.secrets)
        wrong = wrong or self._gateway_problem(found["health"])
        return [wrong] if wrong else []

    def _gateway_problem(self, done: Run | Problem) -> Problem | None:
        """What keeps the gateway from sending for us, as far as its health tells."""
        if isinstance(done, Problem | NeverRan | CutOff):
            detail = f"the gateway's health: {done.detail}"
            return Problem("unreachable", detail, _HINT_GATEWAY)
        if done.status:
            return answers.gateway_problem(done, self._cli.secrets)
        channels = answers.health(done)
        if self._channel not in channels:
            named = ", ".join(sorted(channels)) or "none"
            detail = f"the gateway has no channel {self._channel}; it has {named}"
            return Problem("openclaw.channel", detail, _HINT_CHANNEL)
        accounts = channels[self._channel].get("accounts")
        if self._account and isinstance(accounts, dict) and self._account not in accounts:
            detail = f"the gateway has no account {self._account} for {self._channel}"
            return Problem("openclaw.account", detail, f"use one of {', '.join(sorted(accounts))}")
        return None

    async def aclose(self) -> None:
        """Nothing stays open."""


def _version_problem(done: Run | Problem, secrets: tuple[str, ...]) -> Problem | None:
    """What is wrong with the CLI itself."""
    if isinstance(done, Problem):
        return done
    if isinstance(done, NeverRan):
        return Problem(f"openclaw.{done.code}", done.detail, answers.HINT_START)
    if isinstance(done, CutOff):
        return Problem("unreachable", f"openclaw --version: {done.detail}", _HINT_SLOW)
    version = _VERSION.search(done.output)
    if done.status or version is None:
        return Problem("openclaw.no_cli", answers.in_words(done, secrets), answers.HINT_START)
    if tuple(map(int, version.groups())) < VERSION_MIN:
        least = ".".join(map(str, VERSION_MIN))
        detail = f"this is OpenClaw {version[0].decode()}; before {least} a failure looked well"
        return Problem("openclaw.version", detail, _HINT_VERSION)
    return None
