"""What the ledger's tests share: reports and deliveries without files."""

from ownerreportd.core.channel import Part
from ownerreportd.fsio import FileStat
from ownerreportd.ledger import admission, deliveries
from ownerreportd.ledger.deliveries import Bound
from ownerreportd.ledger.frozen import freeze

OWNER = Bound("owner", "fake", "room")
AT = 1_000_000.0


def row(name, ino=1):
    """A file as a scan hands it over."""
    return (name, 1, ino, 4, 5, 6)


def entry(name, *, at_ns=0, mtime_ns=0, ripe=True, ino=1):
    """A file as the census takes it."""
    return (name, at_ns, 1, ino, 4, mtime_ns, 6, ripe)


def admit(ledger, *names, at=AT):
    """Admit files of these names; their rows."""
    with ledger.transaction() as db:
        admission.admit(db, [row(name, number) for number, name in enumerate(names, 10)], at)
        marks = ", ".join("?" * len(names))
        query = (
            f"SELECT rid FROM reports WHERE state = 'waiting' AND name IN ({marks}) ORDER BY seq"
        )
        return [found["rid"] for found in db.execute(query, names)]


def frozen(ledger, rid, bound=OWNER, parts=1, ordinal=0, **options):
    """Give the report an id and a frozen delivery; the delivery's row."""
    texts = [b"part %d" % number for number in range(1, parts + 1)]
    made = [Part(n, parts, text, b"(mark) " + text) for n, text in enumerate(texts, 1)]
    with ledger.transaction() as db:
        db.execute("UPDATE reports SET id = coalesce(id, 'id-' || rid) WHERE rid = ?", (rid,))
        admission.set_content(db, rid, FileStat(1, 2, 3, 4, 5), "00" * 32, None)
        db.execute("UPDATE reports SET fields = '{}' WHERE rid = ?", (rid,))
        return freeze(db, rid, bound, made, ordinal=ordinal, **options)


def attempt(ledger, delivery, number, outcome, *times, form="plain"):
    """One attempt from beginning to end; its row. `times`: when it began, and ended."""
    started, ended = (*times, *(AT, AT + 1)[len(times) :])
    with ledger.transaction() as db:
        made = deliveries.begin_attempt(db, delivery, number, form, started)
    if outcome is not None:
        with ledger.transaction() as db:
            deliveries.end_attempt(db, made, outcome, ended)
    return made


def rows(ledger, query, *args):
    """The rows as tuples."""
    with ledger.reading() as db:
        return [tuple(found) for found in db.execute(query, args)]


def totals(ledger):
    """The running totals without the next number."""
    return dict(rows(ledger, "SELECT name, value FROM totals WHERE name != 'next_seq'"))


def counted(ledger):
    """The same totals, counted."""
    states = dict(rows(ledger, "SELECT state, count(*) FROM reports GROUP BY state"))
    return {name: states.get(name, 0) for name in ("rejected", "sent", "waiting")}
