"""Owns what `doctor` looks at: one finding for each thing that a delivery needs, with its remedy.

Rule: nothing is changed, and nothing is sent; a channel is asked its read-only questions alone.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
import stat
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio

from ownerreportd import fsio, itself
from ownerreportd.app.assembly import Plan, make_outlets, read_plan
from ownerreportd.config import load_settings
from ownerreportd.core.errors import ConfigError, OperatorError
from ownerreportd.ledger.store import FILE
from ownerreportd.log import Redactor
from ownerreportd.outlets import NoOutlet
from ownerreportd.spool.folders import FOLDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ownerreportd.outlets import Outlet

Mark: TypeAlias = Literal["ok", "warning", "failure"]

SKEW_S: Final = 2.0
LEFT_OVER_S: Final = 3600.0
_OTHERS_WRITE: Final = stat.S_IWOTH
_RESTORE: Final = (
    "restore it from a backup (then: ownerreportd doctor --restored), or: "
    "ownerreportd doctor --new-ledger"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to. `exit_status` counts where it is a failure."""

    check: str
    mark: Mark
    detail: str
    remedy: str = ""
    exit_status: int = 0


def check_up(
    *, config: str | None, spool: str | None, daemon: Callable[[], dict[str, Any]]
) -> list[Finding]:
    """Every check, in the order in which a delivery meets them.

    `daemon` answers the running daemon's version, or raises OperatorError.
    """
    try:
        plan = read_plan(config, spool)
        outlets = make_outlets(plan)
    except ConfigError as error:
        mistakes = "; ".join(error.mistakes) or str(error)
        wrong = _failure("configuration", mistakes, error.hint, error.exit_status)
        return [wrong, *_apart_from_destinations(config, spool)]
    found = [_configuration(plan), *_spool(plan), *_ledger(plan), _daemon(plan, daemon)]
    found += [_watcher(), *_left_over(plan.settings.spool.root), *_linger()]

    async def channels() -> list[Finding]:
        asked = [await _destination(outlets.get(bound)) for bound in outlets.bounds.values()]
        await outlets.aclose()
        return asked

    redact = Redactor(plan.secrets)
    return [
        replace(each, detail=redact(each.detail), remedy=redact(each.remedy))
        for each in [*found, *anyio.run(channels)]
    ]


def _apart_from_destinations(config: str | None, spool: str | None) -> list[Finding]:
    """The disk's findings where the settings are right, as with a token that is missing."""
    try:
        loaded = load_settings(config_path=config, flags={"spool.root": spool}, environ=os.environ)
    except ConfigError:
        return []
    plan = Plan(loaded, {})
    return [*_spool(plan), *_ledger(plan)]


def _ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def _warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "warning", detail, remedy)


def _failure(check: str, detail: str, remedy: str, exit_status: int) -> Finding:
    return Finding(check, "failure", detail, remedy, exit_status)


def _configuration(plan: Plan) -> Finding:
    where = str(plan.loaded.path or "no file, the defaults")
    if plan.loaded.warnings:
        return _warning("configuration", "; ".join(plan.loaded.warnings), f"edit {where}")
    if plan.settings.implicit_inbox:
        return _warning(
            "configuration", f"{where}: no remote channel, reports go to the local inbox",
            "configure a destination; config.example.toml is one to copy",
        )  # fmt: skip
    return _ok("configuration", where)


# --- the disk ------------------------------------------------------------------------------------


def _spool(plan: Plan) -> Iterator[Finding]:
    root = plan.settings.spool.root
    try:
        found = root.stat()
    except FileNotFoundError:
        yield _warning("spool", f"{root} does not exist yet", "ownerreportd run  # makes it")
        return
    except OSError as error:
        yield _failure("spool", f"{root}: {error.strerror}", f"ls -ld {root}", 77)
        return
    yield _access(root, found)
    yield _file_system(plan, root)
    yield _room(plan, root)
    yield _one_file_system(root)
    yield _clock(root)


def _access(root: Path, found: os.stat_result) -> Finding:
    missing = [
        name for name in ("pending", "sent", "state")
        if (root / name).exists() and not os.access(root / name, os.R_OK | os.W_OK | os.X_OK)
    ]  # fmt: skip
    if missing or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        where = root / missing[0] if missing else root
        return _failure("spool", f"{where} is not ours to use", f"ls -ld {where}", 77)
    if found.st_mode & _OTHERS_WRITE:
        return _warning("spool", f"{root}: everybody may write there", f"chmod o-w {root}")
    owner = _user_name(found.st_uid)
    if os.getuid() not in {0, found.st_uid}:  # root only looks; what it would write is refused
        return _warning("spool", f"{root} belongs to {owner}", f"run as {owner}, or chown it")
    return _ok("spool", f"{root}, mode {stat.S_IMODE(found.st_mode):04o}, of {owner}")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _file_system(plan: Plan, root: Path) -> Finding:
    kind = fsio.file_system_type(str(root))
    if kind not in fsio.NETWORK_FILE_SYSTEMS:
        return _ok("file system", kind)
    detail = f"{kind} over a network: locks and durability are not what they seem"
    remedy = "move the spool to a local disk ([spool] root)"
    if plan.settings.spool.force_network_fs:
        return _warning("file system", detail, remedy)
    return _failure("file system", detail, remedy, 78)


def _room(plan: Plan, root: Path) -> Finding:
    with fsio.directory(root) as fd:
        free_bytes, inodes = fsio.room(fd)
    needed = plan.settings.spool.free_bytes_min
    if free_bytes < needed:
        detail = f"{free_bytes:,} bytes are free, {needed:,} are needed"
        return _failure("room", detail, f"make room: df -h {root}", 74)
    if inodes < 1000:
        return _warning("room", f"{inodes} inodes are free", f"make room: df -i {root}")
    return _ok("room", f"{free_bytes / 1e9:,.1f} GB free")


def _one_file_system(root: Path) -> Finding:
    folders = [root / name for name in FOLDERS]
    devices = {folder.stat().st_dev for folder in folders if folder.exists()}
    if len(devices) > 1:
        return _failure(
            "one file system", "the spool's folders lie on several, so that no file can be moved",
            f"findmnt -T {root}/pending; put all of {root} on one", 74,
        )  # fmt: skip
    return _ok("one file system", "a report is moved, never copied")


def _clock(root: Path) -> Finding:
    """Whether the clock was set back since the spool was last changed."""
    newest = max((e.stat(follow_symlinks=False).st_mtime for e in os.scandir(root)), default=0.0)
    ahead_s = newest - time.time()
    if ahead_s > SKEW_S:
        detail = f"the spool was changed {ahead_s:.0f} s from now"
        return _warning("clock", detail, "timedatectl  # is the clock right?")
    return _ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _ledger(plan: Plan) -> Iterator[Finding]:
    path = plan.settings.spool.root / "state" / FILE
    lock = path.with_name("lock")
    if not path.exists():
        begun = lock.exists() and b"\nledger " in lock.read_bytes()[:200]
        if begun:
            yield _failure(
                "ledger", f"{path} is missing, and a daemon ran here before",
                _RESTORE, 74,
            )  # fmt: skip
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            waiting = db.execute("SELECT count(*) FROM reports WHERE state = 'waiting'").fetchone()
    except sqlite3.Error as error:
        found, waiting = str(error), (0,)
    if found != "ok":
        yield _failure("ledger", f"{path}: {found}", _RESTORE, 74)
        return
    yield _ok("ledger", f"{path.stat().st_size / 1e6:,.1f} MB, {waiting[0]} waiting")


def _left_over(root: Path) -> Iterator[Finding]:
    old: list[str] = []
    with suppress(OSError):
        aged = (
            (entry.stat(follow_symlinks=False), entry.name) for entry in os.scandir(root / "tmp")
        )
        old = [name for found, name in aged if time.time() - found.st_mtime > LEFT_OVER_S]
    if old:
        yield _warning(
            "leftovers", f"{len(old)} in {root / 'tmp'}, of writers that died: {old[0]} ...",
            f"look at them, then remove them: ls -l {root / 'tmp'}",
        )  # fmt: skip


# --- the machine ---------------------------------------------------------------------------------


def _daemon(plan: Plan, ask: Callable[[], dict[str, Any]]) -> Finding:
    try:
        found = ask()
    except OperatorError as error:
        holder = _holder(plan.settings.spool.root / "state" / "lock")
        if holder is not None:
            return _failure(
                "daemon", f"pid {holder} holds the spool, and does not answer: {error}",
                "look at its log; stop it, and start it again", 69,
            )  # fmt: skip
        start = itself.start_command(os.environ)
        return _warning("daemon", "none answers; reports wait in pending/", start)
    return _ok("daemon", f"version {found.get('version')} answers")


def _holder(lock: Path) -> int | None:
    """The process that says it holds the spool, if it lives."""
    with suppress(OSError, ValueError):
        pid = int(lock.read_bytes()[:20].split()[1])
        if b"ownerreportd" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def _watcher() -> Finding:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    if fd < 0:
        reason = os.strerror(ctypes.get_errno())
        return _warning("watcher", f"inotify: {reason}; files are found by scans alone",
                        "sysctl fs.inotify.max_user_instances=512")  # fmt: skip
    os.close(fd)
    return _ok("watcher", "inotify")


def _linger() -> Iterator[Finding]:
    user = _user_name(os.getuid())
    unit = os.path.expanduser("~/.config/systemd/user/ownerreportd.service")  # noqa: PTH111
    if os.getuid() and os.path.exists(unit):  # noqa: PTH110
        if os.path.exists(f"/var/lib/systemd/linger/{user}"):  # noqa: PTH110
            yield _ok("linger", "the user's units go on after the logout")
        else:
            yield _warning("linger", "the user's units end at the logout",
                           f"loginctl enable-linger {user}")  # fmt: skip


# --- the channels --------------------------------------------------------------------------------


async def _destination(outlet: Outlet | NoOutlet) -> Finding:
    if isinstance(outlet, NoOutlet):
        return _failure("destination", outlet.reason, outlet.hint, 78)
    bound = outlet.bound
    name = f"destination {bound.destination}"
    problems = None
    with anyio.move_on_after(outlet.policy.timeout_s):
        problems = await outlet.channel.check()
    if problems is None:
        remedy = "look at the network; ownerreportd tries again by itself"
        return _failure(name, f"no answer within {outlet.policy.timeout_s:g} s", remedy, 69)
    for first in sorted(problems, key=lambda problem: not problem.blocks):
        if not first.blocks:
            return _warning(name, first.detail, first.hint)
        return _failure(name, first.detail, first.hint, 69 if first.code == "unreachable" else 78)
    return _ok(name, f"{bound.channel} {bound.target}, asked and found right")
