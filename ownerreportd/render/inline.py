"""Owns what a service cannot show within a line: images, HTML, entities, footnotes, mentions.

Rules: code spans stay as they are; HTML that is not known is text, and so is a tag without its
other half, as reports are full of `List<String>` and `<name>`; no word is lost.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from html import unescape
from html.entities import html5
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ownerreportd.render.dialects import Shows

RULE: Final = "─" * 10
SHIELD: Final = "\u00a0"
_BREAK: Final = "\r"  # a line break of HTML's; in the source there is none left
_DEPTH_MAX: Final = 32
_CODE: Final = r"(?<!`)(?P<run>`+)(?!`)[\s\S]*?(?<!`)(?P=run)(?!`)"
_ALT: Final = r"((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)"
_INSIDE: Final = (
    r"""((?:<[^<>\n]*>|[^()\s<][^()\s]*(?:\([^()\s]*\)[^()\s]*)*)"""
    r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?)"""
)
_NAME: Final = r"[a-zA-Z][a-zA-Z0-9]*"
_TAG: Final = re.compile(rf"<(?P<slash>/?)(?P<name>{_NAME})(?P<values>(?:\s[^<>]*)?)/?>")
_VALUE: Final = re.compile(
    r"""\s(href|src|alt)\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)""", re.IGNORECASE
)
_TOKEN: Final = re.compile(
    rf"""
      (?P<kept>\\[!-/:-@\[-`{{-~] | {_CODE} | <(?:https?|ftp|mailto):[^\s<>]*>)
    | (?P<badge>\[!\[{_ALT}\]\({_INSIDE}\)\]\({_INSIDE}\))
    | (?P<image>!\[{_ALT}\]\({_INSIDE}\))
    | (?P<verbatim><(?P<mono>code|kbd|samp|tt)>
        (?P<content>(?:(?!</?(?:code|kbd|samp|tt)>)[^\r])+)</(?P=mono)>)
    | (?P<tag></?{_NAME}(?:\s[^<>]*)?/?>)
    | (?P<entity>&(?:\#\d{{1,7}}|\#[xX][0-9a-fA-F]{{1,6}}|[a-zA-Z][a-zA-Z0-9]{{1,31}});)
    | (?P<note>\[\^(?P<label>[^\[\]\s]{{1,60}})\](?!\()(?P<colon>(?::(?=[ \t]))?))
    | (?P<reference>!?\[(?P<words>{_ALT[1:-1]})\]\[(?P<cited>[^\[\]\n]{{0,200}})\])
    """,
    re.VERBOSE,
)
_KEPT: Final = re.compile(rf"\\[!-/:;=>?\[-`{{-~]|{_CODE}")  # "\\<" and "\\@" may call somebody
_DEFINED: Final = re.compile(r"(?m)^[ \t>]*\[\^([^\[\]\s]{1,60})\]:")
_ADDRESSED: Final = re.compile(r"(?m)^[ \t>]*\[(?!\^)([^\[\]\n]{1,200})\]:[ \t]*\S")
_PREFIX: Final = re.compile(r"[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))[ \t]*)*")
_ACTING_LINE: Final = re.compile(r"`{3}|~{3}|#{1,6}\s|>|[=_*-]+\s*$|\||[-*+]\s+\[|    ")
_FENCE_LIKE: Final = re.compile(r"(?m)^([ \t>]*)(?=`{3}|~{3})")
_STRONG: Final = re.compile(rf"(?P<kept>{_KEPT.pattern})|\*\*")
_ACTIVE: Final = frozenset("\\`*_~|[]")
_BLOCK_ACTIVE: Final = frozenset("#>+-=")
_BOLD: Final = frozenset({"b", "strong", "summary", "th", "h1", "h2", "h3", "h4", "h5", "h6"})
_MARKS: Final[dict[str, str]] = {
    **dict.fromkeys(_BOLD, "**"),
    **dict.fromkeys(("i", "em", "cite", "var"), "*"),
    **dict.fromkeys(("s", "strike", "del"), "~~"),
}
_UNDERLINED: Final = frozenset({"u", "ins"})
_BREAKING: Final = frozenset({
    "blockquote", "center", "dd", "details", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6",
    "li", "ol", "p", "pre", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_PLAIN: Final = frozenset({
    "a", "abbr", "big", "code", "font", "kbd", "mark", "q", "samp", "small", "span", "sub", "sup",
    "td", "tt",
})  # fmt: skip
_SINGLE: Final = {"br": _BREAK, "hr": _BREAK + RULE + _BREAK, "wbr": "", "img": ""}
_LONE: Final = frozenset({"p", "li"})  # these need no closing tag
TAGS: Final = frozenset({*_MARKS, *_UNDERLINED, *_BREAKING, *_PLAIN, *_SINGLE})


@dataclass(frozen=True, slots=True)
class Scope:
    """What the whole text says about its pieces.

    `labels` are its footnotes', `addressed` those of its link definitions, folded, and `paired`
    the tags that are both opened and closed in it.
    """

    shows: Shows
    labels: frozenset[str]
    addressed: frozenset[str]
    paired: frozenset[str]


@dataclass(slots=True)
class _Frame:
    """A tag that is open, and what is in it so far."""

    name: str = ""
    address: str = ""
    pieces: list[str] = field(default_factory=list)


def scope_of(texts: Iterable[str], shows: Shows) -> Scope:
    """What these texts together say about each of them."""
    labels: set[str] = set()
    addressed: set[str] = set()
    seen: tuple[set[str], set[str]] = (set(), set())
    for text in texts:
        labels.update(_DEFINED.findall(text))
        addressed.update(map(_folded, _ADDRESSED.findall(text)))
        for found in _TOKEN.finditer(text):
            tag = _TAG.fullmatch(found[0]) if found["tag"] else None
            if tag is not None:
                seen[bool(tag["slash"])].add(tag["name"].lower())
    paired = frozenset(seen[0] & seen[1] & TAGS)
    return Scope(shows, frozenset(labels), frozenset(addressed), paired)


def shown_lines(text: str, scope: Scope) -> str:
    """The lines of one paragraph as the service can show them; HTML's breaks make new lines."""
    shown = _Writer(scope, is_code=False).write(text)
    if shown == text:
        return _kept_apart(shown, scope.shows)
    lines = "\n".join(_broken(line) for line in shown.split("\n"))
    return _kept_apart(_FENCE_LIKE.sub(rf"\1{SHIELD}", lines), scope.shows)


def shown_line(text: str, scope: Scope) -> str:
    """The text as the service can show it within one line."""
    shown = _Writer(scope, is_code=False).write(text)
    return _kept_apart(_unbroken(shown), scope.shows)


def shown_row(text: str, scope: Scope) -> str:
    """A table's row as it reads in a code block."""
    return defused(_unbroken(_Writer(scope, is_code=True).write(text)), scope.shows)


def strong(text: str) -> str:
    """The text in bold, with the white space around it left outside."""
    inner = _STRONG.sub(lambda found: found["kept"] or "", text.strip())
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if not inner.strip("*\\ \t"):
        return text
    trailing = len(inner) - len(inner.rstrip("\\"))
    closing = "\\**" if trailing % 2 else "**"  # a lone one would escape the mark
    return f"{before}**{inner}{closing}{after}"


def defused(text: str, shows: Shows) -> str:
    """The text with a gap in everything that the service would replace."""
    if shows.acts is None:
        return text
    return shows.acts.sub(lambda found: found[0] + shows.gap, text)


def _kept_apart(text: str, shows: Shows) -> str:
    """The text defused outside of its code spans."""
    if shows.acts is None:
        return text
    pieces: list[str] = []
    end = 0
    for found in _KEPT.finditer(text):
        pieces += [_piece_defused(text, end, found.start(), shows), found[0]]
        end = found.end()
    return "".join([*pieces, _piece_defused(text, end, len(text), shows)])


def _piece_defused(text: str, start: int, end: int, shows: Shows) -> str:
    """That piece of the text, defused."""
    return defused(text[start:end], shows)


def _unbroken(text: str) -> str:
    """The text with a space for each of HTML's breaks."""
    if _BREAK not in text:
        return text
    return " ".join(piece for part in text.split(_BREAK) if (piece := part.strip(" \t")))


def _broken(line: str) -> str:
    """The line parted at HTML's breaks, each piece in the container of the first."""
    if _BREAK not in line:
        return line
    first, *rest = line.split(_BREAK)
    pieces = [piece.strip(" \t") for piece in rest]
    pieces = [piece for piece in pieces if piece]
    match = _PREFIX.match(first)
    prefix = match[0] if match else ""
    later = re.sub(r"[^>\t]", " ", prefix)
    pieces = [SHIELD + piece if _ACTING_LINE.match(piece) else piece for piece in pieces]
    if prefix == first and pieces:
        first += pieces.pop(0)
    return "\n".join([first.rstrip(" \t") if pieces else first, *(later + p for p in pieces)])


class _Writer:
    """One paragraph while it is written anew, token by token."""

    def __init__(self, scope: Scope, *, is_code: bool) -> None:
        self._scope = scope
        self._is_code = is_code
        self._frames = [_Frame()]

    def write(self, text: str) -> str:
        """The whole text, with HTML's breaks as `_BREAK`."""
        end = 0
        for found in _TOKEN.finditer(text):
            self._add(text[end : found.start()])
            self._add(self._token(found, text))
            end = found.end()
        self._add(text[end:])
        while len(self._frames) > 1:
            self._drop_frame()
        return "".join(self._frames[0].pieces)

    def _add(self, piece: str) -> None:
        self._frames[-1].pieces.append(piece)

    def _token(self, found: re.Match[str], text: str) -> str:
        if found["badge"]:
            return self._link(found[4], found[5]) + f" ({found[6]})"
        if found["image"]:
            return self._link(found[8], found[9])
        if found["verbatim"]:
            return self._verbatim(found["content"])
        if found["tag"]:
            return self._tag(
                found[0], follows_word=text[found.start() - 1 : found.start()].isalnum()
            )
        if found["entity"]:
            return self._entity(found[0], text, found)
        if found["note"]:
            return self._note(found, text)
        if found["reference"]:
            return self._reference(found)
        return found[0]

    def _link(self, words: str, inside: str) -> str:
        """A link where the service would make one of it, else the words and the address."""
        if not words.strip():
            return inside
        is_address = inside.lower().startswith(("http://", "https://"))
        linked = self._scope.shows.has_links and not self._is_code
        if linked and is_address and "://" not in words:
            return f"[{words}]({inside})"
        return f"{words} ({inside})"

    def _verbatim(self, content: str) -> str:
        """The content of `<code>` as a code span."""
        text = unescape(content)
        if self._is_code or not text.strip() or "``" in text or "\n" in text:
            return text if self._is_code else content
        return f"`` {text} ``" if "`" in text else f"`{text}`"

    def _tag(self, source: str, *, follows_word: bool) -> str:
        tag = _TAG.fullmatch(source)
        name = tag["name"].lower() if tag else ""
        lone = name in _SINGLE or (name in _LONE and not follows_word)
        if tag is None or not (lone or name in self._scope.paired):
            return source
        if name == "img":
            values = _values(tag["values"])
            return self._link(values.get("alt", ""), values.get("src", ""))
        if name in _SINGLE:
            return _SINGLE[name]
        if tag["slash"]:
            self._close(name)
        self._add(_BREAK if name in _BREAKING else " " if name in {"td", "th"} else "")
        if name == "li" and not tag["slash"]:
            self._add("• ")
        if not tag["slash"] and len(self._frames) < _DEPTH_MAX:
            self._frames.append(_Frame(name, _values(tag["values"]).get("href", "")))
        return ""

    def _close(self, name: str) -> None:
        if all(frame.name != name for frame in self._frames[1:]):
            return
        while self._frames[-1].name != name:
            self._drop_frame()
        frame = self._frames.pop()
        self._add(self._styled(frame, "".join(frame.pieces)))

    def _drop_frame(self) -> None:
        """Forget a tag that is not closed here; what is in it stays."""
        frame = self._frames.pop()
        self._frames[-1].pieces += frame.pieces
        if frame.address:
            self._add(f" ({frame.address})")

    def _styled(self, frame: _Frame, text: str) -> str:
        if frame.name == "a" and frame.address:
            same = text.strip() == frame.address
            return frame.address if same else self._link(text, frame.address)
        mark = self._scope.shows.underline if frame.name in _UNDERLINED else ""
        mark = mark or _MARKS.get(frame.name, "")
        inner = text.strip()
        if self._is_code or not mark or not inner:
            return text
        if mark == "**":
            return strong(text)
        start = text.index(inner)
        return text[:start] + mark + inner + mark + text[start + len(inner) :]

    def _entity(self, source: str, text: str, found: re.Match[str]) -> str:
        """The entity's character, escaped where it would act."""
        if source[1] != "#" and source[1:] not in html5:
            return source
        shown = unescape(source)
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in shown):
            return " "
        if self._is_code:
            return "\\|" if shown == "|" else shown
        after, first = text[found.end() : found.end() + 1], _is_first(text, found)
        if first and shown in _BLOCK_ACTIVE:
            return (self._scope.shows.escape or SHIELD) + shown
        return self._scope.shows.escape + shown if _acts(shown, after) else shown

    def _reference(self, found: re.Match[str]) -> str:
        """A link by reference as its words and the label, which is said again with its address."""
        words, label = str(found["words"]), str(found["cited"])
        if _folded(label or words) not in self._scope.addressed:
            return found[0]
        shown = _Writer(self._scope, is_code=self._is_code).write(words)
        return f"{shown} [{label}]" if label and shown.strip() else f"[{label or shown}]"

    def _note(self, found: re.Match[str], text: str) -> str:
        """A footnote's number, or the start of the footnote itself."""
        label = found["label"]
        if not (label.isdecimal() or label in self._scope.labels):
            return found[0]
        colon = "" if _is_first(text, found) else found["colon"]
        return f"[{label}]{colon}"


def _folded(label: str) -> str:
    """The label as CommonMark compares it."""
    return " ".join(label.split()).casefold()


def _acts(shown: str, after: str) -> bool:
    """Whether that character of an entity would be markup before that one."""
    if shown in _ACTIVE:
        return True
    if shown == "<":
        return after.isalpha() or after in {"/", "!", "?", "@", "#", ":", "&"}
    return shown == "&" and (after.isalnum() or after == "#")


def _is_first(text: str, found: re.Match[str]) -> bool:
    """Whether only a container's markers stand before it in its line."""
    start = text.rfind("\n", 0, found.start()) + 1
    return _PREFIX.fullmatch(text, start, found.start()) is not None


def _values(source: str) -> dict[str, str]:
    return {name.lower(): value.strip("\"'") for name, value in _VALUE.findall(source)}
