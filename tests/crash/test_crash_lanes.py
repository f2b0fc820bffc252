"""Several destinations: killed at any call, each gets everything once and in order."""

from dataclasses import replace
from functools import partial

import pytest
from crash.injection import KILL, Injection
from crash.sampling import Series, chosen, run_all

CALLS = (
    ("connect", "start"),
    ("fdatasync", "start"),
    ("pwrite64", "start"),
    ("renameat2", "start"),
    ("sendto", "start"),
)
# Hundreds of writes of pages: with one place each of them has its turn in `test_crash_daemon`.
EVERY = {"connect": 7, "fdatasync": 7, "pwrite64": 49, "renameat2": 7, "sendto": 14}


@pytest.mark.parametrize("places", [2, 3])
@pytest.mark.parametrize("lanes", ["one", "per-destination"])
def test_killed_at_any_call_every_destination_gets_everything_once(stage, tell, lanes, places):
    several = replace(stage, places=places, lanes=lanes)

    def run(call, where, k):
        return several.run(Injection(call, KILL, k, where))

    tell(
        run_all(
            [
                Series(f"{call} {where}", partial(run, call, where), ks=chosen(1, EVERY[call]))
                for call, where in CALLS
            ]
        )
    )
