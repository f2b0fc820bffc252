"""Owns what is known after a question to a service that gave nothing."""

from __future__ import annotations

from dataclasses import dataclass

from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import Unknown


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that gave nothing. `is_transient`: the same again may work later."""

    code: str
    detail: str
    hint: str
    is_transient: bool
    retry_after_s: float = 0.0

    def as_unknown(self) -> Unknown:
        """What it means for a look."""
        return Unknown(self.detail, transient=self.is_transient, retry_after_s=self.retry_after_s)

    def as_problem(self) -> Problem:
        """What it means for a check."""
        return Problem(self.code, self.detail, self.hint)
