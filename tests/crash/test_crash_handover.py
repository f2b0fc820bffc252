"""`submit` through the socket, while the daemon is killed or refused at its k-th call.

The client has a report's id before it asks; after a lost answer it writes `pending/` itself, with
the same id. Rule: what was acknowledged reaches the owner once; what was refused, never.
"""

import signal
from functools import partial

import pytest
from crash.injection import KILL, Injection, Trace, until
from crash.run import PATIENCE_S, Result, check_logs, deliver_all, is_blocked, start, stop
from crash.sampling import Series, chosen, run_all
from crash.scene import Scene

TEXTS = ("The first.", "第二份回報。", "The third.")
CALLS = ("openat", "write", "fsync", "renameat2", "fdatasync", "sendto")


def hand_over(launcher, scene, text):
    """The exit status of one `submit`."""
    path = scene.folder / "report"
    path.write_text(text)
    arguments = ["--config", str(scene.config), "submit", str(path)]
    return launcher.launch(arguments, scene.folder / "submits").wait(30)


def _at_rest(scene):
    return not scene.names("pending") or is_blocked(scene)


def disturb(launcher, scene, injection):
    """Three reports for a disturbed daemon; those that were acknowledged, and the trace."""
    daemon = start(launcher, scene)
    with Trace(daemon.pid, injection, scene.paths()) as trace:
        try:
            taken = [text for text in TEXTS if hand_over(launcher, scene, text) == 0]
            until(lambda: daemon.over or _at_rest(scene), PATIENCE_S)
            stop(daemon, trace)
        finally:
            daemon.signal(signal.SIGKILL)
    return taken, trace


def _check_arrived(scene, injection, taken):
    assert scene.contents() == taken
    if injection.kills:
        assert taken == list(TEXTS)


def _run(launcher, discord, injection):
    with Scene(discord, {}) as scene:
        try:
            taken, trace = disturb(launcher, scene, injection)
            deliver_all(launcher, scene)
            _check_arrived(scene, injection, taken)
            assert len(scene.names("sent")) == len(taken)
            assert len(scene.names("tmp")) <= injection.kills
            assert scene.names("held") == scene.names("rejected") == []
            check_logs(scene)
        except Exception as error:
            submits = (scene.folder / "submits").read_text("utf-8", "replace")
            message = f"{injection}: {error!r}\n{scene.story()}\n{submits}"
            raise AssertionError(message) from error
        return Result(trace.injected, trace.calls)


@pytest.mark.parametrize("call", CALLS)
def test_what_the_socket_acknowledged_arrives_once(launcher, discord, tell, call):
    def run(fault, k):
        return _run(launcher, discord, Injection(call, fault, k, "ready"))

    tell(run_all([Series(fault, partial(run, fault), ks=chosen(2)) for fault in (KILL, "EIO")]))
