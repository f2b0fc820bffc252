"""Owns text with spans as Telegram shows it: nesting, mentions defused, slices, entities.

Rules: spans never break the text; what Telegram could take for a mention or a command is code,
where it is neither. Offsets are code points here, and UTF-16 units only in `entities`.

A mention in a code span pings nobody, stays the same text to read and to copy, and looks like the
name that it is; a character put into it would be copied along. Hashtags and cashtags stay: a tap
on one only searches, and pings nobody. File names that look like addresses (`README.md`) become
code where there is room for it.

Sources: Bot API "Formatting options" and `MessageEntity`; tdlib/td MessageEntity.cpp (what is
found in a text, and how entities may nest), misc.cpp (which characters are taken away).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from ownerreportd.render.telegram_links import is_linkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ownerreportd.render.outline import Place

Kind: TypeAlias = Literal[
    "bold", "italic", "underline", "strikethrough", "blockquote", "pre", "code", "text_link"
]
Range: TypeAlias = tuple[int, int]

ENTITIES_MAX: Final = 100  # what is over it is dropped silently by Telegram
_SOLID: Final = ("pre", "text_link", "code")  # cannot contain each other; the first one counts
_ARGUMENT: Final = {"pre": "language", "text_link": "url"}
# Wider than Telegram's own rule: what stands before a mention is only looked at in ASCII.
_NAME: Final = r"@[A-Za-z0-9_]{2,}"
_MENTIONS: Final = re.compile(rf"(?<![A-Za-z0-9_]){_NAME}(?:[ ,;:/&|+-]{{1,3}}{_NAME})*")
_COMMAND: Final = re.compile(
    r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>])"
)  # fmt: skip
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"'`]+(?<![.,;:!?)\]*_~])")
_PATH: Final = re.compile(r"[\w.~/@:-]*")
# Endings of files that are also ends of domains.
_FILE: Final = re.compile(
    r"(?<![\w./@:~-])(?:[\w-]+/)*[\w-]+(?:\.[\w-]+)*\.(?:am|cc|la|md|mk|ml|mov|pl|ps|py|rs|sh|so|zip)"
    r"(?![\w/@-]|\.\w)"
)
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_TAKEN_AWAY: Final = re.compile("[\r\u202a-\u202e\u0333\u033f\u030a]")
_LOST_MARKS: Final = re.compile("[\u0333\u033f\u030a]")


class Span(NamedTuple):
    """A stretch of the text, `end` exclusive. `argument` is a language or an address."""

    start: int
    end: int
    kind: Kind
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Rich:
    """A text with spans as they were written (a tree), and how good a place each line is to part.

    A line that `places` does not name is an ordinary one.
    """

    text: str
    spans: tuple[Span, ...] = ()
    places: Mapping[int, Place] = field(default_factory=dict)

    def parted(self, ranges: Iterable[Range]) -> Iterator[Rich]:
        """What is in each of these ranges, which rise, with the spans as far as they are in it."""
        following = deque(sorted(self.spans, key=lambda s: s.start))
        reached: list[Span] = []
        for start, end in ranges:
            while following and following[0].start < end:
                reached.append(following.popleft())
            reached = [span for span in reached if span.end > start]
            clipped = (
                Span(max(a, start) - start, min(b, end) - start, k, x) for a, b, k, x in reached
            )
            yield Rich(self.text[start:end], tuple(clipped))


def joined(first: Rich, gap: str, second: Rich) -> Rich:
    """One below the other, as far as they have a text."""
    if not first.text or not second.text:
        return first if first.text else second
    shift = len(first.text) + len(gap)
    spans = (Span(a + shift, b + shift, k, x) for a, b, k, x in second.spans)
    places = {**first.places, **{at + shift: place for at, place in second.places.items()}}
    return Rich(first.text + gap + second.text, (*first.spans, *spans), places)


def cleaned(text: str) -> str:
    """The text without what Telegram takes away or turns into blanks; no tab, no control.

    Telegram takes the ring above a letter away where it is a character of its own.
    """
    if _LOST_MARKS.search(text):
        text = unicodedata.normalize("NFC", text)
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\u2028", "\n").replace("\u2029", "\n").expandtabs(4)
    return _CONTROLS.sub(" ", _TAKEN_AWAY.sub("", text))


def nested(rich: Rich, *, with_files: bool = False) -> list[Span]:
    """The spans as Telegram takes them, with mentions, commands and, if asked, files as code.

    Sorted by start, the longer first. No two of a kind overlap; code and `pre` have nothing in
    them, and are in nothing but a quote.
    """
    text = rich.text
    solid = _apart(_trimmed(text, (s for s in rich.spans if s.kind in _SOLID)))
    guards = list(_guarded(text, solid))
    if with_files:
        files = (match.span() for match in _FILE.finditer(text))
        taken = _Ranges((s.start, s.end) for s in (*solid, *guards))
        guards += [Span(*r, "code") for r in files if not taken.touch(*r)]
    bare = _Ranges((s.start, s.end) for s in (*solid, *guards) if s.kind != "text_link")
    others = list[Span]()
    for span in _outermost(_trimmed(text, (s for s in rich.spans if s.kind not in _SOLID))):
        if span.kind == "blockquote":
            others.append(span)
        else:
            pieces = (span._replace(start=a, end=b) for a, b in bare.outside(span.start, span.end))
            others += _trimmed(text, pieces)
    return sorted([*solid, *guards, *others], key=lambda s: (s.start, -s.end, s.kind))


def entities(text: str, spans: Iterable[Span]) -> list[dict[str, Any]]:
    """The spans as the Bot API takes them."""
    units = _utf16_offsets(text)
    return [
        {
            "type": span.kind,
            "offset": units[span.start],
            "length": units[span.end] - units[span.start],
            **({_ARGUMENT[span.kind]: span.argument} if span.argument else {}),
        }
        for span in spans
    ]


def _utf16_offsets(text: str) -> list[int] | range:
    """Where each character begins, in UTF-16 units, and where the last one ends."""
    if not text or max(text) < "\U00010000":
        return range(len(text) + 1)
    offsets, at = [], 0
    for character in text:
        offsets.append(at)
        at += 2 if character > "\uffff" else 1
    return [*offsets, at]


class _Ranges:
    """Ranges that do not overlap, to be asked for what they cover."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges = sorted(ranges)
        self._ends = [end for _, end in self._ranges]

    def touch(self, start: int, end: int) -> bool:
        """Whether any of them has a character in common with this one."""
        at = bisect_left(self._ends, start + 1)
        return at < len(self._ranges) and self._ranges[at][0] < end

    def outside(self, start: int, end: int) -> Iterator[Range]:
        """What none of them covers, in order."""
        for at in range(bisect_left(self._ends, start + 1), len(self._ranges)):
            a, b = self._ranges[at]
            if a >= end:
                break
            if start < a:
                yield start, a
            start = max(start, b)
        if start < end:
            yield start, end


def _guarded(text: str, solid: list[Span]) -> Iterator[Span]:
    """Code for what Telegram would find by itself: mentions and commands.

    An address that has one in it (`https://example.org/@name`) is made a link instead.
    """
    found = sorted([*(m.span() for m in _MENTIONS.finditer(text)), *_commands(text)])
    if not found:
        return
    asked, taken = _Ranges(_united(found)), _Ranges((s.start, s.end) for s in solid)
    links = [
        Span(*match.span(), "text_link", match[0])
        for match in _ADDRESS.finditer(text)
        if asked.touch(*match.span()) and not taken.touch(*match.span()) and is_linkable(match[0])
    ]
    yield from links
    free = _Ranges((s.start, s.end) for s in (*solid, *links))
    for start, end in _united(found):
        for a, b in free.outside(start, end):
            yield Span(a, b, "code")


def _united(ranges: Iterable[Range]) -> list[Range]:
    """Sorted ranges, with those that overlap made one."""
    united: list[Range] = []
    for start, end in ranges:
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _commands(text: str) -> Iterator[Range]:
    """Commands, each with the whole of the path that it looks like."""
    for match in _COMMAND.finditer(text):
        start, end = match.span()
        before = _PATH.match(text[max(0, start - 64) : start][::-1])
        after = _PATH.match(text, end)
        start -= before.end() if before else 0
        end = max(end, start + len(text[start : after.end() if after else end].rstrip(".,:@-")))
        yield start, end


def _trimmed(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without white space at their ends, as far as anything is left of them."""
    for span in spans:
        inside = text[span.start : span.end]
        start = span.start + len(inside) - len(inside.lstrip())
        end = span.start + len(inside.rstrip())
        if span.kind == "pre":  # the indentation of its first line is code
            start = span.start + len(inside) - len(inside.lstrip("\n"))
        if start < end:
            yield span._replace(start=start, end=end)


def _apart(spans: Iterable[Span]) -> list[Span]:
    """The spans without those that overlap with an earlier or a longer one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end, _SOLID.index(s.kind))):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _outermost(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without those that are within another one of their kind."""
    reached: dict[Kind, int] = {}
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.end > reached.get(span.kind, -1):
            yield span._replace(start=max(span.start, reached.get(span.kind, 0)))
            reached[span.kind] = span.end
