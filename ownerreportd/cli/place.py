"""Owns what the global options and the environment mean: spool, daemon, language.

Rule: `locate` and `client` only, so that a fast verb imports nothing heavy for it.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ownerreportd import locate
from ownerreportd.client import Client, LostAnswerError
from ownerreportd.core.errors import ConfigError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from ownerreportd.gate import GateConfig

_GATE: Final = "OWNERREPORTD_GATE__"
_SPOOL_VARIABLE: Final = "OWNERREPORTD_SPOOL__ROOT"
_REPORT_BYTES_MAX: Final = 1_048_576


class Place(NamedTuple):
    """The configuration file and spool that the command line names, if any."""

    config: str | None = None
    spool: str | None = None

    def program(self) -> str:
        """How a hint calls this program again for the same place."""
        flags = (("--config", self.config), ("--spool", self.spool))
        words = [word for flag, value in flags if value for word in (flag, value)]
        return shlex.join(["ownerreportd", *words])

    def config_path(self) -> Path | None:
        """The configuration file that counts.

        Raises:
            ConfigError: if a named one is not there.
        """
        return locate.find_config(os.environ, self.config)

    def spool_root(self) -> Path:
        """The spool's root; it need not exist.

        Raises:
            ConfigError: if what names it cannot be read.
        """
        return locate.spool_root(os.environ, self.config_path(), self.spool)

    def client(self) -> Client:
        """The daemon of this place.

        Raises:
            ConfigError: if the configuration names no usable path.
        """
        config = self.config_path()
        paths = locate.socket_candidates(os.environ, config_path=config, spool_flag=self.spool)
        return Client(self._of_this_spool(paths, config))

    def act(self, verb: str, **what: Any) -> Any:
        """A person's verb: by the daemon, else by ourselves on a spool that has a ledger.

        Raises:
            UnreachableError: if there is no daemon, and no ledger either.
        """
        try:
            return getattr(self.client(), verb)(**what)
        except LostAnswerError:
            raise
        except UnreachableError:
            if not self.has_ledger():
                raise
            from ownerreportd import app

            return app.act(config=self.config, spool=self.spool, verb=verb, **what)

    def has_ledger(self) -> bool:
        """Whether a daemon or a `drain` ever worked on this spool."""
        return (self.spool_root() / "state" / "ledger.sqlite3").exists()

    def language(self) -> str:
        """The language in which a report is composed."""
        return str(self._setting("delivery", "language", "en"))

    def destinations(self) -> set[str]:
        """The names of the configured destinations; the local inbox alone where there is none."""
        path = self.config_path()
        table = {} if path is None else locate.read_config(path)[1].get("destinations", {})
        prefix = "OWNERREPORTD_DESTINATIONS__"
        variables = [name.removeprefix(prefix) for name in os.environ if name.startswith(prefix)]
        named = {name.partition("__")[0].lower() for name in variables}
        return {*table, *named} or {"inbox"}

    def report_bytes_max(self) -> int:
        """How long a report may be."""
        value = self._setting("spool", "report_bytes_max", _REPORT_BYTES_MAX)
        try:
            return int(value)
        except (TypeError, ValueError):
            return _REPORT_BYTES_MAX  # `run` and `drain` complain

    def max_count(self) -> int:
        """How many reports one `drain` settles where no flag says it; 0 is all.

        Raises:
            ConfigError: if that is no whole number.
        """
        legacy: Any = os.environ.get("OWNER_REPORT_MAX_COUNT")
        wins = legacy and "OWNERREPORTD_DELIVERY__MAX_COUNT" not in os.environ
        value = legacy if wins else self._setting("delivery", "max_count", 0)
        try:
            return max(0, int(value))
        except (TypeError, ValueError):
            raise ConfigError(
                f"{value!r} is no number of reports", hint="a whole number; 0 means all"
            ) from None

    def gate(self) -> tuple[GateConfig, Path]:
        """The gate's configuration here, and the folder of its receipts.

        Raises:
            ConfigError: if it has mistakes.
        """
        if self.config_path() is None and not any(n.startswith(_GATE) for n in os.environ):
            from ownerreportd.gate import GateConfig

            usual = GateConfig()
            return usual, self.spool_root() / usual.receipt_dir
        from ownerreportd.config import load_settings

        flags = {"spool.root": self.spool}
        settings = load_settings(config_path=self.config, flags=flags, environ=os.environ).settings
        return settings.gate.checked(), settings.receipt_dir

    def _of_this_spool(self, paths: list[Path], config: Path | None) -> list[Path]:
        """Without the machine's usual sockets where a spool was named: theirs may be another."""
        state = self.spool_root() / "state"
        if not self._is_spool_named(config, state):
            return paths
        own = {locate.socket_setting(os.environ, config), _written(state), state / "api.sock"}
        return [path for path in paths if path in own]

    def _is_spool_named(self, config: Path | None, state: Path) -> bool:
        """Whether a certain spool is meant: by a flag, a variable, or a file that was named."""
        if self.spool is not None or _SPOOL_VARIABLE in os.environ:
            return True
        if config is None or not (self.config or os.environ.get("OWNERREPORTD_CONFIG")):
            return False
        return bool(self._setting("spool", "root", "")) and not _is_closed(state)

    def _setting(self, section: str, key: str, default: Any) -> Any:
        variable = f"OWNERREPORTD_{section}__{key}".upper()
        if variable in os.environ:
            return os.environ[variable]
        path = self.config_path()
        table = {} if path is None else locate.read_config(path)[1].get(section, {})
        return table.get(key, default) if isinstance(table, dict) else default


def _is_closed(state: Path) -> bool:
    """Whether its daemon's word about its socket is kept from us, as in a system-wide spool."""
    try:
        (state / "api.path").read_bytes()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _written(state: Path) -> Path | None:
    """The socket that this spool's daemon says it bound."""
    try:
        name = (state / "api.path").read_bytes().removesuffix(b"\n")
    except OSError:
        return None
    return state / os.fsdecode(name) if name else None
