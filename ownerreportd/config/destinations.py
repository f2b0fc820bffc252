"""Owns the step from a configured destination to one that a channel can be made of.

Rule: the channel itself checks target and options; its secrets are found here. Only the channels
that are configured are imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError

from ownerreportd import channels
from ownerreportd.config.mistakes import (
    ENVIRONMENT,
    Mistake,
    Places,
    config_error,
    dotted,
    mistake,
    of_validation,
)
from ownerreportd.config.schema import type_at
from ownerreportd.config.secrets import SecretFolders, look_up, private, read_secret
from ownerreportd.config.settings import Destination
from ownerreportd.config.sources import COMMAND_LINE, converted
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ownerreportd.channels import ChannelType
    from ownerreportd.config.load import Loaded
    from ownerreportd.config.toml_lines import Key


@dataclass(frozen=True, slots=True)
class ReadyDestination:
    """A destination whose target, options and secrets have been found and checked."""

    name: str
    channel: str
    target: str
    kind: ChannelType
    options: BaseModel
    secrets: Mapping[str, SecretStr]
    in_doubt: Literal["resend", "hold"]
    archive_on: Literal["confirmed", "accepted"]
    timeout_s: float

    @property
    def plain_secrets(self) -> dict[str, str]:
        """The secrets as the channel needs them; never to be shown."""
        return {name: secret.get_secret_value() for name, secret in self.secrets.items()}


class _Ground(NamedTuple):
    """What a destination is checked against, and where its mistakes are collected."""

    places: Places
    folders: SecretFolders
    mistakes: list[Mistake]


def ready_destinations(loaded: Loaded) -> dict[str, ReadyDestination]:
    """Every configured destination, ready, by name.

    Raises:
        ConfigError: with every mistake of every destination, if there is any.
    """
    ground = _Ground(loaded.places, loaded.folders, [])
    found = {n: _ready(n, d, ground) for n, d in loaded.settings.destinations.items()}
    if ground.mistakes:
        raise config_error(ground.mistakes)
    return {name: ready for name, ready in found.items() if ready is not None}


def ready_destination(loaded: Loaded, *, name: str, channel: str, target: str) -> ReadyDestination:
    """A destination that is not configured, as `send --channel --target` means it.

    All but channel and target are as in the configured destination of that channel: the one with
    this name (as when its target was changed), else the first, where there is one. Raises:
        ConfigError: if it cannot be made.
    """
    values: dict[str, Any] = {"channel": channel, "target": target}
    configured = loaded.settings.destinations
    fitting = [n for n, given in configured.items() if given.channel == channel]
    donor = name if name in fitting else next(iter(fitting), None)
    given = configured[donor].model_copy(update=values) if donor else Destination(**values)
    ground = _Ground(loaded.places, loaded.folders, [])
    found = _ready(donor or name, given, ground)
    if found is None:
        raise config_error(ground.mistakes)
    return replace(found, name=name)


def destination_mistakes(
    destinations: Iterable[tuple[str, Destination]], places: Places, folders: SecretFolders
) -> list[Mistake]:
    """What `ready_destinations` would find wrong with these."""
    ground = _Ground(places, folders, [])
    for name, destination in destinations:
        _ready(name, destination, ground)
    return ground.mistakes


def _ready(name: str, given: Destination, ground: _Ground) -> ReadyDestination | None:
    """The destination, ready; None where a mistake was added."""
    before = len(ground.mistakes)
    key: Key = ("destinations", name)
    try:
        kind = channels.load(given.channel)
    except ConfigError as error:
        text = f"{ground.places.of((*key, 'channel'))}: {error}"
        ground.mistakes.append(Mistake(text, error.hint))
        return None
    secrets = _secrets(key, given, kind, ground)
    options = _options(key, given, kind, ground)
    target = _target(key, given, kind, ground)
    _check_proof(key, given, kind, options, ground)
    if len(ground.mistakes) > before or options is None:
        return None
    chosen = "in_doubt" in given.model_fields_set
    return ReadyDestination(
        name=name,
        channel=given.channel,
        target=target,
        kind=kind,
        options=options,
        secrets=secrets,
        in_doubt=given.in_doubt if chosen or kind.default_in_doubt != "hold" else "hold",
        archive_on=given.archive_on,
        timeout_s=given.timeout_s,
    )


def _target(key: Key, given: Destination, kind: ChannelType, ground: _Ground) -> str:
    try:
        return kind.check_target(given.target)
    except ConfigError as error:
        place = ground.places.of((*key, "target"))
        ground.mistakes.append(Mistake(f"{place}: {key[1]}: {error}; {error.hint}", error.hint))
        return ""


def _check_proof(
    key: Key, given: Destination, kind: ChannelType, options: BaseModel | None, ground: _Ground
) -> None:
    # A channel that proves more or less by destination has an option of that name.
    best = getattr(options, "proof", kind.capabilities.proof)
    if best == "accepted" and given.archive_on == "confirmed":
        what = (
            f'channel {given.channel} can prove no more than "accepted";'
            ' archive_on must say so: archive_on = "accepted"'
        )
        ground.mistakes.append(mistake(ground.places, (*key, "archive_on"), given.archive_on, what))


def _secret_names(kind: ChannelType) -> dict[str, bool]:
    """The channel's secrets, and whether it can do without."""
    optional: tuple[str, ...] = getattr(kind, "optional_secret_names", ())
    return dict.fromkeys(kind.secret_names, False) | dict.fromkeys(optional, True)


def _options(key: Key, given: Destination, kind: ChannelType, ground: _Ground) -> BaseModel | None:
    names = _secret_names(kind)
    secret_keys = {*names, *(f"{name}_file" for name in names)}
    values = {
        option: _plain(value, ground.places.of((*key, option)), type_at((option,), kind.Options))
        for option, value in given.options.items()
        if option not in secret_keys
    }
    try:
        return kind.Options.model_validate(values)
    except ValidationError as error:
        found = of_validation(error, ground.places, prefix=key, root=kind.Options)
        ground.mistakes.extend(found)
        return None


def _plain(value: Any, place: str, annotation: Any) -> Any:
    """An option as its channel is to see it: not hidden, and of its type."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return converted(value, annotation) if place.startswith(ENVIRONMENT) else value


def _secrets(
    key: Key, given: Destination, kind: ChannelType, ground: _Ground
) -> dict[str, SecretStr]:
    found = {}
    for name, optional in _secret_names(kind).items():
        secret = _configured_secret(key, name, given, ground) or look_up(
            given.channel, name, ground.folders, optional=optional
        )
        if isinstance(secret, SecretStr):
            found[name] = secret
        elif secret is not None:
            at_file = secret.text.startswith("/")
            text = (
                secret.text if at_file else f"{ground.places.of(key)}: {dotted(key)}: {secret.text}"
            )
            ground.mistakes.append(Mistake(text, secret.hint))
    return found


def _configured_secret(
    key: Key, name: str, given: Destination, ground: _Ground
) -> SecretStr | Mistake | None:
    """What the destination's own `NAME` or `NAME_file` gives; None where it has neither."""
    inline, file = given.options.get(name), given.options.get(f"{name}_file")
    if inline is not None and file is not None:
        return Mistake(f"both {name} and {name}_file are set; keep one of them")
    if file is not None:
        if not isinstance(file, str):
            return Mistake(f"{name}_file must be text")
        return read_secret(Path(file), ground.folders)
    return None if inline is None else _inline(inline, name, ground.places.of((*key, name)), ground)


def _inline(value: Any, name: str, place: str, ground: _Ground) -> SecretStr | Mistake:
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(value, str) or not value.strip():
        return Mistake(f"{name} must be text, and not blank")
    if place == COMMAND_LINE:
        return Mistake(f"{name} is not taken from the command line, where others can read it")
    file = ground.places.file
    in_file = file is not None and place.startswith(str(file))
    return (private(file, ground.folders) if file and in_file else None) or SecretStr(value)
