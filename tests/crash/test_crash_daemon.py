"""The daemon, killed or refused at the k-th call of what it needs to keep its promises."""

from functools import partial

import pytest
from crash.injection import ERRORS, KILL, Injection
from crash.sampling import Series, run_all

# Reports are moved by renameat2, and by link and unlink only where the file system lacks it.
CALLS = (
    ("fsync", "start", False),
    ("fdatasync", "start", False),
    ("renameat2", "start", False),
    ("link", "start", True),
    ("unlink", "start", True),
    ("unlink", "start", False),
    ("pwrite64", "start", False),
    ("sendto", "start", False),
    ("connect", "start", False),
    ("openat", "spool", False),
    ("openat", "ready", False),
    ("write", "spool", False),
    ("write", "ready", False),
)
NAMES = [f"{call}-{where}{'-link' if lacking else ''}" for call, where, lacking in CALLS]


@pytest.mark.parametrize(("call", "where", "lacking"), CALLS, ids=NAMES)
def test_killed_or_refused_at_any_call_it_delivers_everything_once_and_in_order(
    stage, tell, call, where, lacking
):
    def run(fault, k):
        return stage.run(Injection(call, fault, k, where, without_renameat2=lacking))

    tell(run_all([Series(fault, partial(run, fault)) for fault in (KILL, *ERRORS)]))
