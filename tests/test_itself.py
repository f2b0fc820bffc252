"""How the program starts itself again: what cron and a unit file are given."""

import os
import sys

import pytest

from ownerreportd.itself import own_command


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment with a Python and no console script, which is where the test is."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(path):
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_the_script_by_which_it_was_called_also_where_it_is_a_link(environment, monkeypatch):
    (environment / "local").mkdir()
    os.symlink(program(environment / "bin/ownerreportd"), environment / "local/ownerreportd")
    monkeypatch.setattr(sys, "argv", ["local/ownerreportd", "migrate"])
    assert own_command() == [str(environment / "local/ownerreportd")]


@pytest.mark.parametrize("called", ["__main__.py", "local/ownerreportd", "local"])
def test_the_script_of_this_python_where_it_was_called_otherwise(environment, monkeypatch, called):
    program(environment / "bin/ownerreportd")
    monkeypatch.setattr(sys, "argv", [called, "migrate"])
    assert own_command() == [str(environment / "bin/ownerreportd")]


def test_the_module_where_there_is_no_script(environment, monkeypatch):
    (environment / "ownerreportd").mkdir()  # a checkout's package is no program
    monkeypatch.setattr(sys, "argv", ["ownerreportd", "migrate"])
    assert own_command() == [sys.executable, "-m", "ownerreportd"]
