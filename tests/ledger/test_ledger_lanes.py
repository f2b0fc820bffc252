"""Whose turn it is in a lane of its own: the same answer whichever way the ledger is asked."""

import contextlib
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownerreportd.ledger import queue
from ownerreportd.ledger.schema import TABLES

STATES = ("none", "waiting", "confirmed", "withdrawn")
rows = st.lists(
    st.tuples(
        st.booleans(), st.booleans(), st.sampled_from(STATES), st.sampled_from(STATES)
    ),
    max_size=8,
)  # fmt: skip


@contextlib.contextmanager
def filled(reports):
    """`(waits, read, at owner, at phone)` for each; the sequence runs against the rows."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    db.executescript(TABLES)
    for number, (waits, read, *states) in enumerate(reports):
        db.execute(
            "INSERT INTO reports (rid, seq, name, dev, ino, size, mtime_ns, ctime_ns, fields, "
            "state, admitted_at) VALUES (?, ?, ?, 1, 1, 1, 1, 1, ?, ?, 0)",
            (number + 1, 100 - number, str(number).encode(), "{}" if read else None,
             "waiting" if waits else "sent"),
        )  # fmt: skip
        for destination, state in zip(("owner", "phone"), states, strict=True):
            if read and state != "none":
                db.execute(
                    "INSERT INTO deliveries (rid, ordinal, destination, channel, target, state) "
                    "VALUES (?, 0, ?, 'c', 't', ?)",
                    (number + 1, destination, state if waits else "confirmed"),
                )
    with contextlib.closing(db):
        yield db


def expected(reports, place):
    """By plain reading: the last of them comes first."""
    for number, report in reversed(list(enumerate(reports))):
        waits, read, state = report[0], report[1], report[2 + place]
        if waits and (not read or state == "waiting"):
            return number + 1
    return None


@pytest.mark.parametrize("few", [0, queue.FEW])
@given(reports=rows)
def test_the_first_for_a_destination_is_the_oldest_that_goes_there_or_may(few, reports):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "FEW", few)
        for place, destination in enumerate(("owner", "phone")):
            with filled(reports) as db:
                found = queue.first_for(db, destination)
            assert (found and found.rid) == expected(reports, place)


@given(reports=rows)
def test_complete_are_those_that_were_read_and_wait_for_nothing(reports):
    wanted = [
        number + 1
        for number, (waits, read, *states) in reversed(list(enumerate(reports)))
        if waits and read and "waiting" not in states
    ]
    with filled(reports) as db:
        assert queue.complete(db) == wanted
