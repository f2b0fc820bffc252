"""`make man`: the manual pages, into deploy/man or the FOLDER that is named.

One page for the program, one for each verb, one for the configuration; all from what the program
itself says: its verbs and flags, `config.example.toml`, the installed channels.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from man_config import config_page
from roff import bold, example, italic, item, paragraphs, plain, prose, quoted, section, tidied

from ownerreportd import __version__
from ownerreportd.cli.help import EXIT_CODES
from ownerreportd.cli.program import PROGRAM, cli
from ownerreportd.cli.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER: Final = Path(__file__).parents[1] / "deploy/man"
CONFIG_PAGE: Final = "ownerreportd.toml"
# A page that changed with the day could not be checked in; this is when their wording last did.
DATE: Final = "2026-11-28"
_FLAG: Final = re.compile(r"(--?[\w-]+)|([^,\s][^,]*)")
ABOUT: Final = """
Agents and jobs hand over Markdown reports with `ownerreportd submit`, or move finished `.md` files
into the folder `pending/` of the spool. The daemon, `ownerreportd run`, brings them to the owner's
channel, oldest first, one at a time. A report is archived in `sent/` only when the channel has
confirmed it. At the first failure the queue stops, and `ownerreportd status` says since when, why,
and which command helps.

Each verb has a page of its own: `man ownerreportd-submit`. Data goes to standard output, talk to
standard error. An error is two lines: what happened, and the command to type next.
"""
ENVIRONMENT: Final = {
    "OWNERREPORTD_CONFIG": "The configuration file.",
    "OWNERREPORTD_SECTION__KEY": "A setting, as `OWNERREPORTD_SPOOL__ROOT`. It wins over the file.",
    "OWNER_REPORT_CHANNEL": "With `OWNER_REPORT_TARGET`: where every report goes, whatever is"
    " configured.",
    "OWNER_REPORT_TARGET": "Where in that channel.",
    "OWNER_REPORT_MAX_COUNT": "How many reports one `drain` sends at most.",
    "OWNERREPORTD_DEBUG": "Not empty: show the traceback of an error.",
    "OWNERREPORTD": "For the scripts of the old names: the program that they call.",
    "CONFIGURATION_DIRECTORY": "Where systemd put `config.toml`.",
    "CREDENTIALS_DIRECTORY": "Where systemd put the secrets.",
    "RUNTIME_DIRECTORY": "Where systemd wants the socket.",
    "XDG_CONFIG_HOME": "Instead of `~/.config`.",
    "XDG_RUNTIME_DIR": "Where the socket is, below `ownerreportd/`.",
    "NOTIFY_SOCKET": "Set by systemd: where the daemon says that it is ready.",
    "LISTEN_FDS": "Set by systemd: the socket is open already.",
    "NO_COLOR": "Not empty: no colour on a terminal.",
}
FILES: Final = {
    "~/.config/ownerreportd/config.toml": "The configuration of a user.",
    "/etc/ownerreportd/config.toml": "The configuration of the machine, where the user has none.",
    "~/.clawteam/owner-reports": "The spool, unless configured: `pending/`, `sent/`, `held/`,"
    " `rejected/`, `inbox/`, and `state/` with the ledger.",
}


def main() -> None:
    """Write every page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for old in folder.glob(f"man?/{PROGRAM}*"):
        old.unlink()
    for name, lines in pages().items():
        path = folder / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(tidied(lines)) + "\n", encoding="ascii")


def pages() -> dict[str, Iterator[str]]:
    """The lines of each page, by the name of its file."""
    with click.Context(cli, info_name=PROGRAM, help_option_names=["-h", "--help"]) as root:
        found = {f"{PROGRAM}.1": [*_head(PROGRAM, 1), *_program(root)]}
        for name, verb in VERBS.items():
            command = cli.get_command(root, name)
            if command is None:
                raise LookupError(name)
            page = f"{PROGRAM}-{name}"
            with click.Context(command, info_name=name, parent=root) as context:
                lines = _verb(context, verb.summary)
                found[f"{page}.1"] = [*_head(page, 1), *lines]
    found[f"{CONFIG_PAGE}.5"] = [*_head(CONFIG_PAGE, 5), *config_page()]
    return {name: iter(lines) for name, lines in found.items()}


def _head(page: str, chapter: int) -> Iterator[str]:
    title = {1: "User Commands", 5: "File Formats"}[chapter]
    yield r".\" Written by scripts/man.py; edit the program's own texts instead."
    yield f'.TH {plain(page.upper())} {chapter} {DATE} "{PROGRAM} {__version__}" "{title}"'


def _program(root: click.Context) -> Iterator[str]:
    summary = "deliver the reports of long-running agents to their owner"
    yield from section("Name", [rf"{plain(PROGRAM)} \- {plain(summary)}"])
    yield from section("Synopsis", _synopsis(root))
    yield from section("Description", [*paragraphs(cli.help or ""), ".PP", *paragraphs(ABOUT)])
    yield from section("Verbs", _verbs())
    yield from section("Options", _options(root))
    codes = (item(bold(str(code)), text) for code, text in EXIT_CODES.items())
    yield from section("Exit status", _all(codes))
    yield from section("Environment", _all(item(bold(k), v) for k, v in ENVIRONMENT.items()))
    yield from section("Files", _all(item(italic(k), v) for k, v in FILES.items()))
    yield from section("See also", [f".BR {plain(CONFIG_PAGE)} (5)"])


def _verbs() -> Iterator[str]:
    for name, verb in VERBS.items():
        yield ".TP"
        yield f".BR {plain(f'{PROGRAM}-{name}')} (1)"
        yield from prose(verb.summary)


def _verb(context: click.Context, summary: str) -> Iterator[str]:
    short = summary[0].lower() + summary[1:].rstrip(".")
    name = plain(context.command_path.replace(" ", "-"))
    yield from section("Name", [rf"{name} \- {plain(short)}"])
    yield from section("Synopsis", _synopsis(context))
    yield from section("Description", paragraphs(context.command.help or ""))
    yield from section("Verbs", _below(context))
    yield from section("Options", _options(context))
    yield from section("Examples", _examples(context.command))
    yield from section("Exit status", prose(f"`man {PROGRAM}` lists what each verb exits with."))
    yield from section("See also", [f".BR {plain(PROGRAM)} (1),", f".BR {plain(CONFIG_PAGE)} (5)"])


def _below(context: click.Context) -> Iterator[str]:
    """Every verb of a group, and of the groups below it."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        with click.Context(command, info_name=name, parent=context) as inner:
            if not isinstance(command, click.Group):
                yield f".SS {quoted(inner.command_path.removeprefix(f'{PROGRAM} '))}"
                yield from _synopsis(inner)
                yield ".PP"
                yield from paragraphs(command.help or "")
                yield from _options(inner)
                yield from _examples(command)
            yield from _below(inner)


def _synopsis(context: click.Context) -> Iterator[str]:
    yield bold(context.command_path)
    pieces = context.command.collect_usage_pieces(context)
    yield italic(" ".join(pieces))


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from item(_FLAG.sub(_as_flag, record[0]), record[1])


def _as_flag(found: re.Match[str]) -> str:
    return bold(found[1]) if found[1] else italic(found[2])


def _examples(command: click.Command) -> Iterator[str]:
    told = re.sub(r"^(\x08\s*)?Examples?:\s*", "", command.epilog or "")
    if told:
        yield from example(line.strip() for line in told.strip().splitlines())


def _all(entries: Iterable[Iterable[str]]) -> Iterator[str]:
    for entry in entries:
        yield from entry


if __name__ == "__main__":
    main()
