"""What is packed, and a home to install it in."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
JUNK = (
    ".venv/bin/python", ".synapse/env/secret", "dist/old.whl", "tests/.hypothesis/example",
    "ownerreportd/__pycache__/courier.pyc", ".env", "discord.token", "notes.md",
)  # fmt: skip


def tracked():
    """The files that belong to the project; in an unpacked sdist all of them do."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0") if (ROOT / ".git").exists() else _below(ROOT)
    return {name for name in names if (ROOT / name).is_file()}


def _below(root):
    found = (path.relative_to(root) for path in root.rglob("*"))
    return [str(p) for p in found if not {".venv", "__pycache__"} & set(p.parts)]


def built(tree, out, *targets):
    """What hatchling makes of the tree, by its suffix."""
    flags = [word for target in targets for word in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *flags, "-d", out]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    return {path.suffix: path for path in out.iterdir()}


class Home:
    """A user with an empty home, and nothing of this run's environment."""

    def __init__(self, folder, program):
        self.folder = folder
        self.program = program
        self.environ = {
            "HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_"))},
        }  # fmt: skip

    def run(self, *words, given=None):
        """The program's answer; fails where the exit status is not 0."""
        done = subprocess.run(
            [self.program, *words], cwd=self.folder, env=self.environ, input=given,
            capture_output=True, text=True, timeout=50,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def inbox(self):
        """All that the owner has."""
        folder = self.folder / ".clawteam/owner-reports/inbox/new"
        return "\n".join(path.read_text(encoding="utf-8") for path in folder.iterdir())

    def delivers(self, text):
        """Hand over a report, and see it arrive in the inbox."""
        self.run("submit", "-", given=text)
        self.run("drain")
        assert text in self.inbox()

    @contextlib.contextmanager
    def daemon(self):
        """The daemon, from its READY to its end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            path = str(self.folder / "notify")
            told.bind(path)
            told.settimeout(40)
            daemon = subprocess.Popen(
                [self.program, "run"], cwd=self.folder, stderr=subprocess.DEVNULL,
                env={**self.environ, "NOTIFY_SOCKET": path},
            )  # fmt: skip
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
                yield
            finally:
                daemon.terminate()
                status = daemon.wait(30)
        assert status == 0
