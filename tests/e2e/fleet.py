"""Many runs at once, and every way in which the service can fail.

A run spends much of its time waiting, so that several of them share two processors well.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from dataclasses import replace
from functools import partial

import pytest
from doubles.faults import NAMED, answer, error, throttled, throttled_by_proxy
from e2e.harness import Discord, Home

RUNS_AT_ONCE = 5
RESULT_S = 300
# As long as a test can wait for it; the service's own numbers are tested with the channel.
SHORT_S = 0.03
ALL = {
    **NAMED,
    "400": error(400, 200000, "Message was blocked by automatic moderation"),
    "408": answer(408),
    "413": error(413, 40005, "Request entity too large"),
    "403_proxy": answer(403, "no"),
    "429": throttled(SHORT_S),
    "429_proxy": throttled_by_proxy(SHORT_S),
    "502_json": error(502, 0, "502: Bad Gateway"),
    "accept_then_429": replace(
        NAMED["accept_then_429"],
        body=f'{{"message": "made up", "retry_after": {SHORT_S}, "global": false}}',
    ),
    "redirect": answer(307, None, Location="https://example.org/"),
}
BLOCKING = {
    "401": "config", "403": "config", "404": "config", "403_proxy": "config", "redirect": "config",
    "400": "report", "413": "report",
}  # fmt: skip


class Fleet:
    """A module's runs, each begun as soon as the pool has room, and asked for by name.

    `run(home, discord, name)` is one; home and service are its own.
    """

    def __init__(self, loop, pool, run, names, **discord):
        self._discord = discord
        self._loop = loop
        self._run = run
        self._over = threading.Event()
        self._runs = {name: pool.submit(self._one, name) for name in names}

    def _one(self, name):
        if self._over.is_set():
            return None
        with Discord(self._loop, **self._discord) as discord, contextlib.closing(Home()) as home:
            return self._run(home, discord, name)

    def result(self, name):
        return self._runs[name].result(RESULT_S)

    def close(self):
        self._over.set()
        for run in self._runs.values():
            run.cancel()


class Abreast:
    """Decorates a module's tests that run beside each other, each in a home of its own.

    They are functions of `home`, of `discord` or of both; with `each`, of one more argument that
    takes each of the values. What pytest sees only waits for their end: a daemon's start takes
    most of a second of one processor, and there are two.
    """

    def __init__(self):
        self._tests = {}

    def __call__(self, function):
        def test(fleet):
            fleet.result(function.__name__)

        self._tests[function.__name__] = function
        test.__name__, test.__doc__ = function.__name__, function.__doc__
        return test

    def each(self, argument, values):
        """The test once with each of the values."""

        def decorate(function):
            cases = {f"{function.__name__}[{value}]": value for value in values}
            for name, value in cases.items():
                self._tests[name] = partial(function, **{argument: value})

            @pytest.mark.parametrize("case", cases, ids=map(str, values))
            def test(fleet, case):
                fleet.result(case)

            test.__name__, test.__doc__ = function.__name__, function.__doc__
            return test

        return decorate

    def launch(self, loop, pool, wanted):
        names = [name for name in self._tests if name.partition("[")[0] in wanted]
        return Fleet(loop, pool, self._run, names)

    def _run(self, home, discord, name):
        test = self._tests[name]
        given = {"home": home, "discord": discord}
        takes = inspect.signature(test).parameters
        test(**{argument: given[argument] for argument in given if argument in takes})


class Watcher:
    """Looks at status, archive and service all the time, from a thread, while a run goes on."""

    def __init__(self, home, discord, on_status, *, every_s):
        self.states = {}  # (state, code) to (reason, hint), as first seen
        self.archived = {}  # the report to the number of messages recorded when it was seen
        self._home, self._discord, self._on_status = home, discord, on_status
        self._every_s = every_s  # each look costs the daemon some milliseconds
        self._over = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        if exc[0] is None:
            self.check()

    def check(self):
        """Raise what the thread met, so that nobody waits for a watcher that is gone."""
        if self._failed is not None:
            raise self._failed

    def _watch(self):
        try:
            while not self._over.wait(self._every_s):
                self._look()
        except Exception as error:  # noqa: BLE001 - raised again where the run ends
            self._failed = error

    def _look(self):
        for name in self._home.names("sent"):
            # The archive is read first: what it shows must be recorded already.
            self.archived.setdefault(name, len(self._discord.double.messages))
        status = self._home.status()
        key = status["state"], status.get("code", "")
        self.states.setdefault(key, (status.get("reason"), status.get("hint")))
        self._on_status(status)
