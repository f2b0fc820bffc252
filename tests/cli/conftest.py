"""Whole command lines against a fake daemon on a real socket, compared as text."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from typing import NamedTuple

import pytest
from api.fake_daemon import DaemonInThread, FakeDaemon

from ownerreportd.cli.program import main

AGO = re.compile(r"\((?:\d+ \w+ ?)+ ago\)")
FOR = re.compile(r"(?m)^  for: (?:\d+ \w+ ?)+$")


class Ended(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home with its spool, away from everything on this machine."""
    for name in list(os.environ):
        if name.startswith(("OWNER", "XDG_", "CONFIGURATION_", "RUNTIME_", "NO_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OWNERREPORTD_SPOOL__ROOT", str(tmp_path / "spool"))
    monkeypatch.setenv("TZ", "Asia/Taipei")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def spool(home):
    return home / "spool"


@pytest.fixture
def daemon(spool):
    """A daemon that answers at the spool's own socket."""
    with DaemonInThread(spool / "state" / "api.sock", FakeDaemon()) as daemon:
        yield daemon


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command line; ages become `(AGO)`, or `for: AGE`."""

    def command(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = main(list(arguments))
        captured = capsys.readouterr()
        out = FOR.sub("  for: AGE", AGO.sub("(AGO)", captured.out))
        return Ended(status, out, AGO.sub("(AGO)", captured.err))

    return command
