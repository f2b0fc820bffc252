"""Owns the daemon's life: start, signals, the socket, a graceful end."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from ownerreportd import __version__, locate, notify
from ownerreportd.api.access import Access
from ownerreportd.api.admission import Limits
from ownerreportd.api.listening import BoundSocket, adopt_socket, bind_socket, group_id
from ownerreportd.api.server import ApiServer
from ownerreportd.app.assembly import House, Plan, open_house, read_plan
from ownerreportd.app.reloading import Reloader
from ownerreportd.app.supervision import Supervision
from ownerreportd.core import events
from ownerreportd.core.errors import OperatorError
from ownerreportd.daemon.event_feed import EventFeed
from ownerreportd.daemon.housekeeping import Housekeeper
from ownerreportd.ledger.store import LedgerError
from ownerreportd.log import set_up, shut_down

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from pathlib import Path

    from ownerreportd.config import Settings

PLACE_CHECK_S = 10.0
log = structlog.get_logger("ownerreportd")


def run(*, config: str | None, spool: str | None) -> int:
    """The daemon, in the foreground, until a signal ends it; 0 then.

    Raises:
        OperatorError: if it cannot start.
    """
    plan = read_plan(config, spool)
    values = plan.settings.log
    set_up(level=values.level, format=values.format, file=values.file, secrets=plan.secrets)
    try:
        with open_house(plan) as house:
            anyio.run(_serve, house, config, spool)
    except OperatorError:
        raise
    except Exception:
        log.exception("daemon.failed")
        raise
    finally:
        shut_down()
    return 0


async def _serve(house: House, config: str | None, spool: str | None) -> None:
    # Before anything else, so that from the first moment on a signal means a clean end.
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        _say_start(house)
        bound = _bind(house.plan)
        reloader = Reloader(house, config, spool)
        server = ApiServer(
            house.desk, bound, access=_access(house.plan), version=__version__, log=log,
            language=house.plan.settings.delivery.language,
            limits=Limits(report_bytes_max=house.plan.settings.spool.report_bytes_max),
            gate=house.gate, events=EventFeed(house.engine), reloads=reloader,
        )  # fmt: skip
        housekeeper = Housekeeper(house.engine, house.plan.settings.ledger.retention_days)

        def follow(settings: Settings) -> None:
            housekeeper.retention_days = settings.ledger.retention_days
            server.configure(
                language=settings.delivery.language,
                report_bytes_max=settings.spool.report_bytes_max,
            )

        reloader.followers.append(follow)
        try:
            await house.engine.start()
            await house.engine.workers.write(_note, house, events.DAEMON_STARTED)
            await _work(reloader, server, housekeeper, signals)
        finally:
            with anyio.CancelScope(shield=True):
                await server.aclose()
                await house.gate.recorder.flush()
                await house.outlets.aclose()
    log.info("daemon.stopped")


async def _work(
    reloader: Reloader, server: ApiServer, housekeeper: Housekeeper,
    signals: AsyncIterable[signal.Signals],
) -> None:  # fmt: skip
    house = reloader.house
    engine, bound = house.engine, server.bound
    supervision = Supervision(engine, os.environ)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey, reloader, supervision, signals)
        tasks.start_soon(supervision.run)
        tasks.start_soon(engine.run)
        tasks.start_soon(house.gate.run)
        tasks.start_soon(housekeeper.run)
        await server.start()
        _write_api_path(house.plan, bound)
        tasks.start_soon(_watch_place, bound)
        async with supervision.more_time():
            await engine.ready.wait()
        if not engine.stopped.is_set():
            notify.ready()
            log.info("daemon.ready", socket=str(bound.path), pid=os.getpid())
        await engine.stopped.wait()
        tasks.cancel_scope.cancel()


def _say_start(house: House) -> None:
    """Say once, with all that matters, what this daemon works with."""
    plan = house.plan
    log.info(
        "daemon.starting", version=__version__, pid=os.getpid(),
        config=str(plan.loaded.path or "none"), spool=str(plan.settings.spool.root),
        destinations=[f"{b.destination} ({b.channel})" for b in house.outlets.bounds.values()],
    )  # fmt: skip
    for text in plan.loaded.warnings:
        log.warning("config.warning", detail=text)
    if plan.settings.implicit_inbox:
        log.warning(
            "config.no_remote_channel",
            detail="reports go to the local inbox: no remote channel is configured",
        )


def _note(house: House, kind: str, **fields: Any) -> None:
    with suppress(LedgerError):
        house.engine.note(kind, version=__version__, pid=os.getpid(), **fields)


def _bind(plan: Plan) -> BoundSocket:
    """The socket that systemd passed, or our own."""
    passed = notify.listen_fds(os.environ)
    for name in notify.LISTEN_VARIABLES:  # no program that we start is meant
        os.environ.pop(name, None)
    if passed:
        return adopt_socket(socket.socket(fileno=passed[0]))
    values = plan.settings
    path = locate.socket_to_bind(
        os.environ, socket_flag=values.socket.path or None, spool_flag=str(values.spool.root)
    )
    return bind_socket(path, group=values.socket.submit_group or None)


def _access(plan: Plan) -> Access:
    group = plan.settings.socket.submit_group
    return Access(os.getuid(), group_id(group) if group else None)


def _write_api_path(plan: Plan, bound: BoundSocket) -> None:
    """Tell clients without XDG variables (cron, agents' hooks) where the socket is."""
    path: Path = plan.settings.spool.root / "state" / "api.path"
    temporary = path.with_suffix(".path.new")
    try:
        temporary.write_text(f"{bound.path}\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:  # no reason not to deliver
        log.warning(
            "socket.path_not_written", path=str(path), reason=error.strerror,
            remedy="clients look in the other places; it is written at the next start",
        )  # fmt: skip


async def _watch_place(bound: BoundSocket) -> None:
    said = "ours"
    while True:
        await anyio.sleep(PLACE_CHECK_S)
        place = await anyio.to_thread.run_sync(bound.place)
        if place not in ("ours", said):
            log.error("socket.lost", path=str(bound.path), place=place, remedy="restart the daemon")
        said = place


async def _obey(
    reloader: Reloader, supervision: Supervision, signals: AsyncIterable[signal.Signals]
) -> None:
    """SIGTERM and SIGINT stop; SIGHUP takes the configuration again, and tries again."""
    house, engine = reloader.house, reloader.house.engine
    async for number in signals:
        if number == signal.SIGHUP:
            notify.reloading()
            async with supervision.more_time():
                with suppress(OperatorError):  # which is in the log; the earlier one counts
                    await reloader.reload(who="signal SIGHUP")
            notify.ready()
            engine.nudge()
            engine.retry()
            continue
        notify.stopping()
        log.info("daemon.stopping", signal=signal.Signals(number).name)
        async with supervision.more_time():
            await engine.workers.write(_note, house, events.DAEMON_STOPPING)
            await engine.stop()
            await engine.stopped.wait()
        return
