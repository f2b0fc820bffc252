"""`submit` without a daemon, killed or refused at the k-th call; a daemon comes afterwards.

Rule: exit 0 means that the report is whole in `pending/`; anything else, that it was not taken:
nothing is there, or after a kill perhaps all of it, but never a torn file.
"""

import re
import signal
import threading
from functools import partial

import pytest
from crash.injection import ERRORS, KILL, Injection, Trace
from crash.run import Result, deliver_all
from crash.sampling import Series, run_all
from crash.scene import Scene

# The names below `tmp/` and `pending/` are made up by `submit`, so that strace cannot be told
# them: all of its few writes are counted, and all that it opens below the spool's folders.
CALLS = (
    ("fsync", "start"), ("renameat2", "start"), ("write", "start"), ("openat", "spool"),
    ("unlink", "start"), ("connect", "start"),
)  # fmt: skip
UNSAID = re.compile(rb"write\([12],.*\(INJECTED\)")


class Producer:
    """Submits one report after another into one spool, each with a fault of its own."""

    def __init__(self, launcher, discord):
        self._launcher = launcher
        self._scene = Scene(discord, {})
        self._killed = 0
        self._one_at_a_time = threading.Lock()

    def submit(self, injection):
        """One `submit`, with what must hold after it."""
        with self._one_at_a_time:
            return self._checked(injection)

    def _checked(self, injection):
        text = f"Report {injection.k}: 第{injection.k}份回報\n"
        before = set(self._waiting())
        status, trace = self._submit(text, injection)
        new = set(self._waiting()) - before
        assert len(new) <= 1, f"{injection}: {new}"
        assert [self._waiting()[name] for name in new] in ([], [text]), f"torn: {injection}"
        if status == 0:
            assert new, f"acknowledged and lost: {injection}"
        elif status == -signal.SIGKILL:
            self._killed += 1
        else:
            assert status in {66, 69, 73, 74}, f"{injection}: it ended with {status}"
            # It may only be taken if what failed was to say so, on stdout or stderr.
            said = UNSAID.search(trace.text) is not None
            assert bool(new) is said, f"refused, and taken all the same: {injection}"
        assert len(self._scene.names("tmp")) <= self._killed, f"litter: {injection}"
        assert trace.injected or status == 0
        return Result(trace.injected, trace.calls)

    def _submit(self, text, injection):
        path = self._scene.folder / "report"
        path.write_text(text)
        arguments = ["--config", str(self._scene.config), "submit", str(path)]
        process = self._launcher.launch(arguments, self._scene.log, stopped=True)
        with Trace(process.pid, injection, self._scene.paths()) as trace:
            try:
                process.signal(signal.SIGCONT)
                return process.wait(20), trace
            finally:
                process.signal(signal.SIGKILL)

    def _waiting(self):
        folder = self._scene.root / "pending"
        return {name: (folder / name).read_text() for name in self._scene.names("pending")}

    def deliver(self):
        """A daemon takes what is there, in order, once; the temporary files are nobody's report."""
        scene = self._scene
        scene.reports = self._waiting()
        litter = scene.names("tmp")
        with scene:
            deliver_all(self._launcher, scene)
            assert scene.contents() == [text.strip() for text in scene.reports.values()]
            assert scene.names("tmp") == litter
            for folder in ("held", "rejected"):
                assert scene.names(folder) == []


@pytest.mark.parametrize(("call", "where"), CALLS)
def test_submit_acknowledges_what_is_whole_and_leaves_nothing_torn(
    launcher, discord, tell, call, where
):
    def run(producer, fault, k):
        return producer.submit(Injection(call, fault, k, where))

    producers = {fault: Producer(launcher, discord) for fault in (KILL, *ERRORS)}
    series = [Series(fault, partial(run, one, fault)) for fault, one in producers.items()]
    tell(run_all(series))
    for producer in producers.values():
        producer.deliver()
