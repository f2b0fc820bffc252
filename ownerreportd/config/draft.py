"""Owns the tree of values between the sources and `Settings`: what is filled in, what is checked.

Rule: a mistake stops nothing; whatever can still be checked is checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ownerreportd import channels, locate
from ownerreportd.config import sources
from ownerreportd.config.mistakes import Mistake, Places, mistake, nearest, of_validation
from ownerreportd.config.secrets import SecretFolders, private
from ownerreportd.config.settings import (
    INBOX,
    NAME_PATTERN,
    OVERRIDE,
    Destination,
    ImplicitInbox,
    Settings,
)
from ownerreportd.config.toml_lines import lines_of
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ownerreportd.config.toml_lines import Key

DEFAULT = "default"
_ROOT: Key = ("spool", "root")
_TO: Key = ("delivery", "to")


class Draft:
    """Values, their places, and the mistakes and warnings found so far."""

    def __init__(
        self, path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]
    ) -> None:
        text, data = locate.read_config(path) if path else ("", {})
        lines = lines_of(text)
        self.mistakes: list[Mistake] = []
        self.warnings: list[str] = []
        entries = list(sources.of_file(data, lines, path)) if path else []
        entries += self._outside(_table(data.get("destinations")), environ, flags)
        self.tree, self.origins = sources.merged(entries)
        self.places = Places(self.origins, lines, path)
        self._check_names(_table(data.get("destinations")))

    def _outside(
        self, named: Mapping[str, Any], environ: Mapping[str, str], flags: Mapping[str, Any]
    ) -> list[sources.Entry]:
        """Old variables, environment, flags; the old destination only where no newer word is."""
        old, old_mistakes = sources.of_old_variables(environ)
        new, new_mistakes = sources.of_environment(environ, [*named, OVERRIDE])
        new += sources.of_flags(flags)
        self.mistakes += old_mistakes + new_mistakes
        self.warnings += sources.unread_old_variables(environ)
        winner = next((entry.place for entry in reversed(new) if entry.key == _TO), None)
        if winner and any(entry.key == _TO for entry in old):
            text = f"{sources.OLD_CHANNEL} has no effect, since {winner} sets delivery.to"
            self.warnings.append(text)
            old = [entry for entry in old if entry.key == ("delivery", "max_count")]
        return old + new

    def _check_names(self, named: Mapping[str, Any]) -> None:
        for name in named:
            key = ("destinations", name)
            if name == OVERRIDE:
                what = f"this name is kept for {sources.OLD_CHANNEL}; choose another"
            elif not NAME_PATTERN.fullmatch(name):
                what = "a destination's name has 1 to 64 letters, digits, `_`, `-` or `.`"
            else:
                continue
            self.mistakes.append(mistake(self.places, key, None, what))

    @property
    def destinations(self) -> dict[str, dict[str, Any]]:
        """The destinations that are tables, as far as they have been read."""
        found = _table(self.tree.get("destinations"))
        return {name: given for name, given in found.items() if isinstance(given, dict)}

    def complete(self, home: Path) -> None:
        """Make paths absolute, and fill in what follows from the rest."""
        self._set_default(_ROOT, locate.ROOT_DEFAULT)
        self._make_paths_absolute(home)
        self._complete_override()
        self._complete_inboxes()
        self._choose_default()

    def _get(self, key: Key) -> Any:
        found: Any = self.tree
        for name in key:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def _set_default(self, key: Key, value: Any, place: str = DEFAULT) -> None:
        """Set what nobody has set; nothing where something else stands in the way."""
        table: Any = self.tree
        for name in key[:-1]:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if isinstance(table, dict) and key[-1] not in table:
            table[str(key[-1])] = value
            self.origins[key] = place

    def _make_paths_absolute(self, home: Path) -> None:
        keys: list[Key] = [_ROOT, ("socket", "path"), ("log", "file")]
        for name, given in self.destinations.items():
            is_inbox = given.get("channel") == INBOX
            files = [k for k in given if k.endswith("_file") or (is_inbox and k == "target")]
            keys += [("destinations", name, key) for key in files]
        if str(self._get(("gate", "receipt_dir"))).startswith("~"):
            keys.append(("gate", "receipt_dir"))
        for key in keys:
            self._make_absolute(key, home)

    def _make_absolute(self, key: Key, home: Path) -> None:
        text = self._get(key)
        if not isinstance(text, str) or (not text and key != _ROOT):
            return
        path = self.places.file
        in_file = path is not None and self.origins.get(key, "").startswith(f"{path}:")
        base = path.parent if path and in_file else Path()
        try:
            found = locate.absolute(text, base=base, home=home)
        except (ValueError, OSError) as error:
            self.mistakes.append(mistake(self.places, key, text, str(error)))
            return
        self._get(key[:-1])[key[-1]] = found if key == _ROOT else str(found)

    def _complete_override(self) -> None:
        """Give the override all but channel and target of the first destination of its channel."""
        given = self.destinations.get(OVERRIDE, {})
        donor = donor_of(str(given.get("channel")), self.destinations)
        if not given or donor is None:
            return
        for name, value in self.destinations[donor].items():
            place = self.places.of(("destinations", donor, name))
            self._set_default(("destinations", OVERRIDE, name), value, place)

    def _complete_inboxes(self) -> None:
        target = f"{self._get(_ROOT)}/{INBOX}"
        for name, given in self.destinations.items():
            if given.get("channel") == INBOX:
                self._set_default(("destinations", name, "target"), target)
        if self.tree.get("destinations", {}) == {} and self._get(_TO) in (None, [INBOX]):
            inbox = ImplicitInbox(channel=INBOX, target=target)
            self._set_default(("destinations", INBOX), inbox)

    def _choose_default(self) -> None:
        """Without `delivery.to`: the destination called `owner`, else the only one there is."""
        names = list(_table(self.tree.get("destinations")))
        if "owner" in names or self._get(_TO) is not None:
            return
        if len(names) == 1:
            self._set_default(_TO, names)
        elif names:
            what = f"is missing; name one or more of {', '.join(sorted(names))}"
            self.mistakes.append(mistake(self.places, _TO, None, what))
            self._set_default(_TO, names)

    def validated(self, folders: SecretFolders) -> Settings | None:
        """The settings; None, with mistakes, where there are none to be had."""
        self._check_channels()
        self._check_routes()
        self._check_permissions(folders)
        try:
            return Settings(**self.tree)
        except ValidationError as error:
            self.mistakes += of_validation(error, self.places)
            return None

    def _check_channels(self) -> None:
        try:
            known = list(channels.installed())
        except ConfigError as error:
            self.mistakes.append(Mistake(str(error), error.hint))
            return
        for name, given in self.destinations.items():
            channel = given.get("channel")
            if isinstance(channel, str) and channel and channel not in known:
                what = f"no such channel{nearest(channel, known)} (installed: {', '.join(known)})"
                key = ("destinations", name, "channel")
                self.mistakes.append(mistake(self.places, key, channel, what))

    def _check_routes(self) -> None:
        known = list(_table(self.tree.get("destinations")))
        routes = self.tree.get("routes")
        for key, name in _named(_TO, self._get(_TO)):
            self._check_destination(key, name, known)
        for number, route in enumerate(routes if isinstance(routes, list) else ()):
            for word in ("to", "also_to"):
                for key, name in _named(("routes", number, word), _table(route).get(word)):
                    self._check_destination(key, name, known)

    def _check_destination(self, key: Key, name: str, known: list[str]) -> None:
        if name not in known:
            listed = f"configured: {', '.join(known)}" if known else "none is configured"
            what = f"no such destination{nearest(name, known)} ({listed})"
            self.mistakes.append(mistake(self.places, key, name, what))

    def _check_permissions(self, folders: SecretFolders) -> None:
        """A file with a `token` in it is a secret, whatever its channel makes of it."""
        file = self.places.file
        in_file = (self.origins.get(("destinations", n, "token"), "") for n in self.destinations)
        if file and any(place.startswith(f"{file}:") for place in in_file):
            wrong = private(file, folders)
            self.mistakes += [wrong] if wrong else []

    def valid_destinations(self) -> Iterator[tuple[str, Destination]]:
        """The destinations with a channel that is installed, without the keys that are wrong."""
        try:
            known = channels.installed()
        except ConfigError:  # told already
            return
        for name, given in self.destinations.items():
            found = _as_far_as_valid(given)
            if found is not None and found.channel in known:
                yield name, found


def donor_of(channel: str, destinations: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first of the destinations with that channel, which is not the override itself."""
    fitting = (n for n, given in destinations.items() if given.get("channel") == channel)
    return next((name for name in fitting if name != OVERRIDE), None)


def _as_far_as_valid(given: dict[str, Any]) -> Destination | None:
    """The destination without the keys that are wrong; None where its channel is."""
    try:
        return Destination(**given)
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    kept = {key: value for key, value in given.items() if key not in wrong}
    return Destination(**kept) if wrong and "channel" in kept else None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _named(key: Key, names: object) -> Iterator[tuple[Key, str]]:
    if isinstance(names, str):
        yield key, names
    elif isinstance(names, list | tuple):
        yield from (((*key, n), name) for n, name in enumerate(names) if isinstance(name, str))
