"""`make interpreters` tests on what runs, whatever PATH claims, and says what is missing."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
from packed import ROOT

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SCRIPT = ROOT / "scripts/interpreters.py"
BROKEN = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"
OTHER = "#!/bin/sh\nprintf '2.7\\n/usr/bin/python2.7\\n'\n"
DUMB = "#!/bin/sh\nexit 0\n"


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def where(tmp_path, *versions):
    environ = {
        "HOME": str(tmp_path), "PATH": f"{tmp_path / 'shims'}:{tmp_path / 'bin'}",
        "PYENV_ROOT": str(tmp_path / "pyenv"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, SCRIPT, "--where", *versions], env=environ, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def link(tmp_path, name):
    path = tmp_path / name / f"python{HERE}"
    path.parent.mkdir(parents=True)
    path.symlink_to(os.path.realpath(sys.executable))
    return path


@pytest.mark.parametrize("shim", [BROKEN, OTHER, DUMB])
def test_a_name_on_path_that_is_no_such_python_is_passed_over(tmp_path, shim):
    program(tmp_path / f"shims/python{HERE}", shim)
    assert where(tmp_path, HERE) == [f"Python {HERE}: not on this machine"]
    real = link(tmp_path, f"pyenv/versions/{HERE}.9/bin")
    assert where(tmp_path, HERE) == [f"Python {HERE}: {real}"]


def test_the_first_one_on_path_that_runs_is_taken(tmp_path):
    program(tmp_path / f"shims/python{HERE}", BROKEN)
    real = link(tmp_path, "bin")
    link(tmp_path, f"pyenv/versions/{HERE}.9/bin")
    assert where(tmp_path, HERE) == [f"Python {HERE}: {real}"]


def test_uvs_own_ones_are_found(tmp_path):
    real = link(tmp_path, f".local/share/uv/python/cpython-{HERE}.1-linux/bin")
    assert where(tmp_path, HERE) == [f"Python {HERE}: {real}"]


def test_every_version_that_the_package_names_is_tested(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if ":: Python :: 3." in c]
    assert project["requires-python"] == f">={named[0]}"
    assert [re.findall(r"[\d.]+", line)[0] for line in where(tmp_path)] == named[1:]
