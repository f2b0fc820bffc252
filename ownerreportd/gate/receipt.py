"""Owns what a receipt must be to count as proof that the next step was handed on."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.core.report import slug
from ownerreportd.gate.values import Json, NotJsonError, Reader, copied, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

AHEAD_MAX: Final = timedelta(minutes=5)
CHARS_MAX: Final = 256
BYTES_MAX: Final = 65_536  # of the whole, as canonical JSON
FUTURE: Final = "from_the_future"
_NAMES: Final = ("planId", "currentTask", "dispatchRunId", "childSessionKey")
_DRY_RUN: Final = ("dryRun", "dry_run")
_PLACEHOLDERS: Final = frozenset(
    {"dry-run", "dryrun", "dry_run", "test", "fake", "mock", "placeholder", "todo", "tbd", "none",
     "null", "n/a", "unknown", "-"}
)  # fmt: skip
_PLACEHOLDER_PREFIXES: Final = ("dry-run", "dryrun", "dry_run")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {  # one of these, by action type
    "message_subagent": ("task", "message"),
    "spawn_subagent": ("task",),
    "run_command": ("command",),
    "wait": ("until", "reason"),
}
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ReceiptCheck:
    """What is to be said of a receipt. `errors` are `{pointer, message}`; `unreal` are codes.

    `receipt` is a copy in the shape of the wire, and `dispatched_at` its time in UTC, where they
    could be read.
    """

    errors: tuple[dict[str, str], ...]
    ahead: bool  # of the clock, by more than five minutes
    unreal: tuple[str, ...]  # `dry_run`, `placeholder`
    warnings: tuple[str, ...]
    receipt: Json
    dispatched_at: datetime | None

    @property
    def valid(self) -> bool:
        """Whether it says all that it must, and nothing that cannot be."""
        return not self.errors and not self.ahead

    @property
    def real(self) -> bool:
        """Whether it tells of a real dispatch, not of a rehearsal."""
        return not self.unreal

    def problems(self) -> list[dict[str, str]]:
        """Everything that keeps it from being valid: `{pointer, message}`."""
        ahead = {"pointer": "/dispatchedAt", "message": "is over 5 minutes ahead of the clock"}
        return [*(dict(each) for each in self.errors), *([ahead] if self.ahead else [])]

    def to_json(self) -> Json:
        """`{valid, real, errors, unreal, warnings, receipt}`."""
        return {
            "valid": self.valid, "real": self.real, "errors": self.problems(),
            "unreal": list(self.unreal), "warnings": list(self.warnings), "receipt": self.receipt,
        }  # fmt: skip


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time with an offset, in UTC; None for anything else.

    A leap second counts as the one before, and digits beyond the microsecond are dropped.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    date, minute, second, fraction, offset = match.groups()
    second = "59" if second == "60" else second
    digits = (fraction or ".")[:7].ljust(7, "0")
    try:
        zone = "+00:00" if offset in "Zz" else offset
        return datetime.fromisoformat(f"{date}T{minute}:{second}{digits}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def validate_receipt(receipt: object, now: datetime) -> ReceiptCheck:
    """Check a receipt in the shape of the wire; never raises. `now` is aware."""
    reader = Reader()
    if not isinstance(receipt, dict):
        reader.wrong("", f"must be an object, and is {kind_of(receipt)}")
        return ReceiptCheck(tuple(reader.mistakes), ahead=False, unreal=(), warnings=(),
                            receipt={}, dispatched_at=None)  # fmt: skip
    for name in (*_NAMES, "replyClosureState"):
        _check_text(reader, receipt, name)
    action = _check_action(reader, receipt)
    at = _check_time(reader, receipt)
    unreal = _unreal(reader, receipt, action)
    try:
        whole = copied(receipt)
    except NotJsonError as error:
        whole = {}
        if not reader.mistakes:
            reader.wrong("", str(error))
    if len(canonical(whole)) > BYTES_MAX:
        reader.wrong("", f"has over {BYTES_MAX:,} bytes")
    ahead = at is not None and at - now > AHEAD_MAX
    return ReceiptCheck(tuple(reader.mistakes), ahead, unreal, tuple(reader.warnings), whole, at)


def is_valid_receipt(receipt: object, now: datetime) -> bool:
    """Whether `validate_receipt` finds nothing wrong."""
    return validate_receipt(receipt, now).valid


def _check_text(reader: Reader, receipt: Mapping[str, Any], name: str) -> None:
    before = len(reader.mistakes)
    text = reader.text(receipt, name)
    if len(reader.mistakes) > before:
        return
    if text is None:
        reader.wrong(name, "must be a string, and not blank")
    elif name in _NAMES and len(text) > CHARS_MAX:
        reader.wrong(name, f"must have {CHARS_MAX} characters at most, and has {len(text)}")


def _check_action(reader: Reader, receipt: Mapping[str, Any]) -> Json | None:
    before = len(reader.mistakes)
    action = reader.action(receipt, "nextDerivedAction")
    if len(reader.mistakes) > before:
        return None
    if action is None:
        message = "must be an object with a `type`, or a string, and not blank"
        reader.wrong("nextDerivedAction", message)
        return None
    needed = _NEEDED.get(action["type"])
    if needed is None:
        reader.warnings.append(f"the action type {action['type']!a:.120} is not known")
    elif not any(_is_there(action.get(name)) for name in needed):
        names = " or ".join(f"`{name}`" for name in needed)
        reader.wrong("nextDerivedAction", f"of type {action['type']} needs {names}")
    return action


def _is_there(value: object) -> bool:
    """Whether it says something, in whatever shape the host has it."""
    if isinstance(value, str):
        return bool(value.strip())
    return value not in (None, False, [], {})


def _check_time(reader: Reader, receipt: Mapping[str, Any]) -> datetime | None:
    at = parse_time(receipt.get("dispatchedAt"))
    if at is None:
        message = "must be a time by RFC 3339 with an offset, as 2026-01-31T09:30:00+08:00"
        reader.wrong("dispatchedAt", message)
    return at


def _unreal(reader: Reader, receipt: Mapping[str, Any], action: Json | None) -> tuple[str, ...]:
    rehearsed = False
    for at, fields in (("", receipt), ("nextDerivedAction/", action or {})):
        for name in _DRY_RUN:
            value = fields.get(name)
            if value is not None and not isinstance(value, bool):
                reader.wrong(at + name, f"must be true or false, and is {kind_of(value)}")
            rehearsed = rehearsed or value is True
    named = any(_is_placeholder(receipt.get(n)) for n in ("dispatchRunId", "childSessionKey"))
    return ("dry_run",) * rehearsed + ("placeholder",) * named


def _is_placeholder(value: object) -> bool:
    if not isinstance(value, str):
        return False
    text = value.strip().casefold()
    return text in _PLACEHOLDERS or text.startswith(_PLACEHOLDER_PREFIXES)


def canonical(receipt: Mapping[str, Any]) -> bytes:
    """The receipt's bytes: the same for equal receipts, whatever the order of their names."""
    return json.dumps(
        receipt, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def receipt_name(receipt: Mapping[str, Any]) -> str:
    """The file name of a valid receipt: time in UTC, plan, task, and a hash of all it says."""
    at = parse_time(receipt["dispatchedAt"])
    if at is None:
        raise ValueError("the receipt is not valid: dispatchedAt")
    digest = hashlib.sha256(canonical(receipt)).hexdigest()[:8]
    plan, task = slug(receipt["planId"]), slug(receipt["currentTask"])
    return f"{at.year:04}{at:%m%dT%H%M%SZ}-{plan}-{task}-{digest}.json"
