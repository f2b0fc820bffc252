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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
VERSIONS: Final = ("3.12", "3.13")
# What meets Python itself: the loop, sockets, processes, signals, SQLite, the command line, the
# built wheel. Texts and services behave alike on each version, and have most of the tests.
SHARE: Final = (
    "tests/core", "tests/config/test_config_sources.py", "tests/ledger", "tests/receipts",
    "tests/spool", "tests/api", "tests/cli", "tests/daemon", "tests/installing/test_wheel.py",
    "tests/test_log.py", "tests/test_notify.py", "tests/e2e/test_e2e_delivery.py",
    "tests/e2e/test_e2e_alone.py",
)  # fmt: skip
LEFT_OUT: Final = "not (channels or synapse or postfix or scale or packaging)"
_ASKED: Final = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"


def main() -> int:
    """Test what is there, all at once; answers the exit status."""
    chosen = [word for word in sys.argv[1:] if not word.startswith("-")] or VERSIONS
    found = {version: find(version) for version in chosen}
    for version, python in found.items():
        print(f"Python {version}: {python or 'not on this machine'}", flush=True)
    if "--where" in sys.argv:
        return 0
    made = {version: _environment(version, python) for version, python in found.items() if python}
    runs = [_begun(version, own) for version, own in made.items()]
    return max((_ended(run) for run in runs), default=0)


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


class Run(NamedTuple):
    """The tests on one version, which go on by themselves."""

    version: str
    process: subprocess.Popen[str]
    output: IO[str]


def _environment(version: str, python: Path) -> Path:
    """The interpreter of a new environment with the program and what its tests need."""
    folder = Path(sys.prefix) / version
    own = folder / "bin/python"
    uv = Path(sys.prefix) / "tools/bin/uv"
    make = [uv, "venv", "--quiet", "--clear", "--seed", "--python", python, folder]
    group = ["--group", f"{ROOT / 'pyproject.toml'}:dev"]
    install = [uv, "pip", "install", "--quiet", "--python", own, "--editable", ROOT, *group]
    for command in (make, install):
        subprocess.run(command, check=True)
    return own


def _begun(version: str, own: Path) -> Run:
    output = (own.parents[1] / "tests.txt").open("w+", encoding="utf-8")
    # Two runs share the machine: the profile for CI sets no deadline for an example.
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "-m", LEFT_OUT]
    command = [own, "-m", "pytest", *options, *SHARE]
    return Run(version, subprocess.Popen(command, cwd=ROOT, stdout=output, text=True), output)


def _ended(run: Run) -> int:
    """The exit status, after what the tests said was shown."""
    status = run.process.wait()
    run.output.seek(0)
    print(f"== Python {run.version}\n{run.output.read()}", flush=True)
    run.output.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
