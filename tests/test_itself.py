"""How the program starts itself again: what cron and a unit file are given."""

import os
import sys

import pytest

from ownerreportd import itself, locate
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


def test_the_daemon_is_started_by_the_unit_that_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(itself, "SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setattr(locate, "ETC", tmp_path / "etc")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}

    def started_by(new):
        path = tmp_path / new
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return itself.start_command(environ)

    assert itself.start_command(environ) == "ownerreportd run"
    assert started_by(f"units/{itself.SERVICE}") == "ownerreportd run"  # nobody it serves
    assert started_by("etc/config.toml") == "systemctl start ownerreportd"
    unreadable = {**environ, "OWNERREPORTD_CONFIG": "/no/such/file.toml"}
    assert itself.start_command(unreadable) == "ownerreportd run"
    assert started_by("xdg/ownerreportd/config.toml") == "ownerreportd run"  # a spool of one's own
    assert started_by(f"xdg/systemd/user/{itself.SERVICE}") == "systemctl --user start ownerreportd"
