"""Owns the index of the stored receipts: by plan, task, run id and time; in memory, made of files.

Rule: it knows what was in the files when they were read, and is never asked for more than names.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ownerreportd.receipts.files import Entry, Filter


Key = TypeVar("Key")


@dataclass(slots=True)
class Index:
    """Every file of the folder, valid receipts among them under each of their keys."""

    entries: dict[bytes, Entry] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    _by_time: list[tuple[datetime, bytes]] = field(default_factory=list)
    _unread: dict[bytes, bytes] = field(default_factory=dict)  # what its name says of it
    _unread_by: dict[bytes, set[bytes]] = field(default_factory=dict)

    def put_off(self, name: bytes, said: bytes) -> None:
        """Know a file by its name alone, which says whose receipt it is."""
        self._unread[name] = said
        self._unread_by.setdefault(said, set()).add(name)

    def unread(self, said: bytes | None = None) -> list[bytes]:
        """The files that were put off: those whose names say this, or all."""
        return list(self._unread if said is None else self._unread_by.get(said, ()))

    def names(self) -> set[bytes]:
        """Every file that is known, read or not."""
        return {*self.entries, *self._unread}

    def add(self, entry: Entry) -> None:
        """Take a file in, in place of what is known of that name."""
        self.forget(entry.name)
        self.entries[entry.name] = entry
        if entry.at is not None:
            insort(self._by_time, (entry.at, entry.name))
            for key in _keys(entry):
                self._by_key.setdefault(key, set()).add(entry.name)

    def forget(self, name: bytes) -> None:
        """Drop a file; one that is not known is no error."""
        said = self._unread.pop(name, None)
        if said is not None:
            _discard(self._unread_by, said, name)
        entry = self.entries.pop(name, None)
        if entry is None or entry.at is None:
            return
        del self._by_time[bisect_left(self._by_time, (entry.at, name))]
        for key in _keys(entry):
            _discard(self._by_key, key, name)

    def clear(self) -> None:
        """Know nothing."""
        self.entries.clear()
        self._by_key.clear()
        self._by_time.clear()
        self._unread.clear()
        self._unread_by.clear()

    def has(self, plan_id: str, current_task: str, said: bytes) -> bool:
        """Whether there may be a receipt of this plan and this task; `said` as in its name."""
        keys = (("plan", plan_id), ("task", current_task))
        return said in self._unread_by or all(key in self._by_key for key in keys)

    def newest_first(self, wanted: Filter) -> Iterator[Entry]:
        """The receipts that are asked for."""
        keys = _keys_of(wanted)
        if keys:
            sets = sorted((self._by_key.get(key, set()) for key in keys), key=len)
            names = sets[0].intersection(*sets[1:])
            found = sorted(_time_and_name(self.entries[name]) for name in names)
        else:
            found = self._by_time
        for at, name in reversed(found):
            if wanted.since is not None and at < wanted.since:
                return
            yield self.entries[name]


def _discard(sets: dict[Key, set[bytes]], key: Key, name: bytes) -> None:
    names = sets[key]
    names.discard(name)
    if not names:
        del sets[key]


def _time_and_name(entry: Entry) -> tuple[datetime, bytes]:
    if entry.at is None:
        raise TypeError("only valid receipts are under a key")
    return entry.at, entry.name


def _keys(entry: Entry) -> tuple[tuple[str, str], ...]:
    return (("plan", entry.plan_id), ("task", entry.current_task), ("run", entry.run_id))


def _keys_of(wanted: Filter) -> list[tuple[str, Any]]:
    said = (("plan", wanted.plan_id), ("task", wanted.current_task), ("run", wanted.run_id))
    return [(kind, text) for kind, text in said if text is not None]
