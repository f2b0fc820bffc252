"""The way over from the cron scripts that this program replaces: `migrate`.

Rules: nothing old is deleted; at no moment do an old run and this program work on the spool
together; a run that is cut off is completed by the next one, and a second one changes nothing.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ownerreportd import fsio, locate
from ownerreportd.app import beginning
from ownerreportd.app.configuration import check_config
from ownerreportd.app.migration import crontab
from ownerreportd.app.migration.adopting import left_by_old
from ownerreportd.app.migration.running import wait_for_end
from ownerreportd.app.migration.scripts import USUAL, Scripts
from ownerreportd.app.migration.settings import OldSettings, old_settings
from ownerreportd.app.migration.steps import Adopt, DisableLines, ReplaceScripts, Step, WriteConfig
from ownerreportd.config.sources import OLD_CHANNEL, OLD_TARGET
from ownerreportd.core.errors import ConfigError, SpoolHeldError
from ownerreportd.itself import own_command
from ownerreportd.spool import Spool, open_spool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOCK_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Migration:
    """What there is of an old installation (`found`), and what leads away from it (`steps`).

    `notes` are for a person to decide; `keep` is where copies go.
    """

    root: Path
    keep: Path
    config: Path
    found: Sequence[str]
    notes: Sequence[str]
    steps: Sequence[Step]
    new: beginning.Beginning | None

    def due(self) -> list[str]:
        """Everything that is to be done; empty when it is done. Changes nothing."""
        return [line for step in self.steps for line in step.due()]

    def carry_out(self, timeout_s: float, say: Callable[[str], None]) -> None:
        """Do it, and say each thing that is done.

        Raises:
            SpoolHeldError: if a daemon holds the spool, or an old run does not end in that time.
            OperatorError: if something else is in the way; another run goes on from there.
        """
        os.umask(0o077)
        spool = _held_spool(self.root)
        try:
            fsio.make_directory(self.keep)
            for step in self.steps:
                wait_for_end(timeout_s)
                for line in step.do(spool):
                    say(line)
        finally:
            spool.close()

    def needs(self, config: str | None, spool: str | None) -> list[str]:
        """What the configuration still lacks, and what helps; empty where it can be used."""
        try:
            check_config(config=config, spool=spool)
        except ConfigError as error:
            secrets = self.new.missing_secrets() if self.new else []
            helps = [
                f"install -m 600 /dev/stdin {self.new.secret_path(name)}  # paste it, then Ctrl-D"
                for name in secrets
                if self.new
            ]
            return [str(error), *(helps or [error.hint])]
        return []


def find(*, config: str | None, spool: str | None, scripts: str | None) -> Migration:
    """Look for the old installation; nothing changes.

    Raises:
        OperatorError: if something cannot be read, or an old setting cannot be meant.
    """
    home = locate.home_of(os.environ)
    there = _existing_config(config)
    root = locate.spool_root(os.environ, there, spool)
    keep = root / "state" / "migrate"
    text = crontab.read()
    lines = crontab.old_lines(text or "", home)
    active = [line for line in lines if not line.disabled]
    folders = _folders(scripts, [line.script.parent for line in lines], home)
    program = [*own_command(), *_global_flags(config, spool)]
    places = [
        Scripts(folder, keep / ("scripts" if not n else f"scripts-{n + 1}"), program)
        for n, folder in enumerate(folders)
    ]
    wrapper = next((text for place in places if (text := place.wrapper())), "")
    said, notes = old_settings(active or lines, os.environ, wrapper)
    is_old = bool(lines or places)
    new = _beginning(said, beginning.place_for(config), root) if is_old else None
    steps: list[Step] = [
        WriteConfig(None if there else new, said), DisableLines(home, keep),
        *map(ReplaceScripts, places), Adopt(root),
    ]  # fmt: skip
    found = [
        *(f"crontab line {line.number}{_state(line)}: {line.text}" for line in lines),
        *(f"scripts in {place.folder}" for place in places),
        *_found_reports(root),
    ]
    notes = [] if not is_old else [*notes, *_notes(there, said)]
    if text is None:
        notes.append("there is no crontab that you may use here, so no line to disable")
    return Migration(root, keep, there or beginning.place_for(config), found, notes, steps, new)


def _state(line: crontab.Line) -> str:
    return ", disabled" if line.disabled else ""


def _found_reports(root: Path) -> list[str]:
    left = left_by_old(root)
    if not left.pending and not left.sent:
        return []
    sent = f"{left.sent:,} in sent/ that no ledger knows"
    return [f"{left.pending:,} waiting in {root / 'pending'}, {sent}"]


def _existing_config(named: str | None) -> Path | None:
    """The configuration that counts already; one that is named need not be there."""
    path = beginning.place_for(named)
    if os.path.lexists(path):
        return path
    return (
        None if named or os.environ.get("OWNERREPORTD_CONFIG") else locate.find_config(os.environ)
    )


def _folders(named: str | None, of_lines: list[Path], home: Path) -> list[Path]:
    """The folders of old scripts that are there; the usual one where no line names another."""
    if named is not None:
        folder = Path(named).absolute()
        if not folder.is_dir():
            raise ConfigError(f"--scripts {named}: there is no such folder", hint=f"ls -ld {named}")
        return [folder]
    usual = locate.absolute(USUAL, base=home, home=home)
    return [folder for folder in dict.fromkeys(of_lines or [usual]) if folder.is_dir()]


def _global_flags(config: str | None, spool: str | None) -> list[str]:
    """What the scripts must say so that they mean the same configuration and spool."""
    config = config or os.environ.get("OWNERREPORTD_CONFIG")
    flags = [("--config", config and Path(config).absolute()), ("--spool", spool)]
    return [str(word) for flag, value in flags if value for word in (flag, value)]


def _beginning(said: OldSettings, path: Path, root: Path) -> beginning.Beginning:
    """The configuration that does what the old settings did."""
    channel = said.channel.value
    try:
        target = beginning.checked_target(channel, said.target.value)
        beginning.checked_options(channel, ())
    except ConfigError as error:
        raise ConfigError(
            f"{said.channel.origin}: {error}",
            hint=f"set {OLD_CHANNEL} and {OLD_TARGET} for this command, or: ownerreportd init",
        ) from error
    home = locate.home_of(os.environ)
    usual = locate.absolute(locate.ROOT_DEFAULT, base=home, home=home)
    values = {
        "spool.root": None if root == usual else str(root),
        "delivery.max_count": said.count(),
        "log.file": said.log and said.log.value,
    }
    settings = {key: value for key, value in values.items() if value is not None}
    return beginning.Beginning(path, channel, target, settings=settings)


def _notes(there: Path | None, said: OldSettings) -> list[str]:
    notes = []
    if there is not None and not _has_destinations(there):
        notes.append(
            f"{there} is not written over, and names no destination; the old one was channel = "
            f'"{said.channel.value}", target = "{said.target.value}"'
        )
    if os.environ.get(OLD_CHANNEL) or os.environ.get(OLD_TARGET):
        notes.append(
            f"{OLD_CHANNEL} and {OLD_TARGET} in this environment win over the configuration for "
            "what is started from it: unset them"
        )
    return notes


def _has_destinations(path: Path) -> bool:
    return bool(locate.read_config(path)[1].get("destinations"))


def _held_spool(root: Path) -> Spool:
    """The spool, locked; a `drain` that is about to end is waited for."""
    end = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return open_spool(root)
        except SpoolHeldError as error:
            if time.monotonic() >= end:
                raise SpoolHeldError(
                    str(error),
                    hint="stop the daemon (systemctl --user stop ownerreportd.socket "
                    "ownerreportd.service); then: ownerreportd migrate --write",
                ) from error
        time.sleep(0.1)


__all__ = ["Migration", "find"]
