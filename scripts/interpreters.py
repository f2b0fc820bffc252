"""`make interpreters`: a share of the tests, and the wheel itself, on the other versions of Python.

An interpreter that is not on this machine is said to be missing, and is no failure. A name on PATH
proves nothing: pyenv puts a `python3.12` there that only complains where another version is chosen.
So each candidate is asked for its version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
VERSIONS: Final = ("3.12", "3.13")
# What meets Python itself: the loop, sockets, processes, signals, SQLite, the command line, the
# built wheel. Texts and services behave alike on each version, and have most of the tests.
SHARE: Final = (
    "tests/core", "tests/config", "tests/ledger", "tests/receipts", "tests/spool", "tests/api",
    "tests/cli", "tests/daemon", "tests/installing", "tests/test_log.py", "tests/test_notify.py",
    "tests/e2e/test_e2e_delivery.py", "tests/e2e/test_e2e_process.py",
)  # fmt: skip
LEFT_OUT: Final = "not (channels or synapse or postfix or scale or packaging)"
_ASKED: Final = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"


def main() -> int:
    """Test what is there; answers the exit status."""
    chosen = [word for word in sys.argv[1:] if not word.startswith("-")] or VERSIONS
    status = 0
    for version in chosen:
        python = find(version)
        if python is None:
            print(f"Python {version}: not on this machine")
        elif "--where" in sys.argv:
            print(f"Python {version}: {python}")
        else:
            status = max(status, _tested(version, python))
    return status


def find(version: str) -> Path | None:
    """An interpreter of this version that runs."""
    return next(filter(None, (_asked(path, version) for path in _candidates(version))), None)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if found := shutil.which(name, path=folder):
            yield Path(found)
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/{name}"), reverse=True)
    yield from sorted(home.glob(f".local/share/uv/python/cpython-{version}*/bin/{name}"))


def _asked(path: Path, version: str) -> Path | None:
    """The interpreter behind the name, if it runs and is of that version."""
    try:
        told = subprocess.run(
            [path, "-c", _ASKED], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    its_version, _, its_path = told.stdout.strip().partition("\n")
    return Path(its_path) if its_version == version and its_path else None


def _tested(version: str, python: Path) -> int:
    begun = time.monotonic()
    environment = Path(sys.prefix) / version
    uv = Path(sys.prefix) / "tools/bin/uv"
    subprocess.run(
        [uv, "venv", "--quiet", "--clear", "--seed", "--python", python, environment], check=True
    )
    own = environment / "bin/python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", own, "--editable", ROOT,
         "--group", f"{ROOT / 'pyproject.toml'}:dev"],
        check=True,
    )  # fmt: skip
    print(f"Python {version}: {python}, installed in {time.monotonic() - begun:.0f} s", flush=True)
    options = ["-q", "-p", "no:cacheprovider", "-m", LEFT_OUT]
    return subprocess.run([own, "-m", "pytest", *options, *SHARE], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
