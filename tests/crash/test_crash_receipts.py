"""A receipt over the socket, while the daemon is killed or refused at its k-th call.

Rule: afterwards the receipt's file is there whole, or not at all; what was acknowledged is there;
the same receipt again is no error and no second file.
"""

import json
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import pytest
from crash.injection import ERRORS, KILL, Injection, Trace
from crash.run import Result, check_logs, start, stop
from crash.sampling import Series, chosen, run_all
from crash.scene import Scene
from gate.gate_tools import fields, receipt

from ownerreportd.client import Client
from ownerreportd.core.errors import OperatorError
from ownerreportd.gate import canonical, receipt_name

FOLDER = "state/approved-plan-continuity"
CALLS = ("openat", "mkdir", "write", "fsync", "renameat2", "fdatasync", "pwrite64", "sendto")
# All of them with `make crash`; the sampled runs have four minutes for everything.
FAULTS = (KILL, *ERRORS) if os.environ.get("CRASH") == "all" else (KILL, "EIO")
WITHOUT_RENAMEAT2 = ("link", "unlink")


def write(scene, given):
    """Whether the daemon acknowledged the receipt."""
    with suppress(OperatorError):
        Client([scene.folder / "socket"], timeout_s=20).write_receipt(given)
        return True
    return False


def files(scene):
    """The receipts by name, with what they hold."""
    return {
        name: (scene.root / FOLDER / name).read_bytes()
        for name in scene.names(FOLDER)
        if not name.startswith(".")
    }


def disturb(launcher, scene, injection, given):
    daemon = start(launcher, scene)
    with Trace(daemon.pid, injection, scene.paths()) as trace:
        try:
            taken = write(scene, given)
            stop(daemon, trace)
        finally:
            daemon.signal(signal.SIGKILL)
    return taken, trace


def again(launcher, scene, given):
    """The same receipt for a daemon that nothing disturbs, and what it decides by it."""
    daemon = start(launcher, scene)
    try:
        assert write(scene, given)
        contract = Client([scene.folder / "socket"]).gate("manual", fields())
        assert stop(daemon) == 0
    finally:
        daemon.signal(signal.SIGKILL)
    return contract["result"]["reason"]


def _run(launcher, discord, injection):
    given = receipt(datetime.now(UTC))
    whole = {receipt_name(given): canonical(given) + b"\n"}
    with Scene(discord, {}) as scene:
        try:
            taken, trace = disturb(launcher, scene, injection, given)
            assert files(scene) in ({}, whole)
            assert files(scene) == whole or not taken, "acknowledged and lost"
            litter = [name for name in scene.names(FOLDER) if name.startswith(".")]
            assert len(litter) <= injection.kills
            assert again(launcher, scene, given) == "dispatched"
            assert files(scene) == whole
            check_logs(scene)
        except Exception as error:
            message = f"{injection}: {error!r}\n{scene.story()}\n{json.dumps(given)}"
            raise AssertionError(message) from error
        return Result(trace.injected, trace.calls)


@pytest.mark.parametrize("call", [*CALLS, *WITHOUT_RENAMEAT2])
def test_a_receipt_is_there_whole_or_not_at_all(launcher, discord, tell, call):
    def run(fault, k):
        lacking = call in WITHOUT_RENAMEAT2
        return _run(launcher, discord, Injection(call, fault, k, "ready", lacking))

    tell(run_all([Series(fault, partial(run, fault), ks=chosen(2)) for fault in FAULTS]))
