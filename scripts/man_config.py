"""The manual page of the configuration: `config.example.toml` as roff, then the channels' keys.

The example has every key with its default, its unit and its reason; a test holds it to the
settings. Here it is only set in another type.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from roff import bold, example, italic, item, plain, prose, quoted, section

from ownerreportd.app.catalogue import catalogue
from ownerreportd.cli.output import as_json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXAMPLE: Final = Path(__file__).parents[1] / "config.example.toml"
SUMMARY: Final = "the configuration of ownerreportd"
PLACES: Final = (
    "~/.config/ownerreportd/config.toml",
    "/etc/ownerreportd/config.toml",
)
_TABLE: Final = re.compile(r"#(\[+[\w.]+\]+)$")
_KEY: Final = re.compile(r"#(\w+) = (.+)$")
_OF_THE_EXAMPLE: Final = re.compile(r"Take the `#` away[^.]*\.\s+")


def config_page() -> Iterator[str]:
    """The page's lines, below its head."""
    blocks = _blocks(EXAMPLE.read_text(encoding="utf-8"))
    told = [block for block in blocks if block and not block[0].startswith("#:")]
    beginning = next(n for n, block in enumerate(told) if _table(block))
    yield from section("Name", [rf"ownerreportd.toml \- {plain(SUMMARY)}"])
    yield from section("Synopsis", _synopsis())
    yield from section("Description", _introduced(told[:beginning]))
    yield from section("Keys", _keys(told[beginning:]))
    yield from section("Channels", _channels())
    names = [f".BR {plain(f'ownerreportd{verb}')} (1)" for verb in ("", "-config", "-channels")]
    yield from section("See also", [f"{name}," for name in names[:-1]] + names[-1:])


def _synopsis() -> Iterator[str]:
    for place in PLACES:
        yield italic(place)
        if place != PLACES[-1]:
            yield ".br"


def _blocks(text: str) -> list[list[str]]:
    """The lines between empty lines."""
    return [block.splitlines() for block in re.split(r"\n\n+", text.strip())]


def _table(block: list[str]) -> str | None:
    """The table that a block opens."""
    found = [match[1] for line in block if (match := _TABLE.match(line))]
    return found[0] if found else None


def _told(block: Iterable[str]) -> str:
    """The block's comments as text."""
    lines = [line for line in block if line == "#" or line.startswith("# ")]
    return "\n".join(line[2:] for line in lines)


def _introduced(blocks: Iterable[list[str]]) -> Iterator[str]:
    told = _OF_THE_EXAMPLE.sub("", "\n\n".join(_told(block) for block in blocks))
    for number, paragraph in enumerate(told.split("\n\n")):
        if number:
            yield ".PP"
        yield from prose(paragraph)


def _keys(blocks: Iterable[list[str]]) -> Iterator[str]:
    for block in blocks:
        table, told = _table(block), _told(block)
        keys = [match for line in block if (match := _KEY.match(line))]
        if table:
            yield f".SS {quoted(table)}"
            yield from prose(told)
            if keys:
                yield from example(match[0][1:] for match in keys)
        elif keys:
            yield from item(" = ".join((bold(keys[0][1]), italic(keys[0][2]))), told)
        else:
            yield ".PP"
            yield from prose(told)


def _channels() -> Iterator[str]:
    yield from prose("What a destination of each channel takes beside the keys above.")
    for entry in catalogue(None):
        yield f".SS {quoted(entry['name'])}"
        if entry["target"]:
            yield from item(bold("target"), f"{entry['target']}.")
        for secret in entry["secrets"]:
            name = secret["name"]
            needed = "" if secret["needed"] else " The channel can do without it."
            text = f"The secret; also looked for in `{entry['name']}.{name}`.{needed}"
            yield from item(f"{bold(name)}, {bold(f'{name}_file')}", text)
        for option in entry["options"]:
            told = option["description"]
            yield from item(_option(option), f"{told[:1].upper()}{told[1:]}.")


def _option(option: dict[str, Any]) -> str:
    if option["needed"]:
        return f"{bold(option['name'])} (needed)"
    if option["default"] is None:
        return bold(option["name"])
    return " = ".join((bold(option["name"]), italic(as_json_text(option["default"]))))
