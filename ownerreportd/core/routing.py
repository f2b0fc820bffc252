"""Owns which destinations a report goes to."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ownerreportd.core.report import Report


@dataclass(frozen=True, slots=True)
class Route:
    """A rule: every field must match one of its patterns (`*`, `?`, `[…]`).

    `to` takes the place of the destinations so far, `also_to` adds to them.
    """

    match: Mapping[str, tuple[str, ...]]
    to: tuple[str, ...] = ()
    also_to: tuple[str, ...] = ()

    def matches(self, report: Report) -> bool:
        """Whether every field that the rule names matches one of its patterns."""
        return all(
            any(fnmatchcase(getattr(report, name, ""), pattern) for pattern in patterns)
            for name, patterns in self.match.items()
        )


@dataclass(frozen=True, slots=True)
class Routing:
    """What decides: the destinations by default, the rules, and the names that exist.

    With `override`, these destinations take the place of everything else.
    """

    default: tuple[str, ...]
    known: frozenset[str]
    routes: tuple[Route, ...] = ()
    override: tuple[str, ...] = ()

    def decide(self, report: Report) -> Decision:
        """Where the report goes, each destination once, and which names in its `to` are unknown."""
        if self.override:
            return Decision(self.override, ())
        unknown = tuple(name for name in report.to if name not in self.known)
        chosen: Sequence[str] = self._asked(report) if report.to else self.default
        for route in self.routes:
            if route.matches(report):
                base = route.to if route.to and not report.to else chosen
                chosen = (*base, *route.also_to)
                break
        return Decision(tuple(dict.fromkeys(chosen)), unknown)

    def _asked(self, report: Report) -> list[str]:
        """What the report names; the defaults stand in for a name that is unknown."""
        return [
            name
            for asked in report.to
            for name in ((asked,) if asked in self.known else self.default)
        ]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a report goes, and what it asked for in vain."""

    destinations: tuple[str, ...]
    unknown: tuple[str, ...]
