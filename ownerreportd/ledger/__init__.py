"""What happened, durably: SQLite in WAL mode, one writer.

Rule: every change is a function over one transaction of `Ledger.transaction`, so that the files
and the rows can be brought together again after a crash between any two steps.
"""

from __future__ import annotations

from ownerreportd.ledger.store import (
    Ledger,
    LedgerError,
    begin_ledger,
    open_ledger,
    open_reader,
    set_aside_ledger,
)

__all__ = [
    "Ledger",
    "LedgerError",
    "begin_ledger",
    "open_ledger",
    "open_reader",
    "set_aside_ledger",
]
