"""Owns what each of an SMTP server's refusals means for the part.

Rule: a complete 4yz or 5yz is the server's word that it has not accepted the message; anything
else but the documented answer proves nothing, and counts by whether the final dot had left.

Sources: RFC 5321 §4.2 (reply codes), §4.5.3.1.10 (552 to RCPT is 452); RFC 1870 (552 and SIZE);
RFC 3463 and RFC 7372 (enhanced status codes); RFC 4954 §6 (454, 530, 534, 535, 538).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Throttled

if TYPE_CHECKING:
    from ownerreportd.core.outcome import Outcome, Scope

Stage: TypeAlias = Literal[
    "connection", "EHLO", "STARTTLS", "AUTH", "MAIL FROM", "RCPT TO", "DATA", "message"
]
CLOSING_WAIT_S = 60.0
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_HINT_REPORT = "the server does not take this report: `skip` it, or change it and `retry`"
_HINT_SIZE = "shorten the report and `retry`, or `skip` it; or let the server take larger ones"
_HINTS: dict[Stage, str] = {
    "connection": "the server takes no mail from this machine: set host to one that does",
    "EHLO": "check host and port: is that a server that mail is handed to?",
    "STARTTLS": 'the server encrypts nothing on this port: set security = "tls", and its port',
    "AUTH": "check user, and the password in email.password or password_file; many providers"
    " want a password made for applications",
    "MAIL FROM": "the server does not take mail from this sender: check from",
    "RCPT TO": "check the address in target",
    "DATA": "ask the server's operator; check from and target",
    "message": "the server does not take mail from this sender to this address: check from, target",
}
_HINTS_BY_CODE = {
    530: "the server wants to know who sends: set user, and the password in email.password",
    538: 'the server wants encryption: set security = "starttls" or "tls"',
}
# After the message these speak of sender, recipient or way, the others of the message itself.
_CONFIG_SUBJECTS = frozenset({1, 2, 4})
_CONFIG_CODES = frozenset({530, 535, 538, 550, 551, 553})
_CONTENT_REFUSED = (7, 1)  # 5.7.1 is what filters say of a message; other 5.7.z are of the sender


class Refusal(NamedTuple):
    """An answer that was not the wanted one: `about` is the address that it is about, if any."""

    stage: Stage
    code: int
    text: str
    about: str = ""

    def __str__(self) -> str:
        about = f" <{self.about}>" if self.about else ""
        return f"the server answered {self.code} to {self.stage}{about}: {self.text}".rstrip(": ")


def refused(refusal: Refusal, *, wait_s: float) -> Outcome:
    """The outcome of an attempt that ended so; `wait_s` is the pause after a 4yz."""
    code, said = refusal.code, str(refusal)
    is_full = code == 552 and refusal.stage == "RCPT TO" and not _is_too_large(refusal)
    if 400 <= code < 500 or is_full:
        return Throttled(min(wait_s, CLOSING_WAIT_S) if code == 421 else wait_s, said)
    if not 500 <= code < 600:
        return InDoubt(said) if refusal.stage == "message" else NotSent(said)
    scope = _scope(refusal)
    return Rejected(f"email.{code}", scope, said, _hint(refusal, scope))


def _scope(refusal: Refusal) -> Scope:
    if _is_too_large(refusal):
        return "report"
    if refusal.stage != "message":
        return "config"
    enhanced = _enhanced(refusal.text)
    if enhanced is None or enhanced[0] == 0:
        return "config" if refusal.code in _CONFIG_CODES else "report"
    subject = enhanced[0]
    of_sender = subject == 7 and enhanced != _CONTENT_REFUSED
    return "config" if subject in _CONFIG_SUBJECTS or of_sender else "report"


def _is_too_large(refusal: Refusal) -> bool:
    """Whether the message is larger than the server takes, said to MAIL FROM or later."""
    if _enhanced(refusal.text) == (3, 4):
        return True
    bare = _enhanced(refusal.text) is None
    return refusal.code == 552 and bare and refusal.stage in {"MAIL FROM", "DATA", "message"}


def _enhanced(text: str) -> tuple[int, int] | None:
    """Subject and detail of the enhanced status code that the text begins with."""
    match = _ENHANCED.match(text)
    return (int(match[2]), int(match[3])) if match else None


def _hint(refusal: Refusal, scope: Scope) -> str:
    if scope == "report":
        return _HINT_SIZE if _is_too_large(refusal) else _HINT_REPORT
    return _HINTS_BY_CODE.get(refusal.code, _HINTS[refusal.stage])


def too_large(size: int, size_max: int) -> Rejected:
    """What is said of a message that the server's SIZE rules out before anything is sent."""
    detail = f"the message has {size} bytes, and the server takes {size_max}"
    return Rejected("email.size", "report", detail, _HINT_SIZE)
