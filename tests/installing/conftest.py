"""The wheel and the sdist, built once, and homes to install them in."""

import shutil
import subprocess
import sysconfig
import tempfile
import venv
from pathlib import Path

import pytest
from packed import JUNK, ROOT, Home, built, tracked


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The wheel and the sdist, of a tree in which people have worked."""
    tree = tmp_path_factory.mktemp("tree")
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    for name in JUNK:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("nobody's business")
    found = built(tree, tmp_path_factory.mktemp("built"))
    shutil.rmtree(tree)  # what is installed from here on stands alone
    return found


@pytest.fixture(scope="session")
def installed(packages, tmp_path_factory):
    """An environment with the wheel, and what it depends on from this run's environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": folder, "platbase": folder}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(
        [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         packages[".whl"]],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def home():
    """Makes a home for the program that is named; its path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="ord-") as folder:
        yield lambda program: Home(Path(folder), program)
