"""Makes `.synapse/`: a real Matrix homeserver in an environment of its own, for the tests.

It is made once, under a lock, so that two runs of the tests can ask for it at the same time. Its
dependencies are Synapse's own, not ours: 240 MB, most of a minute.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

VERSION = "1.163.2"
FOLDER = Path(__file__).resolve().parents[1] / ".synapse"
PYTHON = FOLDER / "env" / "bin" / "python"


def main() -> None:
    """Install it where it is not, or is of another version."""
    FOLDER.mkdir(exist_ok=True)
    stamp = FOLDER / "installed"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == VERSION and PYTHON.exists():
            return
        print(f"installing Synapse {VERSION} in .synapse (about a minute, once)", flush=True)
        stamp.unlink(missing_ok=True)
        environment = FOLDER / "env"
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"matrix-synapse=={VERSION}"], check=True)
        stamp.write_text(VERSION)


if __name__ == "__main__":
    main()
