"""Owns the answers a channel can give: five for an attempt, three for a look.

Rule: an answer that nobody can prove to be a yes is not a yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Proof: TypeAlias = Literal["confirmed", "accepted"]
Scope: TypeAlias = Literal["report", "config"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the channel gave as proof of one part.

    `id` is the channel's own message id, unique within the destination; `link` opens the message
    where the channel has such an address, else it is empty; `note` says what a person should know
    of this confirmation (for example that the message was deleted since).
    """

    id: str
    link: str = ""
    proof: Proof = "confirmed"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The channel has the part, and gave proof.

    `pause_s` is how many seconds the destination is left alone afterwards, so that its limit is
    never met: what the service's own headers say, else what its documentation does.
    """

    receipt: Receipt
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not accepted; the channel asked to come back after `retry_after_s` seconds."""

    retry_after_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably nothing was accepted: the connection itself failed."""

    detail: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The part may have been accepted; nobody can tell from this answer.

    `accepted` is set by the daemon alone: the channel took the part, and its receipt proves less
    than `archive_on` asks for. A repeat could give no better one, so a person decides.
    """

    detail: str
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not accepted, and the same again will not help.

    `code` is the service's own short code (`discord.50013`), `scope` says whether this report or
    the configuration is at fault, `hint` is the remedy in words for the operator.
    """

    code: str
    scope: Scope
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Found:
    """The part is at the channel."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Absent:
    """The channel was read, completely, and the part is not there."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The look proved nothing.

    `transient` is true where looking again later may help (the channel was unreachable or asked
    to wait `retry_after_s` seconds), false where it will not (no permission to read the history,
    two messages that cannot be told apart). `accepted` is as in `InDoubt`: the part was found, and
    its receipt proves less than `archive_on` asks for.
    """

    detail: str
    transient: bool = False
    retry_after_s: float = 0.0
    accepted: bool = False


Outcome: TypeAlias = Confirmed | Throttled | NotSent | InDoubt | Rejected
LookResult: TypeAlias = Found | Absent | Unknown

OUTCOME_NAMES: dict[type, str] = {
    Confirmed: "confirmed",
    Throttled: "throttled",
    NotSent: "not_sent",
    InDoubt: "in_doubt",
    Rejected: "rejected",
}


def outcome_name(outcome: Outcome) -> str:
    """The outcome's name in events, status and ledger."""
    return OUTCOME_NAMES[type(outcome)]
