"""Owns reading the configuration: from sources to `Settings`, or to every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ownerreportd import locate
from ownerreportd.config.destinations import destination_mistakes
from ownerreportd.config.draft import DEFAULT, Draft
from ownerreportd.config.mistakes import Places, config_error, dotted
from ownerreportd.config.schema import keys_below
from ownerreportd.config.secrets import SecretFolders, secret_folders

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ownerreportd.config.settings import Settings

_NO_FLAGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where they came from.

    `path` is the file that was read, None without one. `origins` has every setting's place by its
    dotted key ("default" where nobody set it). `warnings` are for the log. `places` and `folders`
    are what `ready_destinations` needs.
    """

    settings: Settings
    path: Path | None
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    places: Places
    folders: SecretFolders


def load_settings(
    *,
    config_path: str | None = None,
    flags: Mapping[str, Any] = _NO_FLAGS,
    environ: Mapping[str, str],
    home: Path | None = None,
) -> Loaded:
    """The configuration of this environment; channels' options and secrets are not read yet.

    `config_path` is the value of `--config`. `flags` are values, or their text, by dotted key
    (`spool.root`); None means not given. When anything is wrong, the destinations are gone through
    as `ready_destinations` does it, so that every mistake is told.

    `OWNER_REPORT_CHANNEL` makes the destination `override`. All but channel and target it has from
    the first configured destination of that channel, if there is one; what else is to be said of
    it says `OWNERREPORTD_DESTINATIONS__OVERRIDE__KEY`. A secret that it lacks is looked up.

    Raises:
        ConfigError: with every mistake, if there is any.
    """
    home = home or locate.home_of(environ)
    path = locate.find_config(environ, config_path, home=home)
    draft = Draft(path, environ, flags)
    draft.complete(home)
    folders = secret_folders(environ, path, home)
    settings = draft.validated(folders)
    if draft.mistakes or settings is None:
        valid = list(draft.valid_destinations())
        draft.mistakes += destination_mistakes(valid, draft.places, folders)
        raise config_error(draft.mistakes)
    origins = _origins(draft)
    return Loaded(settings, path, origins, tuple(draft.warnings), draft.places, folders)


def _origins(draft: Draft) -> dict[str, str]:
    found = {dotted(key): DEFAULT for key in keys_below() if key != ("destinations",)}
    return found | {dotted(key): place for key, place in draft.origins.items()}
