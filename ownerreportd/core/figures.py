"""Owns what is counted of attempts: how many, how they ended, how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Durations:
    """How many attempts took at most so long: one number for each of `BOUNDS_S`, one for longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, took_s: float) -> None:
        """Count one attempt."""
        self.counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.total_s += took_s

    def cumulative(self) -> list[int]:
        """How many took at most so long as each bound; the last number is all of them."""
        total, found = 0, []
        for count in self.counts:
            total += count
            found.append(total)
        return found


@dataclass(slots=True)
class SendFigures:
    """Everything counted since the start; `last_success` is UTC in seconds, by destination."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: dict[str, Durations] = field(default_factory=dict)
    last_success: dict[str, float] = field(default_factory=dict)

    def count(self, destination: str, outcome: str, took_s: float, at: float) -> None:
        """One attempt at a destination, with its outcome's name."""
        self.outcomes[destination, outcome] += 1
        self.durations.setdefault(destination, Durations()).add(took_s)
        if outcome == "confirmed":
            self.last_success[destination] = at
