"""Owns how a channel's type becomes its class: by entry points, the built-in ones like anybody's.

Rule: nothing is imported before it is asked for, and only what was asked for.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol

from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from ownerreportd.core.channel import Capabilities, Channel

GROUP = "ownerreportd.channels"
_MEMBERS = ("Options", "capabilities", "secret_names", "default_in_doubt", "check_target")


class ChannelType(Protocol):
    """What the class of a channel offers before there is a destination.

    `Options` is a frozen pydantic model that forbids unknown keys: the channel's own keys of
    `[destinations.NAME]`, beside the common ones. `secret_names` are the secrets that it cannot do
    without; the configuration finds them and hands over their plain values. A class may also have
    `optional_secret_names`: handed over where they are found, and not missed where they are not.
    `capabilities` are those with default options. `default_in_doubt` is "resend" or "hold". A class
    that has `keeps_state = True` is called with `state` too, a `ChannelState` of this destination.
    """

    Options: type[BaseModel]
    capabilities: Capabilities
    secret_names: tuple[str, ...]
    default_in_doubt: str

    def __call__(
        self,
        *,
        name: str,
        target: str,
        options: Any,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> Channel:
        """The channel of one destination; `target` has been through `check_target`."""

    def check_target(self, target: str) -> str:
        """The target in its one normal form.

        Raises:
            ConfigError: if it cannot be meant; the message names the value, the hint the forms.
        """


def installed() -> dict[str, EntryPoint]:
    """Every channel type that is installed, by name, in alphabetical order.

    Raises:
        ConfigError: if two packages install different channels under one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        taken = found.setdefault(entry.name, entry)
        if taken.value != entry.value:
            raise ConfigError(
                f"two packages install a channel {entry.name!r}: {taken.value}, {entry.value}",
                hint="uninstall one of them",
            )
    return found


def load(type_name: str) -> ChannelType:
    """The class of the channel type.

    Raises:
        ConfigError: if it is not installed, or cannot be imported.
    """
    known = installed()
    if type_name not in known:
        raise ConfigError(f"unknown channel {type_name!r}", hint=_nearest(type_name, list(known)))
    try:
        loaded: ChannelType = known[type_name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the channel {type_name!r} cannot be loaded: {error}",
            hint=f"install what {known[type_name].value} needs",
        ) from error
    missing = [name for name in _MEMBERS if not hasattr(loaded, name)]
    if missing:
        raise ConfigError(
            f"the channel {type_name!r} ({known[type_name].value}) is none: "
            f"it has no {', '.join(missing)}",
            hint="see docs/writing-a-channel.md, or uninstall the package",
        )
    return loaded


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}installed are: {', '.join(known) or 'none'}"
