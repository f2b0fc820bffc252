"""Owns every key of the configuration: its type, its default, its bounds, and why these.

Rule: a value has the type that it needs or is a mistake; nothing is guessed. A field's description
gives unit and reason, and is what the operator reads when the value is out of bounds.
"""

from __future__ import annotations

import grp
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ownerreportd import locate
from ownerreportd.config.gate import Gate
from ownerreportd.config.section import DAYS_MAX, Section, Text, Texts, Words
from ownerreportd.core.report import REPORT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

OVERRIDE = "override"
INBOX = "inbox"
NAME_PATTERN = re.compile(r"[\w.-]{1,64}")
_HIDDEN = re.compile(r"(?:^|_)(?:token|secret|password|passphrase|key|url)$")


def _group(name: str) -> str:
    try:
        return name and grp.getgrnam(name).gr_name
    except KeyError:
        raise ValueError("there is no such group here; `getent group` lists them") from None


def _socket_path(text: str) -> str:
    if not locate.fits_a_socket(Path(text)):
        raise ValueError(f"a Unix socket's path has at most {locate.SOCKET_BYTES_MAX} bytes")
    return text


class Spool(Section):
    """Where reports lie, and when a file there is taken for finished."""

    root: Path = Field(default=Path(locate.ROOT_DEFAULT), strict=False)
    settle_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="seconds that a file of another writer must have rested",
    )
    rescan_s: float = Field(
        default=30.0,
        ge=0.1,
        le=3600,
        description="seconds between two readings of the whole folder",
    )
    report_bytes_max: int = Field(
        default=1_048_576,
        ge=1,
        le=67_108_864,
        description="bytes of one report, which is held in memory",
    )
    free_bytes_min: int = Field(
        default=16_777_216,
        ge=0,
        le=2**50,
        description="bytes that must be free before a report is sent",
    )
    force_network_fs: bool = Field(
        default=False, description="take a network file system, whose locks and fsync may lie"
    )


class Backoff(Section):
    """How long a failing head waits: `initial_s`, each time `factor` longer, up to `ceiling_s`."""

    initial_s: float = Field(
        default=2.0, ge=0.01, le=3600, description="seconds before the second attempt"
    )
    factor: float = Field(
        default=2.0, ge=1, le=10, description="below 1 the waits would shrink to nothing"
    )
    ceiling_s: float = Field(
        default=300.0,
        ge=0.01,
        le=3600,
        description="seconds at most, so that a recovery is soon noticed",
    )
    jitter: float = Field(
        default=0.2,
        ge=0,
        le=0.5,
        description="a share of the wait; over one half, waits near zero come up",
    )

    @model_validator(mode="after")
    def _rises(self) -> Backoff:
        if self.initial_s > self.ceiling_s:
            raise ValueError("initial_s must not be greater than ceiling_s")
        return self


class Queue(Section):
    """How many lanes there are, and how long they wait."""

    lanes: Literal["one", "per-destination"] = "one"
    stop_grace_s: float = Field(
        default=10.0, ge=0, le=3600, description="seconds that SIGTERM leaves the attempt in flight"
    )
    stale_after_s: float = Field(
        default=900.0,
        ge=0,
        le=2_592_000,
        description="seconds after which a failing head is an alarm",
    )
    backoff: Backoff = Backoff()


class Delivery(Section):
    """Where reports go that name no destination of their own."""

    to: Texts = Field(
        default=("owner",),
        min_length=1,
        description="without a destination reports would go nowhere",
    )
    max_count: int = Field(
        default=0, ge=0, le=1_000_000, description="reports of one `drain`; 0 means all"
    )
    language: Literal["en", "zh-TW"] = "en"


class Destination(Section):
    """One place to deliver to. What it says beyond these keys is its channel's (`options`)."""

    model_config = ConfigDict(extra="allow")

    channel: Text
    target: str = ""
    in_doubt: Literal["resend", "hold"] = "resend"
    archive_on: Literal["confirmed", "accepted"] = "confirmed"
    timeout_s: float = Field(
        default=20.0,
        ge=0.1,
        le=600,
        description="seconds of one attempt; the queue stands still meanwhile",
    )

    @model_validator(mode="before")
    @classmethod
    def _hides_secrets(cls, values: Any) -> Any:
        """Which keys are secret only the channel knows; whatever sounds like one is hidden."""
        if not isinstance(values, dict):
            return values
        return {key: _hidden(key, value) for key, value in values.items()}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The common keys alone: a channel's own may hold a secret under any name."""
        return ((name, getattr(self, name)) for name in type(self).model_fields)

    @property
    def options(self) -> dict[str, Any]:
        """The channel's own keys as configured; what sounds like a secret is a `SecretStr`."""
        return dict(self.__pydantic_extra__ or {})


class ImplicitInbox(Destination):
    """The local inbox that stands in where no destination is configured."""


def sounds_secret(key: str) -> bool:
    """Whether a value under this key must not be shown before its channel has been asked."""
    return _HIDDEN.search(key) is not None


def _hidden(key: object, value: object) -> object:
    secret = isinstance(key, str) and isinstance(value, str) and sounds_secret(key)
    return SecretStr(str(value)) if secret else value


class Match(Section):
    """Which reports a route means: all named fields fit, each by one of its globs."""

    team: Words = ()
    worker: Words = ()
    task_id: Words = ()
    progress: Words = ()
    status: Words = ()
    source: Words = ()
    title: Words = ()
    created: Words = ()

    def patterns(self) -> dict[str, tuple[str, ...]]:
        """The named fields with their globs."""
        return {name: getattr(self, name) for name in REPORT_FIELDS if getattr(self, name)}


class Route(Section):
    """Where reports that match go: `to` replaces the destinations, `also_to` adds to them."""

    match: Match = Match()
    to: Words = ()
    also_to: Words = ()

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Route:
        if not self.to and not self.also_to:
            raise ValueError("a route needs `to` or `also_to`")
        return self


class Socket(Section):
    """Where the daemon answers, and who else may hand over reports."""

    path: Annotated[str, AfterValidator(_socket_path)] = ""
    submit_group: Annotated[str, AfterValidator(_group)] = ""


class Ledger(Section):
    """How long events are kept."""

    retention_days: float = Field(
        default=90.0, ge=0, le=DAYS_MAX, description="days; 0 keeps events for ever"
    )


class Log(Section):
    """What is logged, how, and where besides standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "pretty", "json"] = "auto"
    file: str = ""


class Settings(BaseSettings):
    """The whole configuration, frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )

    spool: Spool = Spool()
    queue: Queue = Queue()
    delivery: Delivery = Delivery()
    destinations: dict[str, Destination] = Field(default_factory=dict)
    routes: Annotated[tuple[Route, ...], Field(strict=False)] = ()
    socket: Socket = Socket()
    ledger: Ledger = Ledger()
    log: Log = Log()
    gate: Gate = Gate()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in, which `sources` has read.

        The library's own environment source takes bare names (`SPOOL`), guesses at JSON, and
        passes over a name that is mistyped.
        """
        return (init_settings,)

    @property
    def override(self) -> bool:
        """Whether `OWNER_REPORT_CHANNEL` replaces routes, and every `to:` of a report."""
        return OVERRIDE in self.delivery.to

    @property
    def implicit_inbox(self) -> bool:
        """Whether reports go to the local inbox only because nothing else is configured."""
        return isinstance(self.destinations.get(INBOX), ImplicitInbox)

    @property
    def receipt_dir(self) -> Path:
        """The folder of the gate's receipts, below the spool's root unless it is absolute."""
        return self.spool.root / self.gate.receipt_dir
