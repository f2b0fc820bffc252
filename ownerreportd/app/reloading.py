"""Owns the reload: read the configuration again, refuse or take it whole, tell what changed.

Rule: nothing of a configuration with a mistake is used, and nothing changes within an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import structlog

from ownerreportd.app.assembly import (
    make_outlets,
    read_plan,
    refuse_lost_configuration,
    settled,
)  # fmt: skip
from ownerreportd.app.configuration import flat_values
from ownerreportd.core import events
from ownerreportd.core.errors import ConfigError
from ownerreportd.daemon.lanes import EVERY_HEAD
from ownerreportd.daemon.reconfigure import Reconfigured, reconfigure
from ownerreportd.ledger.store import LedgerError
from ownerreportd.log import set_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.app.assembly import House, Plan
    from ownerreportd.config import Settings
    from ownerreportd.outlets import Outlets

Json = dict[str, Any]

CHANGED: Final = "changed"  # all that is told of a secret
# What the process holds open, or was built on.
FIXED: Final = (
    "spool.root", "spool.force_network_fs", "socket.path", "socket.submit_group",
    "gate.receipt_dir", "queue.lanes",
)  # fmt: skip
log = structlog.get_logger("ownerreportd")


@dataclass(slots=True)
class Reloader:
    """Takes the configuration of these sources again, as often as it is asked.

    `followers` are told of the new settings, within the exchange.
    """

    house: House
    config: str | None
    spool: str | None
    followers: list[Callable[[Settings], None]] = field(default_factory=list)
    plan: Plan = field(init=False)
    _secrets: set[str] = field(default_factory=set)
    _one: anyio.Lock = field(default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        self.plan = self.house.plan

    async def reload(self, *, who: str) -> Json:
        """Validate, exchange, tell. `{changed: [{key, old, new}], warnings: [text]}`.

        Raises:
            ConfigError: with every mistake; StorageError: if the ledger refuses; then the earlier
            configuration counts as before.
        """
        async with self._one:
            try:
                plan, outlets, changed = await anyio.to_thread.run_sync(self._read)
            except ConfigError as error:
                log.error(  # noqa: TRY400 - a mistake in a file is no failure of the code

                    "config.refused", who=who, reason=str(error), mistakes=list(error.mistakes),
                    remedy=error.hint or "ownerreportd config check",
                )  # fmt: skip
                raise
            await self._take(plan, outlets)
        await self._tell(changed, who)
        return {"changed": changed, "warnings": list(plan.loaded.warnings)}

    def _read(self) -> tuple[Plan, Outlets, list[Json]]:
        plan = read_plan(self.config, self.spool)
        outlets = make_outlets(plan)
        refuse_lost_configuration(plan, self.house.engine.asking)
        changed = differences(self.plan, plan)
        fixed = [each["key"] for each in changed if each["key"] in FIXED]
        if fixed:
            raise ConfigError(
                f"{', '.join(fixed)} cannot change while the daemon runs",
                hint="change it back, or restart: systemctl --user restart ownerreportd",
            )
        return plan, outlets, changed

    async def _take(self, plan: Plan, outlets: Outlets) -> None:
        settings = plan.settings
        new = Reconfigured(
            outlets, settled(settings), settings.spool.free_bytes_min,
            settings.spool.report_bytes_max, partial(self._take_rest, plan),
        )  # fmt: skip
        try:
            await self.house.desk.act(partial(self._act, new), self.house.engine.lanes)
        finally:
            await outlets.aclose()  # the earlier ones now; or the new ones, if they are refused

    async def _act(self, new: Reconfigured) -> int:
        await reconfigure(self.house.engine, new)
        return EVERY_HEAD  # it is looked at anew, and tried at once

    def _take_rest(self, plan: Plan) -> None:
        settings, house = plan.settings, self.house
        self._secrets |= {*self.plan.secrets, *plan.secrets}  # earlier ones go on turning up
        house.redact.add(self._secrets)
        if settings.log != self.plan.settings.log or plan.secrets != self.plan.secrets:
            values = settings.log
            set_up(
                level=values.level, format=values.format, file=values.file, secrets=self._secrets
            )
        house.gate.config = settings.gate.checked()
        house.gate.store.retention_days = settings.gate.retention_days
        for follow in self.followers:
            follow(settings)
        self.plan = plan

    async def _tell(self, changed: list[Json], who: str) -> None:
        for text in self.plan.loaded.warnings:
            log.warning("config.warning", detail=text)
        log.info("config.reloaded", who=who, changed=[each["key"] for each in changed])
        engine = self.house.engine
        note = partial(engine.note, events.CONFIG_RELOADED, changed=changed, who=who)
        try:
            await engine.workers.write(note)
        except LedgerError as error:
            log.warning("ledger.failed", reason=str(error))
        engine.tell()


def differences(old: Plan, new: Plan) -> list[Json]:
    """Every setting that differs, `{key, old, new}`; null where there is none; no secret shown."""
    before, after = flat_values(old.settings), flat_values(new.settings)
    changed = [
        {"key": key, "old": before.get(key), "new": after.get(key)}
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    told = {each["key"] for each in changed}
    secrets = [
        {"key": key, "old": CHANGED, "new": CHANGED}
        for key in _secrets_that_differ(old, new)
        if key not in told
    ]
    return changed + secrets


def _secrets_that_differ(old: Plan, new: Plan) -> list[str]:
    return [
        f"destinations.{name}.{secret}"
        for name in old.ready.keys() & new.ready.keys()
        for secret in sorted({*old.ready[name].secrets, *new.ready[name].secrets})
        if old.ready[name].secrets.get(secret) != new.ready[name].secrets.get(secret)
    ]
