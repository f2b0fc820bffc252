"""Owns the work without a daemon: one `drain`, one `send`, a new ledger or a restored one."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio

from ownerreportd import locate
from ownerreportd.api.daemon import Caller
from ownerreportd.app import rehearsal
from ownerreportd.app.assembly import House, Plan, open_house, read_plan
from ownerreportd.app.draining import Drain
from ownerreportd.core.errors import NotFoundError, OperatorError, StorageError
from ownerreportd.ledger import LedgerError, open_ledger, open_reader, restored, set_aside_ledger
from ownerreportd.log import set_up
from ownerreportd.spool import open_spool
from ownerreportd.spool.submit import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterator

    from ownerreportd.spool import Spool

Json: TypeAlias = dict[str, Any]
Result = TypeVar("Result")
_MAY_HAVE_ARRIVED: Final = (
    "may have been delivered before: the channel is asked first where it can be, and elsewhere "
    "the copy says that it may be one."
)
VERBS = ("retry", "skip", "resolve", "pause", "resume")


def _quiet(plan: Plan) -> None:
    """A verb speaks for itself; the log tells only of what went wrong."""
    values = plan.settings.log
    set_up(level="error", format=values.format, file=values.file, secrets=plan.secrets)


def drain(
    *,
    config: str | None,
    spool: str | None,
    max_count: int | None,
    dry_run: bool,
    say: Callable[[str], None] = print,
) -> int:
    """One pass over the queue without a daemon; the exit code by its outcome.

    Raises:
        OperatorError: if the spool cannot be worked on.
    """
    plan = read_plan(config, spool)
    count = plan.settings.delivery.max_count if max_count is None else max_count
    if dry_run:
        return rehearsal.rehearse(plan, count, say)
    _quiet(plan)
    with open_house(plan) as house:
        work = Drain(house, count, say)
        return anyio.run(work.run)


def rehearse_send(
    *,
    config: str | None,
    spool: str | None,
    file: Path,
    where: tuple[str | None, str | None, str | None],
    say: Callable[[str], None] = print,
) -> int:
    """Say where `send` would bring this file, and change nothing; always 0.

    Raises:
        OperatorError: if it would be refused.
    """
    return rehearsal.rehearse_send(read_plan(config, spool), file, where, say)


def send(
    *,
    config: str | None,
    spool: str | None,
    ref: str,
    destination: str | None,
    channel: str | None,
    target: str | None,
) -> Json:
    """One report now, directly, without a daemon: the object of the socket's `send`.

    `ref` is a report of the spool, or a file, which is submitted first.

    Raises:
        OperatorError: if it cannot be meant, or the spool cannot be worked on.
    """

    async def ask(house: House) -> Json:
        name, data = await _report_of(house, ref)
        return await house.desk.send(
            name, destination=destination, channel=channel, target=target,
            caller=_me(), data=data,
        )  # fmt: skip

    return _ask(config, spool, ask)


def act(*, config: str | None, spool: str | None, verb: str, **what: Any) -> Json:
    """One of a person's verbs (`retry`, `skip`, `resolve`, `pause`, `resume`) without a daemon.

    Raises:
        OperatorError: if it does not apply, or the spool cannot be worked on.
    """

    async def ask(house: House) -> Json:
        verbs = {name: getattr(house.desk, name) for name in VERBS}
        answer: Json = await verbs[verb](who=str(_me()), **what)
        return answer

    return _ask(config, spool, ask)


def _me() -> Caller:
    return Caller(os.getpid(), os.getuid(), os.getgid())


def _ask(config: str | None, spool: str | None, ask: Callable[[House], Awaitable[Json]]) -> Json:
    plan = read_plan(config, spool)
    _quiet(plan)
    with open_house(plan) as house:
        return anyio.run(_asked, house, ask)


async def _asked(house: House, ask: Callable[[House], Awaitable[Json]]) -> Json:
    """The answer of a desk whose lanes rest for acts, and fetch nothing."""
    engine = house.engine
    await engine.start()
    await engine.scan()
    engine.lanes.hold()
    answer: Json = {}
    failed: list[OperatorError] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.lanes.run)
        try:
            answer = await ask(house)
        except OperatorError as error:
            failed.append(error)
        await engine.stop()
    await house.outlets.aclose()
    if failed:
        raise failed[0]
    return answer


def look(
    *, config: str | None, spool: str | None, look: Callable[[sqlite3.Connection], Result]
) -> Result:
    """Ask the ledger of a spool without a daemon; nothing of it changes.

    Raises:
        StorageError: if there is no ledger, or it cannot be read.
    """
    root = locate.spool_root(os.environ, locate.find_config(os.environ, config), spool)
    try:
        reader = open_reader(root)
        try:
            with reader.reading() as db:
                return look(db)
        finally:
            reader.close()
    except LedgerError as error:
        raise StorageError(str(error), hint="ownerreportd run  # begins or checks it") from error


def _file_bytes(ref: str) -> bytes | None:
    path = Path(ref)
    return path.read_bytes() if path.is_file() else None


async def _report_of(house: House, ref: str) -> tuple[str, bytes | None]:
    """The report's id or name; a new id and the bytes of a file from outside."""
    try:
        report: Json = await house.desk.report(ref)
    except NotFoundError:
        data = _file_bytes(ref)
        if data is None:
            raise
        return new_id(), data
    return str(report["id"] or report["name"]), None


def new_ledger(*, config: str | None, spool: str | None) -> str:
    """Set the ledger's files aside, and begin one in which everything pending is in doubt.

    Answers what was done, for a person. Raises:
        SpoolHeldError: if a daemon holds the spool.
    """
    with _held(config, spool) as held:
        names = set_aside_ledger(held.root, held.lock_fd)
    where = held.root / "state"
    kept = "\n".join(f"set aside: {where / name}" for name in names) or "there was no ledger"
    return (
        f"{kept}\nbegun: {where / 'ledger.sqlite3'}\nEvery report in pending/ {_MAY_HAVE_ARRIVED}"
    )


def restore(*, config: str | None, spool: str | None) -> str:
    """Put everything in doubt that the spool's ledger, which came from a backup, calls unsent.

    Answers what was done, for a person. Raises:
        SpoolHeldError: if a daemon holds the spool. StorageError: if the ledger is no good either.
    """
    with _held(config, spool) as held:
        ledger = open_ledger(held.root, held.lock_fd)
        try:
            with ledger.transaction() as db:
                count = restored.doubt_everything_open(db, time.time())
        except LedgerError as error:
            raise StorageError(str(error), hint="look at the disk, and repeat this") from error
        finally:
            ledger.close()
    return (
        f"in doubt: {count} in the ledger, and whatever else is in {held.root / 'pending'}\n"
        f"Each of them {_MAY_HAVE_ARRIVED}"
    )


@contextmanager
def _held(config: str | None, spool: str | None) -> Iterator[Spool]:
    root = locate.spool_root(os.environ, locate.find_config(os.environ, config), spool)
    held = open_spool(root)
    try:
        yield held
    finally:
        held.close()


__all__ = ["drain", "new_ledger", "restore", "send"]
