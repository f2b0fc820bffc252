"""The program as a person types it, under strace from its very first call, and killed by strace.

The other tests fork a process that has imported everything; this one shows that the program
itself is no different.
"""

import signal
import subprocess
import sys

import pytest
from crash.injection import until
from crash.run import deliver_all, is_ready
from crash.scene import Scene


@pytest.mark.parametrize(("call", "k"), [("fdatasync", 3), ("renameat2", 2), ("connect", 4)])
def test_the_program_as_typed_is_killed_and_goes_on(stage, discord, call, k):
    with Scene(discord) as scene, scene.log.open("ab") as log:
        scene.drop_reports()
        # Without --seccomp-bpf: at such a stop the kernel takes no signal from strace.
        command = [
            "strace", "-f", "-qq", "-o", str(scene.folder / "trace"), "-e", f"trace={call}",
            "-e", f"inject={call}:signal=SIGKILL:when={k}",
            sys.executable, "-m", "ownerreportd", "--config", str(scene.config), "run",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=log, stderr=log) as tracer:
            until(lambda: tracer.poll() is not None, 60)
            tracer.terminate()  # and with it what it runs
        # strace ends as what it ran has ended.
        assert tracer.returncode == -signal.SIGKILL, scene.story()
        scene.check_promises(stage.expected)
        deliver_all(stage.launcher, scene)
        scene.check_end(stage.expected)


def test_the_program_as_typed_delivers_and_stops(stage, discord):
    with Scene(discord) as scene, scene.log.open("ab") as log:
        scene.drop_reports()
        command = [sys.executable, "-m", "ownerreportd", "--config", str(scene.config), "run"]
        with subprocess.Popen(command, stdout=log, stderr=log) as daemon:
            done = until(lambda: scene.all_sent and is_ready(scene), 60)
            daemon.send_signal(signal.SIGTERM)
        assert done, scene.story()
        assert daemon.returncode == 0, scene.story()
        scene.check_end(stage.expected)
