"""Real daemons, real sockets, real spools, and a strict double of the service."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.fleet import RESULT_S, RUNS_AT_ONCE
from e2e.harness import Discord, Home, LoopThread, as_root


@pytest.fixture(scope="session")
def root():
    """For tests that need other users or mounts of their own."""
    if not as_root():
        pytest.skip("only root can become another user or mount")


@pytest.fixture(scope="session")
def loop():
    with LoopThread() as thread:
        yield thread


# One channel over a real daemon, or all of them: minutes, and a target of their own.
CHANNELS = {
    "apprise", "channels", "discord_webhook", "email", "exec", "lanes", "matrix", "no_secret",
    "ntfy", "openclaw", "pacing", "slack", "telegram",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The fleets' tests come last: their runs use what the others leave of the processors."""
    for item in items:
        if item.module.__name__.rpartition("test_e2e_")[2] in CHANNELS:
            item.add_marker("channels")
    items.sort(key=lambda item: hasattr(item.module, "launch"))
    for item in items:
        if hasattr(item.module, "launch"):
            item.add_marker(pytest.mark.timeout(RESULT_S + 30))  # it may have to wait its turn


@pytest.fixture(scope="session", autouse=True)
def fleets(request, loop):
    """The fleets of the modules that are to be tested, each begun at once."""
    wanted = {}
    for item in request.session.items:
        if hasattr(item.module, "launch"):
            wanted.setdefault(item.module, set()).add(item.originalname)
    # The longest runs first, so that none of them is left alone at the end.
    wanted = dict(sorted(wanted.items(), key=lambda pair: not hasattr(pair[0], "LONG")))
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        launched = {m.__name__: m.launch(loop, pool, names) for m, names in wanted.items()}
        yield launched
        for fleet in launched.values():
            fleet.close()


@pytest.fixture
def fleet(request, fleets):
    """The module's own fleet."""
    return fleets[request.module.__name__]


@pytest.fixture
def discord(loop):
    with Discord(loop) as double:
        yield double


@pytest.fixture
def new_home():
    """Makes homes; whatever runs in them ends with the test."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            home = Home(**options)
            stack.callback(home.close)
            return home

        yield make


@pytest.fixture
def home(new_home):
    return new_home()
