"""One run: a fault at the k-th call, a restart without one, and the end that must be reached.

As a program it makes one run by hand: `python tests/crash/run.py fsync SIGKILL 3`.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # as a program, this folder is on the path in the place of its parent
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from crash.injection import DELAY_MS, Injection, Trace, until
from crash.launcher import Launched, Launcher
from crash.scene import REPORTS, TOKEN, Scene
from doubles.control import DiscordProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRESS_S = 20.0  # an undisturbed daemon is done long before
PATIENCE_S = 5.0  # what goes on by itself after an error has done so long before
ASLEEP_S = 2.0
STOP_S = 8.0
REPEATS_MAX = 4  # of a kill that came too late
MENDS_ITSELF = ("disk_full", "spool_replaced", "changed")
# How a daemon may end that met an error: stopped, or an operator's error (nothing else, no bug).
ENDINGS = (0, 69, 73, 74, 78)
# The interpreter's own words when it cannot tell the event loop of a signal.
LOST_WAKE_UP = re.compile(r"^Exception ignored when .*wakeup fd:\n(?:(?!\{).*\n)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """Whether the k-th call was reached, of how many, and after how many kills too late."""

    injected: bool
    calls: int
    late: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the runs share: the forking process, the double, and each report's rendered parts."""

    launcher: Launcher
    discord: DiscordProcess
    expected: Mapping[str, Sequence[str]]
    places: int = 1
    lanes: str = "one"

    @classmethod
    def prepare(cls, launcher: Launcher, discord: DiscordProcess) -> Stage:
        """Learn what the owner sees of each report when nothing goes wrong."""
        expected = {name: _parts(launcher, discord, name) for name in REPORTS}
        return cls(launcher, discord, expected)

    def run(self, injection: Injection) -> Result:
        """One fault, and what comes after it.

        Raises:
            AssertionError: if a promise was broken; with the whole story.
        """
        delay_ms: float = DELAY_MS
        for late in range(REPEATS_MAX):
            result = self._run_once(injection, delay_ms)
            if result is not None:
                return replace(result, late=late)
            delay_ms *= 3
        raise AssertionError(f"{injection}: the kill came too late {REPEATS_MAX} times")

    def _run_once(self, injection: Injection, delay_ms: float) -> Result | None:
        with Scene(self.discord, places=self.places, lanes=self.lanes) as scene:
            try:
                trace = self._strike(scene, injection, delay_ms)
                scene.check_promises(self.expected)
                deliver_all(self.launcher, scene)
                scene.check_end(self.expected)
                check_logs(scene)
            except Exception as error:
                raise AssertionError(f"{injection}: {error!r}\n{scene.story()}") from error
            return None if trace.late else Result(trace.injected, trace.calls)

    def _strike(self, scene: Scene, injection: Injection, delay_ms: float) -> Trace:
        """Run the daemon until it dies, or has done what it can, and has been stopped then."""
        after_start = injection.where == "ready"
        if not after_start:
            scene.drop_reports()
        daemon = start(self.launcher, scene, stopped=not after_start)
        with Trace(daemon.pid, injection, scene.paths(), delay_ms=delay_ms) as trace:
            try:
                if after_start:
                    scene.drop_reports()
                daemon.signal(signal.SIGCONT)
                _await_rest(scene, daemon, trace)
                status = stop(daemon, trace)
            finally:
                daemon.signal(signal.SIGKILL)
        (scene.folder / "trace").write_bytes(trace.text)
        _check_ending(injection, trace, status)
        return trace


def _check_ending(injection: Injection, trace: Trace, status: int) -> None:
    if not trace.injected:
        assert status == 0, f"undisturbed, it ended with {status}"
    elif injection.kills:
        assert status == -signal.SIGKILL, f"killed, it ended with {status}"
    elif not trace.lost_wake_up:
        assert status in ENDINGS, f"after an error, it ended with {status}"


def _await_rest(scene: Scene, daemon: Launched, trace: Trace) -> None:
    """Wait until the daemon is dead, or done, or can do no more by itself."""

    def at_rest() -> bool:
        return daemon.over or (is_ready(scene) and (scene.all_sent or is_blocked(scene)))

    if not until(lambda: at_rest() or trace.injected, PROGRESS_S):
        raise AssertionError("undisturbed, it did not get done")
    # One that waits for ever after an error is stopped, and that is all.
    until(at_rest, ASLEEP_S if trace.lost_wake_up else PATIENCE_S)


def is_blocked(scene: Scene) -> bool:
    """Whether it has stopped at something that does not end by itself."""
    lanes = [line for line in scene.log_lines() if line.get("event", "").startswith("lane.")]
    last = lanes[-1] if lanes else {}
    return last.get("event") == "lane.blocked" and last["code"] not in MENDS_ITSELF


def is_ready(scene: Scene) -> bool:
    return b'"daemon.ready"' in scene.log.read_bytes()


def start(launcher: Launcher, scene: Scene, *, stopped: bool = False) -> Launched:
    """A daemon with a log of its own; ready, unless `stopped` before its first instruction."""
    if scene.log.stat().st_size:
        scene.log.rename(scene.folder / "log.before")
    scene.log.touch()
    arguments = ["--config", str(scene.config), "run"]
    daemon = launcher.launch(arguments, scene.log, stopped=stopped)
    if not stopped:
        until(lambda: is_ready(scene) or daemon.over, PROGRESS_S)
        assert is_ready(scene), "it did not get ready"
    return daemon


def stop(daemon: Launched, trace: Trace | None = None) -> int:
    """Tell it to stop; its exit status. One whose event loop sleeps for ever is killed."""
    daemon.signal(signal.SIGTERM)
    asleep = trace is not None and until(lambda: daemon.over or trace.lost_wake_up, STOP_S)
    if asleep and not until(lambda: daemon.over, ASLEEP_S):
        daemon.signal(signal.SIGKILL)
    return daemon.wait(STOP_S)


def deliver_all(launcher: Launcher, scene: Scene) -> None:
    """A daemon that nothing disturbs, until nothing waits; then it is stopped."""
    daemon = start(launcher, scene)
    try:
        done = until(lambda: not scene.names("pending"), PROGRESS_S)
        assert done, "not everything was delivered"
        status = stop(daemon)
    finally:
        daemon.signal(signal.SIGKILL)
    assert status == 0, f"told to stop, it ended with {status}"


def check_logs(scene: Scene) -> None:
    """No error may surface as a bug, neither at the fault nor afterwards."""
    for log in scene.folder.glob("log*"):
        text = LOST_WAKE_UP.sub("", log.read_text("utf-8", "replace"))
        assert "Traceback" not in text, f"a traceback in {log.name}"


def _parts(launcher: Launcher, discord: DiscordProcess, name: str) -> list[str]:
    with Scene(discord, {name: REPORTS[name]}) as scene:
        scene.drop_reports()
        deliver_all(launcher, scene)
        return scene.contents()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make one run, and show what happened.")
    parser.add_argument("call", help="fsync, fdatasync, renameat2, link, unlink, pwrite64, ...")
    parser.add_argument("fault", help="SIGKILL, or an error: EIO, ENOSPC, EMFILE")
    parser.add_argument("k", type=int, help="at which call of the process")
    parser.add_argument("--where", choices=("start", "spool", "ready"), default="start")
    parser.add_argument("--without-renameat2", action="store_true")
    asked = parser.parse_args()
    injection = Injection(
        asked.call, asked.fault, asked.k, asked.where, without_renameat2=asked.without_renameat2
    )
    with (
        tempfile.TemporaryDirectory() as home,
        Launcher(Path(home)) as launcher,
        DiscordProcess(None, "--token", TOKEN) as discord,
    ):
        stage = Stage.prepare(launcher, discord)
        try:
            sys.stdout.write(f"{injection}: {stage.run(injection)}\n")
        except AssertionError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
