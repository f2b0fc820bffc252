"""Owns `channels`: what is installed, what it can prove, and what can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from ownerreportd.cli.output import as_json_text, columns, printable, tell, tell_json

if TYPE_CHECKING:
    from collections.abc import Iterator

Json: TypeAlias = dict[str, Any]
_UNITS: Final = {"code_points": "characters", "utf16": "UTF-16 units", "bytes": "bytes"}


@click.command(
    "channels",
    short_help="List the channels, and what each can do.",
    epilog="Example: ownerreportd channels discord",
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every option.")
def channels(*, name: str | None, as_json: bool) -> None:
    """List the installed channels: what each can prove, its limits, target, secrets and options.

    With a NAME, that one with its options. Nothing is opened or sent. Exits with 78 where there
    is no channel of that name.
    """
    from ownerreportd.app.catalogue import SCHEMA, catalogue

    found = catalogue(name)
    if as_json:
        tell_json({"schema": SCHEMA, "channels": found})
        return
    for entry in found:
        for line in _lines(entry, whole=name is not None):
            tell(line)


def _lines(entry: Json, *, whole: bool) -> Iterator[str]:
    yield printable(entry["name"])
    if "problem" in entry:
        yield f"  cannot be used: {printable(entry['problem'])}"
        yield f"  hint: {printable(entry['hint'])}"
        return
    yield f"  {_proof(entry)}; {_again(entry)}; {_size(entry)}"
    if entry["target"]:
        yield f"  target: {printable(entry['target'])}"
    for secret in entry["secrets"]:
        kept = f"{entry['name']}.{secret['name']}"
        needed = "" if secret["needed"] else " (it can do without)"
        yield f"  secret: {printable(secret['name'])}, in {printable(kept)}{needed}"
    if not whole:
        names = [each["name"] + ("*" if each["needed"] else "") for each in entry["options"]]
        if names:
            yield f"  options: {printable(', '.join(names))}"
        return
    rows = [
        (
            f"  {printable(each['name'])}",
            "needed" if each["needed"] else printable(as_json_text(each["default"])),
            printable(each["description"]),
        )
        for each in entry["options"]
    ]
    yield from columns(rows)


def _proof(entry: Json) -> str:
    if entry["proof"] == "accepted":
        return 'proves acceptance only (needs archive_on = "accepted")'
    return "proves delivery"


def _again(entry: Json) -> str:
    ways = []
    if entry["dedup_for_ever"]:
        ways.append("knows a repeat for ever")
    elif entry["dedup_window_s"]:
        ways.append(f"knows a repeat for {entry['dedup_window_s']:g} s")
    if entry["read_back"]:
        ways.append("can be read back")
    return ", ".join(ways) or f"a lost answer stays a doubt (in_doubt = {entry['in_doubt']})"


def _size(entry: Json) -> str:
    if entry["text_max"] is None:
        return "parts of any length"
    return f"parts of {entry['text_max']:,} {_UNITS[entry['text_unit']]}"
