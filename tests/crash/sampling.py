"""Which k are run, and several of them side by side."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from crash.run import Result

# The runs also wait: for a delay, a backoff, the daemon's tick of a second.
SIDE_BY_SIDE = 3 * (os.cpu_count() or 1)
FAILURES_MAX = 3


def chosen(first: int = 6, every: int = 7) -> Iterator[int]:
    """With CRASH=all every k; else the first so many, and after them one in `every`."""
    everything = os.environ.get("CRASH") == "all"
    return (k for k in itertools.count(1) if everything or k <= first or k % every == 0)


@dataclass(slots=True)
class Series:
    """The runs of one fault for k = 1, 2, 3, ..., until one ends by itself."""

    name: str
    run: Callable[[int], Result]
    runs: int = 0
    late: int = 0
    last: int = 0  # the k at which a run ended by itself
    failures: list[tuple[int, str]] = field(default_factory=list)
    ks: Iterator[int] = field(default_factory=chosen)

    def __str__(self) -> str:
        late = f" ({self.late} repeated after a late kill)" if self.late else ""
        return f"{self.name}: {self.runs} runs, by itself at k = {self.last}{late}"

    @property
    def over(self) -> bool:
        return bool(self.last) or len(self.failures) >= FAILURES_MAX

    def count(self, k: int, result: Result) -> None:
        self.runs += 1 + result.late
        self.late += result.late
        if not result.injected:
            self.last = min(self.last or k, k)


def run_all(series: Sequence[Series]) -> str:
    """Run all of them; when one ends by itself, some of its later k are under way already.

    Answers how many runs there were. Raises:
        AssertionError: with the first failures.
    """
    lock, turns = threading.Lock(), itertools.cycle(series)

    def take() -> tuple[Series, int] | None:
        with lock:
            waiting = (one for one in itertools.islice(turns, len(series)) if not one.over)
            one = next(waiting, None)
            return None if one is None else (one, next(one.ks))

    def work(slot: int) -> None:
        # strace and what it traces take turns; on one processor that costs a third less.
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[slot % len(cpus)]})
        while taken := take():
            _run(*taken, lock)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for done in [pool.submit(work, slot) for slot in range(SIDE_BY_SIDE)]:
            done.result()
    failures = [text for one in series for _, text in sorted(one.failures)]
    assert not failures, "\n\n".join(failures)
    return "\n  ".join(["", *map(str, series)])


def _run(series: Series, k: int, lock: threading.Lock) -> None:
    try:
        result = series.run(k)
    except AssertionError as error:
        with lock:
            series.failures.append((k, str(error)))
    else:
        with lock:
            series.count(k, result)
