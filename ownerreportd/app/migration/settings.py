"""Owns what the old installation was told: channel, target, how many a run, where it logged.

Rule: the first that says something counts: the crontab, this environment, the wrapper's own
default, the old document's default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ownerreportd.config.sources import OLD_CHANNEL, OLD_COUNT, OLD_TARGET
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ownerreportd.app.migration.crontab import Line

# The old document: OWNER_REPORT_CHANNEL, OWNER_REPORT_TARGET, OWNER_REPORT_MAX_COUNT.
DEFAULTS: Final = {
    OLD_CHANNEL: "discord", OLD_TARGET: "channel:1480577550445969541", OLD_COUNT: "5",
}  # fmt: skip
_NAMES: Final = (OLD_CHANNEL, OLD_TARGET, OLD_COUNT)
_IN_WRAPPER: Final = re.compile(r"\$\{(OWNER_REPORT_\w+):?[-=]([^}$]*)\}")


class Said(NamedTuple):
    """A value, and who said it."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class OldSettings:
    """What the old installation did, as far as the new one needs it. `log` may be unknown."""

    channel: Said
    target: Said
    max_count: Said
    log: Said | None

    def count(self) -> int:
        """How many a run.

        Raises:
            ConfigError: if that is no whole number.
        """
        try:
            return max(0, int(self.max_count.value))
        except ValueError:
            raise ConfigError(
                f"{self.max_count.origin}: {OLD_COUNT}={self.max_count.value!r} is no whole number",
                hint=f"set it for this command: {OLD_COUNT}=5 ownerreportd migrate",
            ) from None


def old_settings(
    lines: Sequence[Line], environ: Mapping[str, str], wrapper: str
) -> tuple[OldSettings, list[str]]:
    """The settings, and what other lines say differently. `wrapper` is the old script's text."""
    ours = _of_line(lines[0] if lines else None, environ, wrapper)
    differing = [
        f"crontab line {line.number} sends to {other.channel.value} {other.target.value}: this is "
        "not carried over; add a destination for it by hand"
        for line in lines[1:]
        for other in [_of_line(line, environ, wrapper)]
        if (other.channel.value, other.target.value) != (ours.channel.value, ours.target.value)
    ]
    return ours, differing


def _of_line(line: Line | None, environ: Mapping[str, str], wrapper: str) -> OldSettings:
    in_wrapper = {m[1]: m[2].strip("\"'") for m in _IN_WRAPPER.finditer(wrapper)}
    found = {}
    for name in _NAMES:
        in_line = line.variables.get(name, ("", "")) if line else ("", "")
        said = (
            Said(*in_line),
            Said(environ.get(name, ""), f"{name} in this environment"),
            Said(in_wrapper.get(name, ""), "the old wrapper's default"),
            Said(DEFAULTS[name], "the old document's default"),
        )
        found[name] = next(each for each in said if each.value)
    log = Said(line.log, f"crontab line {line.number}") if line and line.log else None
    return OldSettings(found[OLD_CHANNEL], found[OLD_TARGET], found[OLD_COUNT], log)
