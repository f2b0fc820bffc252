"""`make lock` and `make locked`: every dependency pinned, with its hashes, in uv.lock.

uv writes the address of a registry beside each file. Ours names files and hashes alone, below the
folder `.wheels`: whoever installs from it fetches them from the registry or mirror of their own,
and uv checks every hash. See docs/decisions/0008.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "uv.lock"
FOLDER = ".wheels"
UV = (sys.executable, "-m", "uv")


def write() -> None:
    """Resolve anew, and write uv.lock without addresses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, folder)
        (folder / "ownerreportd").mkdir()
        shutil.copy(ROOT / "ownerreportd/__init__.py", folder / "ownerreportd")
        subprocess.run([*UV, "lock", "--quiet"], cwd=folder, check=True)
        text = (folder / "uv.lock").read_text(encoding="utf-8")
    text = re.sub(r'registry = "[^"]*"', f'registry = "{FOLDER}"', text)
    LOCK.write_text(re.sub(r'url = "[^"]*/([^"/]+)"', r'path = "\1"', text), encoding="utf-8")
    print(f"uv.lock: {len(pins())} packages")


def pins() -> list[str]:
    """`name==version` of every package in the lock but our own."""
    locked = tomllib.loads(LOCK.read_text(encoding="utf-8"))["package"]
    return [f"{p['name']}=={p['version']}" for p in locked if "registry" in p["source"]]


def install() -> None:
    """Fetch what the lock names for this machine, then let uv install it and check the hashes."""
    folder = ROOT / FOLDER
    listed = subprocess.run(
        [*UV, "export", "--frozen", "--no-hashes", "--no-emit-project", "--quiet",
         "--format", "requirements-txt"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    wanted = folder.with_suffix(".txt")
    wanted.write_text(listed, encoding="utf-8")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    subprocess.run([*fetch, "-r", str(wanted)], check=True)
    wanted.unlink()
    subprocess.run([*UV, "sync", "--frozen"], cwd=ROOT, check=True)


if __name__ == "__main__":
    install() if "--install" in sys.argv else write()
