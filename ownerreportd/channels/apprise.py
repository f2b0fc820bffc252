"""Owns delivery through Apprise: one URL, one part, in a process of its own.

Apprise answers yes or no for everything together, so a yes proves no more than "accepted", and a
no proves nothing: what it did before that is not told. The process says when it begins to send;
what ends it before is `NotSent`, everything later `InDoubt`. The URL is a secret: it goes to the
process through its standard input, never as an argument or in the environment.

Source: caronc/apprise 2.3, apprise/plugins/base.py (retry, wait, optional, overflow) and
apprise/apprise.py (one bool for all).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import anyio
from pydantic import BaseModel, ConfigDict, Field

from ownerreportd.channels.shown import shown
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    Unknown,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from anyio.abc import Process

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX = 1_000  # characters; nearly every service takes as many, also once they are HTML
ANSWER_BYTES_MAX = 65_536
_END_S = 2.0
_PROGRAM = ("-P", "-m", "ownerreportd.channels.apprise_child")  # -P: no module from where we are
# With these Apprise says yes to what failed, sends twice by itself, or cuts the text.
_REFUSED_KEYS = ("optional", "retry", "wait", "overflow")
_URL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*://\S+")
_TWO_URLS = re.compile(r"[\s,;][A-Za-z0-9]+://")
_HINT_INSTALL = "pip install 'ownerreportd[apprise]'"
_HINT_URL = "put one Apprise URL into apprise.url beside the configuration (mode 600), or url_file"
_PINGS = re.compile(r"@(?=(?:everyone|here|channel|all)\b)|<(?=[@!#])")
_WRONG: dict[str, tuple[str, str]] = {
    "missing": ("the package apprise is not installed", _HINT_INSTALL),
    "url": ("Apprise knows no service by this URL", _HINT_URL),
}


class AppriseOptions(BaseModel):
    """An Apprise destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_max: int = Field(
        TEXT_MAX, ge=140, le=1_000_000, description="characters that the service takes at once"
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What the process said; `is_whole` is false where it may have said more."""

    wrong: str = ""
    service: str = ""
    limit: int = 0
    begun: bool = False
    result: bool | None = None
    is_whole: bool = False
    spawn_error: str = ""


class AppriseChannel:
    """One service behind one Apprise URL."""

    Options: ClassVar[type[AppriseOptions]] = AppriseOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, proof="accepted")
    secret_names: ClassVar[tuple[str, ...]] = ("url",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: AppriseOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        if find_spec("apprise") is None:
            raise ConfigError("the channel apprise needs a package", hint=_HINT_INSTALL)
        self.check_target(target)
        self._url = _checked(secrets["url"], name)
        self.capabilities = replace(self.capabilities, text_max=options.text_max)
        self._text_max = options.text_max
        self._language = language
        self._timeout_s = timeout_s

    @staticmethod
    def check_target(target: str) -> str:
        """Nothing: where it goes is in the URL, which is a secret."""
        if target.strip():
            raise ConfigError(
                f"target {target!r} is not used by apprise",
                hint=f"leave target out; {_HINT_URL}",
            )
        return ""

    def render(self, report: Report) -> list[Part]:
        """The report as Markdown in parts, with nobody called upon."""
        from ownerreportd.render.dialects import Dialect
        from ownerreportd.render.parts import render_parts

        return render_parts(
            defused(report),
            text_max=self._text_max,
            unit="code_points",
            dialect=Dialect(name="apprise", tables=False),
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """Let Apprise send the part, once."""
        told = await self._ask("send", part.payload.decode("utf-8"))
        if told.result and told.is_whole:
            note = f"accepted, as Apprise says, by {shown(told.service)}"
            return Confirmed(Receipt(part.key, proof="accepted", note=note))
        if told.wrong == "long":
            return Rejected("apprise.too_long", "report", *self._too_long(told))
        if told.wrong in _WRONG:
            return Rejected(f"apprise.{told.wrong}", "config", *_WRONG[told.wrong])
        if told.result is False:
            return InDoubt("Apprise could not deliver all of it, and does not say what it did")
        return self._unfinished(told)

    def _unfinished(self, told: _Told) -> NotSent | InDoubt:
        if told.spawn_error:
            return NotSent(f"the process cannot be started: {told.spawn_error}")
        if told.is_whole and not told.begun:
            return NotSent("the process ended before it had begun to send")
        return InDoubt(f"Apprise had not ended within {self._timeout_s:g} s, or was ended")

    def _too_long(self, told: _Told) -> tuple[str, str]:
        detail = f"{shown(told.service)} takes {told.limit} characters at once"
        return detail, f"set text_max to {told.limit} or less (HTML takes more), then `retry`"

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002 - the protocol's
        """Apprise cannot read."""
        return Unknown("Apprise cannot read what a service has")

    async def check(self) -> list[Problem]:
        """Whether Apprise knows the service, and it takes our parts; the service is not asked."""
        told = await self._ask("check", "x" * self._text_max)
        if told.wrong == "long":
            return [Problem("apprise.text_max", *self._too_long(told))]
        if told.wrong in _WRONG:
            return [Problem(f"apprise.{told.wrong}", *_WRONG[told.wrong])]
        if told.service:
            return []
        hint = "look at the machine's load; it is tried again by itself"
        return [Problem("unreachable", "Apprise did not start in time", hint)]

    async def _ask(self, verb: str, text: str) -> _Told:
        asked = json.dumps({"verb": verb, "url": self._url, "text": text}).encode()
        said = bytearray()
        is_whole = False
        try:
            process = await anyio.open_process(
                [sys.executable, *_PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return _Told(spawn_error=error.strerror or type(error).__name__)
        try:
            with anyio.move_on_after(self._timeout_s):
                is_whole = await _converse(process, asked, said)
        finally:
            with anyio.CancelScope(shield=True):
                _kill(process.pid)
                # What it had said before it was killed still counts.
                with anyio.move_on_after(_END_S):
                    is_whole = is_whole or await _read(process, said)
                    await process.aclose()
        return _heard(bytes(said), is_whole=is_whole)

    async def aclose(self) -> None:
        """No process outlives its attempt."""


async def _converse(process: Process, asked: bytes, said: bytearray) -> bool:
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.send(asked)
        await process.stdin.aclose()
    return await _read(process, said)


async def _read(process: Process, said: bytearray) -> bool:
    """Everything that the process says, up to its end; False where that is too much."""
    if process.stdout is None:
        return False
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while len(said) <= ANSWER_BYTES_MAX:
            said += await process.stdout.receive()
    return len(said) <= ANSWER_BYTES_MAX


def _kill(process_id: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process_id, signal.SIGKILL)


def _heard(said: bytes, *, is_whole: bool) -> _Told:
    fields: dict[str, Any] = {}
    try:
        for line in said.splitlines():
            fields |= json.loads(line)
    except ValueError:
        is_whole = False
    return _Told(**fields, is_whole=is_whole)


def _checked(url: str, name: str) -> str:
    """The URL, if it is one and asks for nothing that would hide a failure.

    Raises:
        ConfigError: if not; the URL is not shown.
    """
    url = url.strip()
    if not _URL.fullmatch(url) or _TWO_URLS.search(url):
        raise ConfigError(f"the url of destination {name!r} is not one URL", hint=_HINT_URL)
    given = {key.strip().lower() for key, _ in parse_qsl(url.partition("?")[2], True)}  # noqa: FBT003 - keep blank values
    refused = [key for key in _REFUSED_KEYS if key in given]
    if refused:
        raise ConfigError(
            f"the url of destination {name!r} sets {', '.join(refused)}",
            hint="take it out: with it a failure looks like a success, or a text is cut or doubled",
        )
    return url


def defused(report: Report) -> Report:
    """The report with nothing in it that calls upon everybody in some service's own way."""
    names = ("body", "title", "task_id", "worker", "team", "progress", "status")
    changed: dict[str, Any] = {
        name: _PINGS.sub("\\g<0>\u200b", getattr(report, name)) for name in names
    }
    return replace(report, **changed)
