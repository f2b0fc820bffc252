"""Owns what a program of yours is asked and what it may answer, as JSON.

Rule: an answer is one JSON object with the keys of its kind and no others, each once; anything
else is no answer. Whoever cannot say it right has not said it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.functional_validators import AfterValidator

from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ownerreportd.core.channel import Part
    from ownerreportd.core.outcome import LookResult, Outcome, Proof

_Answer = TypeVar("_Answer")
SCHEMA: Final = "ownerreportd.exec/1"
WAIT_S_MAX: Final = 86_400.0
_UNREACHABLE: Final = "unreachable"


class AnswerError(ValueError):
    """Raised when what the program wrote is no answer; the text says why, in words."""


# --- what it is asked ---------------------------------------------------------------------------


def send_request(part: Part) -> bytes:
    """The JSON of an attempt; the same bytes for every attempt in the same form."""
    return _request(
        "send",
        key=part.key,
        number=part.number,
        count=part.count,
        may_be_duplicate=part.form == "marked",
        text=part.payload.decode("utf-8"),
    )


def look_request(part: Part, since: datetime, known: frozenset[str]) -> bytes:
    """The JSON of a look: the part in both forms, and the ids of what is not it."""
    return _request(
        "look",
        key=part.key,
        number=part.number,
        count=part.count,
        texts=[part.plain.decode("utf-8"), part.marked.decode("utf-8")],
        since=since.isoformat(),
        known=sorted(known),
    )


def check_request() -> bytes:
    """The JSON of a check."""
    return _request("check")


def _request(do: str, **fields: Any) -> bytes:
    data = {"schema": SCHEMA, "do": do, **fields}
    return json.dumps(data, ensure_ascii=False).encode("utf-8") + b"\n"


# --- what it may answer -------------------------------------------------------------------------


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a line break, or what cannot be shown")
    return text


_Line: TypeAlias = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_line)]
_Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_line)]
_Code: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_MaybeLine: TypeAlias = Literal[""] | _Line


class _Kind(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Receipt(_Kind):
    id: _Id
    link: _MaybeLine = ""
    note: _MaybeLine = ""
    proof: Literal["confirmed", "accepted"] | None = None

    def receipt(self, best: Proof) -> Receipt:
        """The receipt; never a better proof than the destination can give."""
        weaker = "accepted" in {self.proof, best}
        return Receipt(self.id, self.link, "accepted" if weaker else "confirmed", self.note)


class _Confirmed(_Receipt):
    outcome: Literal["confirmed"]
    pause_s: _Seconds = 0.0


class _Throttled(_Kind):
    outcome: Literal["throttled"]
    retry_after_s: _Seconds
    detail: _MaybeLine = ""


class _NotSent(_Kind):
    outcome: Literal["not_sent"]
    detail: _Line


class _InDoubt(_Kind):
    outcome: Literal["in_doubt"]
    detail: _Line


class _Rejected(_Kind):
    outcome: Literal["rejected"]
    code: _Code
    scope: Literal["report", "config"]
    detail: _Line
    hint: _Line


class _Found(_Receipt):
    outcome: Literal["found"]


class _Absent(_Kind):
    outcome: Literal["absent"]
    detail: _MaybeLine = ""


class _Unknown(_Kind):
    outcome: Literal["unknown"]
    detail: _Line
    transient: bool = False
    retry_after_s: _Seconds = 0.0


class _Problem(_Kind):
    code: _Code
    detail: _Line
    hint: _Line


class _Checked(_Kind):
    problems: list[_Problem]


_Sent: TypeAlias = Annotated[
    _Confirmed | _Throttled | _NotSent | _InDoubt | _Rejected, Field(discriminator="outcome")
]
_Looked: TypeAlias = Annotated[_Found | _Absent | _Unknown, Field(discriminator="outcome")]
_SENT: Final[TypeAdapter[_Sent]] = TypeAdapter(_Sent)
_LOOKED: Final[TypeAdapter[_Looked]] = TypeAdapter(_Looked)
_CHECKED: Final[TypeAdapter[_Checked]] = TypeAdapter(_Checked)


def sent(output: bytes, best: Proof) -> Outcome:
    """The outcome of an attempt.

    Raises:
        AnswerError: if the output is none.
    """
    answer = _read(output, _SENT)
    match answer:
        case _Confirmed():
            return Confirmed(answer.receipt(best), min(answer.pause_s, WAIT_S_MAX))
        case _Throttled():
            return Throttled(min(answer.retry_after_s, WAIT_S_MAX), answer.detail)
        case _NotSent():
            return NotSent(answer.detail)
        case _InDoubt():
            return InDoubt(answer.detail)
        case _Rejected():
            return Rejected(f"exec.{answer.code}", answer.scope, answer.detail, answer.hint)


def looked(output: bytes, best: Proof) -> LookResult:
    """The result of a look.

    Raises:
        AnswerError: if the output is none.
    """
    answer = _read(output, _LOOKED)
    match answer:
        case _Found():
            return Found(answer.receipt(best))
        case _Absent():
            return Absent(answer.detail)
        case _Unknown():
            wait_s = min(answer.retry_after_s, WAIT_S_MAX)
            return Unknown(answer.detail, answer.transient, wait_s)


def checked(output: bytes) -> list[Problem]:
    """The problems that the program found; `unreachable` is every channel's word.

    Raises:
        AnswerError: if the output is no list of them.
    """
    return [
        Problem(
            each.code if each.code == _UNREACHABLE else f"exec.{each.code}", each.detail, each.hint
        )
        for each in _read(output, _CHECKED).problems
    ]


def _read(output: bytes, kind: TypeAdapter[_Answer]) -> _Answer:
    try:
        found = json.loads(output, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        reason = "it wrote nothing" if not output.strip() else "it wrote no JSON object alone"
        raise AnswerError(reason) from error
    try:
        return kind.validate_python(found)
    except ValidationError as error:
        raise AnswerError(_in_words(error)) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _in_words(error: ValidationError) -> str:
    # The input is not repeated: it is the program's, and may be long.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    return f"its answer is none: {place + ': ' if place else ''}{first['msg']}"
