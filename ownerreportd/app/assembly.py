"""Owns how settings become parts: destinations become outlets, a root becomes an open spool."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ownerreportd import channels
from ownerreportd.channels.state import FileState
from ownerreportd.config import (
    Loaded,
    ReadyDestination,
    Settings,
    load_settings,
    ready_destination,
    ready_destinations,
)
from ownerreportd.core.backoff import Backoff
from ownerreportd.core.errors import ConfigError, StorageError
from ownerreportd.core.lane_words import Policy
from ownerreportd.core.routing import Route, Routing
from ownerreportd.custody import Custody
from ownerreportd.daemon import Desk, Engine, Settled
from ownerreportd.daemon.direct import DirectSender
from ownerreportd.daemon.gatekeeper import Gatekeeper, Recorder
from ownerreportd.daemon.status import StatusWriter
from ownerreportd.daemon.submitting import SubmitDesk
from ownerreportd.ledger import Ledger, LedgerError, open_ledger, views
from ownerreportd.ledger.deliveries import Bound
from ownerreportd.log import Redactor
from ownerreportd.outlets import NoOutlet, Outlet, Outlets
from ownerreportd.receipts import ReceiptStore
from ownerreportd.spool import open_spool
from ownerreportd.workers import SystemClock, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration, checked, with every destination ready to be opened."""

    loaded: Loaded
    ready: dict[str, ReadyDestination]

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.loaded.settings

    @property
    def secrets(self) -> list[str]:
        """Every loaded secret, to be kept out of whatever is said."""
        return [value for found in self.ready.values() for value in found.plain_secrets.values()]


def read_plan(config: str | None, spool: str | None) -> Plan:
    """The configuration of this process.

    Raises:
        ConfigError: with every mistake.
    """
    loaded = load_settings(config_path=config, flags={"spool.root": spool}, environ=os.environ)
    plan = Plan(loaded, ready_destinations(loaded))
    plan.settings.gate.checked()
    return plan


def _routing(settings: Settings) -> Routing:
    known = frozenset(settings.destinations)
    if settings.override:
        return Routing(settings.delivery.to, known, override=settings.delivery.to)
    routes = tuple(Route(r.match.patterns(), r.to, r.also_to) for r in settings.routes)
    return Routing(settings.delivery.to, known, routes)


def make_outlets(plan: Plan) -> Outlets:
    """The destinations of the plan, and those that earlier reports are bound to.

    Raises:
        ConfigError: if a channel does not take what is configured for it.
    """
    bounds = {name: Bound(name, found.channel, found.target) for name, found in plan.ready.items()}

    def open_outlet(bound: Bound) -> Outlet | NoOutlet:
        found = plan.ready.get(bound.destination)
        try:
            if found is None or bounds[bound.destination] != bound:
                found = ready_destination(
                    plan.loaded, name=bound.destination, channel=bound.channel, target=bound.target
                )
            return _outlet(plan, bound, found)
        except ConfigError as error:
            return NoOutlet(f"cannot deliver to {bound.destination}: {error}", error.hint)

    implicit = plan.settings.implicit_inbox
    outlets = Outlets(_routing(plan.settings), bounds, open_outlet, implicit, _normal)
    for bound in bounds.values():  # what a channel says against its values is said at the start
        opened = outlets.get(bound)
        if isinstance(opened, NoOutlet):
            raise ConfigError(opened.reason, hint=opened.hint)
    return outlets


def _normal(channel: str, target: str) -> str:
    try:
        return channels.load(channel).check_target(target)
    except ConfigError:
        return target  # opening it tells what is wrong


def _outlet(plan: Plan, bound: Bound, found: ReadyDestination) -> Outlet:
    target = found.target
    if found.channel == "inbox" and not Path(target).is_absolute():
        target = str(plan.settings.spool.root / (target or "inbox"))
    kept: dict[str, Any] = {}
    if getattr(found.kind, "keeps_state", False):
        state_dir = plan.settings.spool.root / "state"
        kept["state"] = FileState(state_dir, bound.destination, bound.channel, bound.target)
    channel = found.kind(
        name=found.name, target=target, options=found.options, secrets=found.plain_secrets,
        language=plan.settings.delivery.language, timeout_s=found.timeout_s, **kept,
    )  # fmt: skip
    backoff = plan.settings.queue.backoff
    can = channel.capabilities
    if can.proof == "accepted" and found.archive_on == "confirmed":
        raise ConfigError(
            f'{bound.destination} can prove no more than "accepted" with these options',
            hint=f'[destinations.{bound.destination}] archive_on = "accepted", if that is enough',
        )
    policy = Policy(
        Backoff(backoff.initial_s, backoff.factor, backoff.ceiling_s, backoff.jitter),
        found.in_doubt, can.dedup_window_s, can.read_back, found.timeout_s,
    )  # fmt: skip
    return Outlet(bound, channel, policy, found.archive_on)


@dataclass(frozen=True, slots=True)
class House:
    """An open spool with all that works on it."""

    plan: Plan
    engine: Engine
    desk: Desk
    outlets: Outlets
    gate: Gatekeeper
    redact: Redactor


@contextlib.contextmanager
def open_house(plan: Plan) -> Iterator[House]:
    """Lock the spool, open its ledger, and put the parts together.

    Raises:
        SpoolHeldError, StorageError, ConfigError: if this spool cannot be worked on.
    """
    os.umask(0o077)  # what we write is for our own user, whatever the shell's umask
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # a writer who breaks our lease must not end us
    values = plan.settings.spool
    spool = open_spool(values.root, force_network_fs=values.force_network_fs)
    try:
        ledger = open_ledger(values.root, spool.lock_fd)
        try:
            custody = Custody(spool, ledger, values.free_bytes_min, values.report_bytes_max)
            refuse_lost_configuration(plan, ledger)
            redact = Redactor(plan.secrets)
            engine = _engine(plan, custody, redact)
            try:
                yield _house(plan, engine, redact)
            finally:
                engine.close()
        finally:
            ledger.close()
    except LedgerError as error:
        hint = "look at the disk; then ownerreportd run again"
        raise StorageError(str(error), hint=hint, code=error.code) from error
    except OSError as error:
        hint = f"look at the disk (dmesg, df -h {values.root}); then ownerreportd run again"
        reason = error.strerror or error
        raise StorageError(
            f"cannot work on the spool {values.root}: {reason}", hint=hint
        ) from error
    finally:
        spool.close()


def _engine(plan: Plan, custody: Custody, redact: Redactor) -> Engine:
    values = settled(plan.settings)
    separate = plan.settings.queue.lanes == "per-destination"
    outlets = make_outlets(plan)
    return Engine(custody, outlets, Workers(), SystemClock(), values, redact, separate)


def settled(settings: Settings) -> Settled:
    """What the engine needs of the settings."""
    return Settled(
        settings.spool.settle_s, settings.spool.rescan_s, settings.queue.stop_grace_s,
        settings.queue.stale_after_s, settings.delivery.language,
    )  # fmt: skip


def _house(plan: Plan, engine: Engine, redact: Redactor) -> House:
    writer = StatusWriter(engine, time.time())
    desk = Desk(engine, writer, DirectSender(engine), SubmitDesk(engine))
    return House(plan, engine, desk, engine.outlets, _gatekeeper(plan, engine), redact)


def _gatekeeper(plan: Plan, engine: Engine) -> Gatekeeper:
    settings = plan.settings
    store = ReceiptStore(settings.receipt_dir, settings.gate.retention_days)
    return Gatekeeper(engine, settings.gate.checked(), store, Recorder(engine))


def refuse_lost_configuration(plan: Plan, ledger: Ledger) -> None:
    """Do not go on with the inbox alone where reports went to a remote channel before.

    Raises:
        ConfigError: if that would be so.
    """
    if not plan.settings.implicit_inbox:
        return
    with ledger.reading() as db:
        channel = views.remote_delivery_known(db)
    if channel is not None:
        raise ConfigError(
            f"no destination is configured, but this spool delivered to {channel} before",
            hint='restore the configuration, or configure channel = "inbox" if that is meant',
        )


__all__ = [
    "House",
    "Plan",
    "make_outlets",
    "open_house",
    "read_plan",
    "refuse_lost_configuration",
    "settled",
]
