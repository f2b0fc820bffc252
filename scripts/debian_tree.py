"""Makes `.systemd/tree/`: a small Debian 12 that systemd-nspawn boots, for the tests of the units.

It is made once, under a lock (300 MB, two minutes); the tests write into an overlay that goes with
them. Only root can make it. `$DEBIAN_MIRROR` names another mirror than Debian's own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "logrotate", "python3",
    "python3-venv", "pipx", "cron",
)  # fmt: skip
FOLDER = Path(__file__).resolve().parents[1] / ".systemd"
TREE = FOLDER / "tree"
NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}


def main() -> int:
    """Make it where it is not, or has other packages."""
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            return _complain(f"there is no {program}", f"apt install {package}")
    if os.geteuid() != 0:
        return _complain("only root can make and boot a Debian", "sudo make systemd")
    FOLDER.mkdir(exist_ok=True)
    stamp, wanted = FOLDER / "made", f"{SUITE} {' '.join(PACKAGES)}\n"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted and TREE.is_dir():
            return 0
        print("making a Debian 12 in .systemd (two minutes, once)", flush=True)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(TREE, ignore_errors=True)
        status = _debootstrap()
        if status == 0:
            stamp.write_text(wanted)
        return status


def _debootstrap() -> int:
    mirror = os.environ.get("DEBIAN_MIRROR", MIRROR)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    log = FOLDER / "debootstrap.log"
    with log.open("w") as out:
        done = subprocess.run([*command, SUITE, TREE, mirror], stdout=out, stderr=out, check=False)
    if done.returncode:
        return _complain(f"debootstrap failed: {log}", "DEBIAN_MIRROR=URL names another mirror")
    return 0


def _complain(error: str, hint: str) -> int:
    print(f"error: {error}\nhint: {hint}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
