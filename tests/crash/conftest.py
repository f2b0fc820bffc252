"""What all runs share, and the line in the log that tells how many there were."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from crash.injection import CannotTraceError, check_strace
from crash.launcher import Launcher
from crash.run import Stage
from crash.scene import TOKEN
from doubles.control import DiscordProcess

HERE = Path(__file__).parent
TIMEOUT_S, TIMEOUT_ALL_S = 300, 7200


def pytest_collection_modifyitems(items):
    timeout_s = TIMEOUT_ALL_S if os.environ.get("CRASH") == "all" else TIMEOUT_S
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.crash)
            item.add_marker(pytest.mark.timeout(timeout_s))


@pytest.fixture(scope="session")
def strace(tmp_path_factory):
    """Without it these tests prove nothing, so that they fail, and are not skipped."""
    try:
        check_strace(tmp_path_factory.mktemp("strace"))
    except CannotTraceError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def launcher(strace, tmp_path_factory):
    with Launcher(tmp_path_factory.mktemp("home")) as launcher:
        yield launcher


@pytest.fixture(scope="session")
def discord():
    with DiscordProcess(None, "--token", TOKEN) as discord:
        yield discord


@pytest.fixture(scope="session")
def stage(launcher, discord):
    return Stage.prepare(launcher, discord)


@pytest.fixture
def tell(capsys, request):
    """Prints a line that shows without `-s`."""

    def tell(text):
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}: {text} ")

    return tell
