"""How reports come in: what is new, in which order, under which id; and how they leave unsent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_tools import AT, admit, attempt, counted, entry, frozen, row, rows, totals

from ownerreportd.core.outcome import Confirmed, Receipt
from ownerreportd.fsio import FileStat
from ownerreportd.ledger import LedgerError, admission, open_ledger, open_reader, queue
from ownerreportd.ledger.census import Census
from ownerreportd.spool import open_spool


def census(ledger, *entries, batch=1000):
    """What is new to the ledger of these files, in order."""
    reader = open_reader(ledger.path.parent.parent)
    try:
        made = Census(reader.db)
        for found in entries:
            made.add([found])
        new = [found[0] for rows_ in made.new(batch) for found in rows_]
        return new, made.missing(1000)
    finally:
        reader.close()


# --- the census ----------------------------------------------------------------------------------


def test_a_scan_that_a_stop_cut_off_may_end_after_its_ledger(ledger):
    reader = open_reader(ledger.path.parent.parent)
    made = Census(reader.db)
    made.add([entry(b"a.md"), entry(b"b.md")])
    batches = iter(made.new(1))
    next(batches)
    reader.close()
    batches.close()


def test_what_is_new_comes_by_the_time_in_its_name_then_mtime_then_name(ledger):
    new, _ = census(
        ledger,
        entry(b"e", at_ns=2, mtime_ns=2),
        entry(b"b", at_ns=1, mtime_ns=1),
        entry(b"a", at_ns=1, mtime_ns=1),
        entry(b"d", at_ns=1, mtime_ns=2),
        entry(b"c", at_ns=1, mtime_ns=1),
        batch=2,
    )
    assert new == [b"a", b"b", b"c", b"d", b"e"]


def test_only_what_is_ripe_and_does_not_wait_already_is_new(ledger):
    admit(ledger, b"waits.md")
    new, missing = census(ledger, entry(b"waits.md"), entry(b"fresh.md", ripe=False), entry(b"new"))
    assert (new, missing) == ([b"new"], [])


def test_what_waits_and_was_not_seen_is_missing_in_order(ledger):
    rids = admit(ledger, b"c", b"a", b"b")
    assert census(ledger, entry(b"a"))[1] == [rids[0], rids[2]]
    assert census(ledger)[1] == rids


def test_what_was_admitted_after_the_scan_began_is_not_missing(ledger):
    reader = open_reader(ledger.path.parent.parent)
    made = Census(reader.db)
    admit(ledger, b"late.md")
    assert made.missing(10) == []
    reader.close()


def test_a_census_that_failed_does_not_spoil_the_next(ledger):
    reader = open_reader(ledger.path.parent.parent)
    made = Census(reader.db)
    with pytest.raises(LedgerError):
        made.add([(b"too", "few")])
    again = Census(reader.db)
    again.add([entry(b"a")])
    assert [found[0] for batch in again.new(10) for found in batch] == [b"a"]
    reader.close()


# --- admission -----------------------------------------------------------------------------------


def test_numbers_rise_and_a_name_that_waits_is_passed_over(ledger):
    admit(ledger, b"a", b"b")
    with ledger.transaction() as db:
        assert admission.admit(db, [row(b"b"), row(b"c")], AT) == 1
    found = rows(ledger, "SELECT name, seq FROM reports ORDER BY seq")
    assert [name for name, _ in found] == [b"a", b"b", b"c"]
    assert len({seq for _, seq in found}) == 3
    assert totals(ledger) == counted(ledger) == {"rejected": 0, "sent": 0, "waiting": 3}


def test_every_admission_is_told_with_a_name_that_can_be_shown(ledger):
    admit(ledger, b"a.md", b"\xff.md")
    told = rows(ledger, "SELECT id, kind, json_extract(fields, '$.name') FROM events ORDER BY id")
    assert [(kind, name) for _, kind, name in told] == [
        ("report.admitted", "a.md"), ("report.admitted", "\\xff.md"),
    ]  # fmt: skip
    assert [number for number, _, _ in told] == sorted(number for number, _, _ in told)


def test_a_submitted_report_has_its_id_and_its_sender_at_once(ledger):
    stat = FileStat(1, 2, 3, 4, 5)
    with ledger.transaction() as db:
        rid = admission.admit_submitted(db, b"a.md", stat, "my-id", AT, who="uid 5", uid=5)
        again = admission.admit_submitted(db, b"a.md", stat, "other", AT, who="uid 6", uid=6)
    assert rid == again
    assert rows(ledger, "SELECT id, submitted_by, submitted_uid FROM reports") == [
        ("my-id", "uid 5", 5)
    ]


def test_what_waited_when_a_ledger_was_lost_is_in_doubt_and_what_came_later_is_not(ledger):
    with ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('doubt_at', 0)")
    old = admit(ledger, b"old.md")[0]
    with ledger.transaction() as db:
        stat = FileStat(1, 2, 3, 4, 5)
        admission.admit_submitted(db, b"sub.md", stat, "my-id", AT, who="", uid=None)
        admission.end_of_doubtful_scan(db)
    new = admit(ledger, b"new.md")[0]
    for rid in (old, new):
        frozen(ledger, rid)
    doubts = rows(ledger, "SELECT doubt_since FROM parts ORDER BY delivery")
    assert doubts == [(0.0,), (None,)]
    assert rows(ledger, "SELECT name FROM reports WHERE doubt") == [(b"old.md",)]


def test_what_the_first_scan_could_not_take_is_in_doubt_too_unless_it_changed_since(ledger):
    with ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('doubt_at', 50)")
        admission.end_of_doubtful_scan(db)
        files = [
            (b"%d.md" % ctime_s, 1, ctime_s, 4, 5, ctime_s * 10**9) for ctime_s in (49, 50, 51)
        ]
        admission.admit(db, files, AT)
    assert rows(ledger, "SELECT name FROM reports WHERE doubt") == [(b"49.md",), (b"50.md",)]


def test_a_forgotten_report_leaves_nothing_but_one_warning(ledger):
    rid = admit(ledger, b"a.md")[0]
    frozen(ledger, rid)
    with ledger.transaction() as db:
        admission.forget(db, rid, "no permission", AT)
    for table in ("reports", "deliveries", "parts"):
        assert rows(ledger, f"SELECT count(*) FROM {table}") == [(0,)]
    assert rows(ledger, "SELECT kind FROM events") == [("report.warning",)]
    assert totals(ledger)["waiting"] == 0
    rid = admit(ledger, b"a.md")[0]
    with ledger.transaction() as db:
        admission.forget(db, rid, "", AT)
    assert rows(ledger, "SELECT kind FROM events") == [("report.warning",)]


# --- ids -----------------------------------------------------------------------------------------


def chosen(ledger, name, data=b"text", sha256="aa", *, name_id=None, front_id=None):
    rid = admit(ledger, name)[0]
    with ledger.transaction() as db:
        found = db.execute("SELECT * FROM reports WHERE rid = ?", (rid,)).fetchone()
        made = admission.choose_id(db, found, data, sha256, name_id=name_id, front_id=front_id)
        if made.duplicate_of is None:
            admission.identify(db, rid, made, AT)
            db.execute("UPDATE reports SET sha256 = ? WHERE rid = ?", (sha256, rid))
        return rid, made


def test_an_id_comes_from_the_name_else_the_front_matter_else_the_bytes(ledger):
    assert chosen(ledger, b"a", name_id="n", front_id="f")[1].id == "n"
    assert chosen(ledger, b"b", front_id="f")[1].id == "f"
    assert len(chosen(ledger, b"c")[1].id) == 26


def test_the_same_id_from_submit_is_a_duplicate_or_a_conflict(ledger):
    first, _ = chosen(ledger, b"a", name_id="n")
    assert chosen(ledger, b"b", name_id="n")[1].duplicate_of == first
    _, made = chosen(ledger, b"c", sha256="bb", name_id="n")
    assert (made.duplicate_of, made.conflict) == (None, "n")
    assert made.id != "n"
    assert ("report.id_conflict",) in rows(ledger, "SELECT kind FROM events")


def test_a_copied_front_matter_id_is_a_conflict_and_never_a_duplicate(ledger):
    chosen(ledger, b"a", front_id="f")
    _, made = chosen(ledger, b"b", front_id="f")
    assert (made.duplicate_of, made.conflict) == (None, "f")


def test_a_derived_id_that_is_taken_is_replaced_by_a_random_one(ledger):
    rid, first = chosen(ledger, b"a")
    with ledger.transaction() as db:
        admission.close_report(db, rid, "sent", AT, reason=None, folder="sent", name=b"a")
    _, second = chosen(ledger, b"a")
    assert first.id != second.id
    assert len(second.id) == 26


def test_a_duplicate_is_dropped_and_told_of(ledger):
    first, _ = chosen(ledger, b"a", name_id="n")
    second, _ = chosen(ledger, b"b", name_id="n")
    with ledger.transaction() as db:
        admission.drop_duplicate(db, second, first, AT)
    assert rows(ledger, "SELECT rid FROM reports") == [(first,)]
    assert rows(ledger, "SELECT rid FROM events WHERE kind = 'report.duplicate'") == [(first,)]
    assert totals(ledger)["waiting"] == 1


# --- leaving unsent ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["rejected", "withdrawn", "held"])
def test_a_report_that_ends_unsent_says_why_and_lets_its_name_go(ledger, state):
    rid = admit(ledger, b"a.md")[0]
    frozen(ledger, rid)
    with ledger.transaction() as db:
        admission.end_unsent(db, rid, state, AT, reason="why", folder=state, name=b"a~2.md")
    found = rows(ledger, "SELECT state, reason, folder, name FROM reports")
    assert found == [(state, "why", state, b"a~2.md")]
    assert rows(ledger, "SELECT state FROM deliveries") == [("withdrawn",)]
    kept = rows(ledger, "SELECT length(plain) > 0 FROM parts")
    assert kept == [(state == "held",)], "a held one may be tried again"
    assert totals(ledger) == counted(ledger)
    admit(ledger, b"a.md")
    assert totals(ledger) == counted(ledger)


def test_what_was_no_report_from_the_start_has_a_row_too(ledger):
    with ledger.transaction() as db:
        admission.reject_unadmitted(db, b"fifo.md", b"fifo~2.md", "this is a FIFO", AT)
    assert rows(ledger, "SELECT state, name, reason FROM reports") == [
        ("rejected", b"fifo~2.md", "this is a FIFO")
    ]
    assert totals(ledger) == counted(ledger)


def test_a_held_report_comes_back_at_the_tail_with_its_skipped_deliveries_open(ledger):
    first, _ = admit(ledger, b"a.md", b"b.md")
    delivery = frozen(ledger, first, parts=2)
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    with ledger.transaction() as db:
        db.execute("UPDATE deliveries SET state = 'skipped' WHERE id = ?", (delivery,))
        admission.close_report(db, first, "held", AT, reason="r", folder="held", name=b"a.md")
        assert admission.held_at(db, b"a.md", 1, 2) == first
        assert admission.held_at(db, b"a.md", 1, 99) is None
        admission.requeue(db, first, b"a~2.md", AT)
    with ledger.reading() as db:
        assert [report.name for report in queue.near_head(db, 9)] == [b"b.md", b"a~2.md"]
        found = queue.next_delivery(db, first)
        assert [part.number for part in found.parts] == [2]
        assert queue.near_head(db, 9)[1].found == FileStat(1, 2, 3, 4, 5)
    assert totals(ledger) == counted(ledger)


def test_a_report_that_was_set_aside_unread_is_frozen_when_it_comes_back(ledger):
    rid = admit(ledger, b"a.md")[0]
    with ledger.transaction() as db:
        db.execute("UPDATE reports SET fields = '{}' WHERE rid = ?", (rid,))
        admission.end_unsent(db, rid, "held", AT, reason="r", folder="held", name=b"a.md")
        admission.requeue(db, rid, b"a.md", AT)
    with ledger.reading() as db:
        assert not queue.first_waiting(db).frozen


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_totals_stay_true_whatever_happens(tmp_path_factory, data):
    spool = open_spool(tmp_path_factory.mktemp("spool"))
    ledger = open_ledger(spool.root, spool.lock_fd)
    try:
        for number in range(data.draw(st.integers(1, 12))):
            _anything(ledger, number, data.draw)
            assert totals(ledger) == counted(ledger)
        numbers = [n for (n,) in rows(ledger, "SELECT id FROM events ORDER BY rowid")]
        assert numbers == sorted(set(numbers))
    finally:
        ledger.close()
        spool.close()


def _anything(ledger, number, draw):
    waiting = [rid for (rid,) in rows(ledger, "SELECT rid FROM reports WHERE state = 'waiting'")]
    held = [rid for (rid,) in rows(ledger, "SELECT rid FROM reports WHERE state = 'held'")]
    what = draw(st.sampled_from(["admit", "admit", "odd", "forget", "end", "settle", "requeue"]))
    name = b"%d.md" % number
    if what == "admit":
        admit(ledger, name, name + b"2")
        return
    with ledger.transaction() as db:
        if what == "odd":
            admission.reject_unadmitted(db, name, name, "odd", AT)
        elif what == "requeue" and held:
            admission.requeue(db, held[0], name, AT)
        elif not waiting:
            return
        elif what == "forget":
            admission.forget(db, waiting[0], "gone", AT)
        elif what == "end":
            state = draw(st.sampled_from(["rejected", "withdrawn", "held"]))
            admission.end_unsent(db, waiting[0], state, AT, reason="r", folder=state, name=name)
        elif what == "settle":
            admission.close_report(
                db, waiting[0], "sent", AT, reason=None, folder="sent", name=name
            )


def test_destinations_of_a_report_are_kept_apart(ledger):
    rid = admit(ledger, b"a.md")[0]
    frozen(ledger, rid)
    with ledger.reading() as db:
        assert queue.served_destinations(db, rid) == {"owner"}
