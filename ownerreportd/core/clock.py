"""Owns what a clock is: monotonic seconds for waiting, UTC seconds for the disk."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where the time comes from. A test brings its own."""

    def monotonic(self) -> float:
        """Seconds since some instant; never set back."""

    def utc(self) -> float:
        """Seconds since the epoch, as the machine believes."""
