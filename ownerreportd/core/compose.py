"""Owns how a report file is written from fields: front matter that reads back as what went in.

Rule: every value that YAML's base loader would not return as exactly the same string is quoted.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORDS: dict[str, tuple[str, str]] = {
    "en": ("Done", "Next"),
    "zh-TW": ("完成", "下一步"),
}
"""What the two paragraphs of the body are called, by language."""

FIELDS = ("team", "worker", "task_id", "progress", "done", "next", "status", "source", "title")
"""The fields that the scripts before this program had, and `title`."""

_HEADER_FIELDS = ("team", "worker", "task_id", "progress", "status", "source", "title")
_BOM = b"\xef\xbb\xbf"
# A letter or digit first keeps every indicator out (`- # & * ! | > ' " % @ [ {`); a colon or a
# blank must be followed by something that is neither, so that none of them ends the scalar.
_PLAIN = re.compile(r"[^\W_](?:[:\s]?[\w./%+~-])*")
_PLAIN_ITEM = re.compile(r"[^\W_][\w.-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FENCE = rb"---[ \t]*"
_BLOCK = re.compile(
    rb"\A" + _FENCE + rb"(?P<eol>\r?\n)(?P<lines>(?:(?!" + _FENCE + rb"\r?(?:\n|\Z)).*\n)*)"
    rb"(?P<end>" + _FENCE + rb"\r?(?:\n|\Z))"
)
_LINE_OF_MAPPING = re.compile(r" *(?:#.*)?|[A-Za-z_][\w-]*:(?: +(?P<value>.*))?")


def compose(
    fields: Mapping[str, str], *, language: str = "en", to: Sequence[str] = (), created: str
) -> str:
    """A report file from the old scripts' fields.

    Empty and unknown fields are left out; a language without words of its own speaks English.
    Lone surrogates, which no UTF-8 file can hold, become U+FFFD. Empty if nothing was given.
    """
    known = {name: _encodable(fields[name]) for name in FIELDS if fields.get(name)}
    if not known:
        return ""
    header = [f"{name}: {scalar(known[name])}" for name in _HEADER_FIELDS if name in known]
    if created:
        header.append(f"created: {scalar(created)}")
    if to:
        header.append(f"to: {flow_list(to)}")
    done, following = WORDS.get(language, WORDS["en"])
    paragraphs = [
        _paragraph(word, known[name])
        for word, name in ((done, "done"), (following, "next"))
        if known.get(name, "").strip()
    ]
    return _block(header) + "\n".join(paragraphs)


def with_metadata(
    data: bytes,
    *,
    title: str | None,
    to: Sequence[str],
    reads_as_mapping: Callable[[str], bool] | None = None,
) -> bytes:
    """The file with these keys in its front matter; everything else stays byte for byte.

    In an existing block they come last, where YAML lets the last of equal keys win. Where there
    is none, or where the block with them would not read as a mapping, a new block goes in front.
    `reads_as_mapping` decides that about the text between the fences; by default a cautious look
    at the lines does, which takes for no mapping whatever it does not surely know as one.
    """
    lines = _metadata_lines(title, to)
    if not lines:
        return data
    bom, rest = (_BOM, data[3:]) if data.startswith(_BOM) else (b"", data)
    block = _BLOCK.match(rest)
    if block is None:
        return bom + _block(lines).encode() + rest
    eol = block["eol"]
    extended = block["lines"] + b"".join(line.encode() + eol for line in lines)
    if not _reads(extended, reads_as_mapping or looks_like_mapping):
        return bom + _block(lines).encode() + rest
    start, end = block.start("lines"), block.start("end")
    return bom + rest[:start] + extended + rest[end:]


def looks_like_mapping(text: str) -> bool:
    """Whether every line is empty, a comment, or `key: value` with a value plain beyond doubt."""
    for line in text.split("\n"):
        match = _LINE_OF_MAPPING.fullmatch(line.removesuffix("\r").rstrip(" "))
        if match is None or not match[0].isprintable() or not _is_safe_value(match["value"] or ""):
            return False
    return True


def scalar(text: str) -> str:
    """The text as a YAML scalar on one line, in the block style of a mapping's value."""
    return text if _PLAIN.fullmatch(text) and text.isprintable() else _quoted(text)


def flow_list(items: Sequence[str]) -> str:
    """The texts as a YAML list on one line."""
    cleaned = map(_encodable, items)
    written = (text if _PLAIN_ITEM.fullmatch(text) else _quoted(text) for text in cleaned)
    return f"[{', '.join(written)}]"


def _metadata_lines(title: str | None, to: Sequence[str]) -> list[str]:
    lines = [] if title is None else [f"title: {scalar(_encodable(title))}"]
    return [*lines, f"to: {flow_list(to)}"] if to else lines


def _block(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in ("---", *lines, "---"))


def _paragraph(word: str, text: str) -> str:
    text = text.strip("\r\n")
    # A list or a fence must begin its own line to stay one.
    gap = "\n\n" if "\n" in text else " "
    return f"**{word}**{gap}{text}\n"


def _reads(block: bytes, reads_as_mapping: Callable[[str], bool]) -> bool:
    try:
        return reads_as_mapping(block.decode())
    except UnicodeDecodeError:
        return False


def _is_safe_value(value: str) -> bool:
    if value.startswith('"'):
        return _is_json_string(value)
    return not value or _PLAIN.fullmatch(value) is not None


def _is_json_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _quoted(text: str) -> str:
    # JSON's escapes are YAML's; what JSON leaves raw but YAML forbids or folds is added.
    written = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escape(c) for c in written)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _encodable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
