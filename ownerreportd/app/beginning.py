"""Owns the first configuration: the commented example with one destination, and its secrets beside.

Rule: a file that is there is never written over, and a secret's file is ours alone.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr, ValidationError

from ownerreportd import channels, locate
from ownerreportd.config import look_up, secret_folders
from ownerreportd.config.mistakes import Mistake, Places, of_validation
from ownerreportd.core.errors import ConfigError, CreateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME: Final = "owner"


@dataclass(frozen=True, slots=True)
class Beginning:
    """A configuration that is to be written at `path`, with one destination called `owner`.

    `settings` are values of other sections, as `{"delivery.max_count": 5}`.
    """

    path: Path
    channel: str
    target: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def missing_secrets(self) -> list[str]:
        """The secrets that the channel cannot do without, and that are nowhere to be found.

        Raises:
            ConfigError: if there is no such channel, or a secret that is there cannot be used.
        """
        folders = secret_folders(os.environ, self.path, locate.home_of(os.environ))
        missing = []
        for name in channels.load(self.channel).secret_names:
            found = look_up(self.channel, name, folders, optional=True)
            if isinstance(found, Mistake):  # it is there, and cannot be used as it is
                raise ConfigError(found.text, hint=found.hint)
            if not isinstance(found, SecretStr):
                missing.append(name)
        return missing

    def secret_path(self, name: str) -> Path:
        """Where a secret is put: beside the configuration, where it is looked for."""
        return self.path.parent / f"{self.channel}.{name}"

    def write(self, secrets: Mapping[str, str]) -> None:
        """Write the configuration and these secrets, mode 600; all of it or nothing.

        Raises:
            CreateError: if one of the files is there already, or cannot be made.
        """
        texts = {self.secret_path(name): f"{value}\n" for name, value in secrets.items()}
        text = configured(self.channel, self.target, self.options)
        for key, value in self.settings.items():
            section, _, name = key.partition(".")
            text = _set_in(text, section, name, _toml(value))
        texts[self.path] = text
        refuse_existing(texts)
        made = []
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, text in texts.items():
                _create(path, text)
                made.append(path)
        except OSError as error:
            for path in made:
                path.unlink()
            hint = f"look at that folder: ls -ld {self.path.parent}"
            raise CreateError(
                f"cannot write {error.filename}: {error.strerror}", hint=hint
            ) from error


def refuse_existing(paths: Iterable[Path]) -> None:
    """Write over nothing.

    Raises:
        CreateError: if one of these is there.
    """
    for path in paths:
        if os.path.lexists(path):
            raise CreateError(
                f"{path} is there already, and is not written over",
                hint="edit it (then: ownerreportd config check), or move it away",
            )


def place_for(named: str | None) -> Path:
    """Where a new configuration goes: what was named, else the user's own folder.

    Raises:
        ConfigError: if that is no path.
    """
    return locate.new_config(os.environ, named)


def checked_target(channel: str, target: str) -> str:
    """The target in its normal form; the inbox's own place may be left out.

    Raises:
        ConfigError: if it cannot be meant.
    """
    if channel == "inbox" and not target:
        return ""
    return channels.load(channel).check_target(target)


def checked_options(channel: str, said: Iterable[str]) -> dict[str, Any]:
    """The channel's own keys from `KEY=VALUE`; a value is TOML, or else taken for text.

    Raises:
        ConfigError: if a key or its value cannot be meant, or the channel needs another.
    """
    kind = channels.load(channel)
    options = dict(_option(text) for text in said)
    try:
        kind.Options.model_validate(options)
    except ValidationError as error:
        found = of_validation(error, Places({}, {}, None), root=kind.Options)
        told = "; ".join(each.text.removeprefix("configuration: ") for each in found)
        raise ConfigError(
            f"the channel {channel}: {told}",
            hint=f"--option KEY=VALUE; `ownerreportd channels {channel}` lists the keys",
        ) from error
    return options


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--option {text!r} has no value", hint="use --option KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def configured(channel: str, target: str, options: Mapping[str, Any]) -> str:
    """The commented example with this destination in it.

    Raises:
        ConfigError: if there is no such channel.
    """
    kind = channels.load(channel)
    text = files("ownerreportd.config").joinpath("example.toml").read_text(encoding="utf-8")
    text = text.partition("\n")[2].lstrip("\n")  # the schema's path is true beside the schema only
    text = text.replace(f"#[destinations.{NAME}]", f"[destinations.{NAME}]", 1)
    own = "".join(f"{key} = {_toml(value)}\n" for key, value in options.items())
    text = _set(text, "channel", f"channel = {_toml(channel)}\n{own}".rstrip("\n"))
    if target:
        text = _set(text, "target", f"target = {_toml(target)}")
    if options.get("proof", kind.capabilities.proof) == "accepted":
        why = f"# {channel} can say no more than that a report was accepted, and not who got it."
        text = _set(text, "archive_on", f'{why}\narchive_on = "accepted"')
    return text


def _set(text: str, key: str, lines: str) -> str:
    """The text with these lines where the example has the key, which is a comment there."""
    return re.sub(rf"(?m)^#{key} = .*$", lines.replace("\\", r"\\"), text, count=1)


def _set_in(text: str, section: str, key: str, value: str) -> str:
    """The text with this key of another section, which is a comment there as its header is."""
    before, header, after = text.partition(f"[{section}]\n")
    return before.removesuffix("#") + header + _set(after, key, f"{key} = {value}")


def _toml(value: Any) -> str:
    """A value in TOML; in what a person typed for an option there is no table."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """A TOML basic string; control characters do not come here, for a target has none."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _create(path: Path, text: str) -> None:
    """Make the file, whole and on the disk, if there is none."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike a rename it replaces nothing
    finally:
        Path(name).unlink()
