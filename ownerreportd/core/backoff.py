"""Owns how long a lane waits after a failure that will pass."""

from __future__ import annotations

from dataclasses import dataclass

PROBE_DELAYS_S = (60.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by `factor` from `initial_s` to `ceiling_s`, each spread by `jitter`.

    `jitter` is a share: 0.2 means between 80 % and 120 % of the delay, never above the ceiling.
    """

    initial_s: float = 2.0
    factor: float = 2.0
    ceiling_s: float = 300.0
    jitter: float = 0.2

    def delay_s(self, failures: int, chance: float) -> float:
        """The delay after that many failures in a row (from 1); `chance` is in [0, 1)."""
        delay_s = self.initial_s
        for _ in range(failures - 1):
            delay_s *= self.factor
            if delay_s >= self.ceiling_s:
                break
        spread = 1 + self.jitter * (2 * chance - 1)
        return min(delay_s * spread, self.ceiling_s)


def probe_delay_s(probes: int) -> float:
    """How long after the probe of that number (from 0) a refused configuration is probed again."""
    return PROBE_DELAYS_S[min(probes, len(PROBE_DELAYS_S) - 1)]
