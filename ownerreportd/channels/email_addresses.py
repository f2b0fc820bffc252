"""Owns what an address of a mail may look like, and the one form of a list of them.

Rule: bare addresses alone, without names, quotes or comments; a domain in other scripts is written
in ASCII (IDNA), so that only a local part can need SMTPUTF8.

Sources: RFC 5321 §4.1.2 and §4.5.3.1 (dot-string, lengths), RFC 6068 (mailto), RFC 6531 (UTF-8).
"""

from __future__ import annotations

import re
from urllib.parse import unquote

RECIPIENTS_MAX = 100  # what every server must take (RFC 5321 §4.5.3.1.8)
_LOCAL_MAX = 64
_DOMAIN_MAX = 255
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def address_of(text: str) -> str:
    """The address in its one form.

    Raises:
        ValueError: if it is none; the message names it.
    """
    address = text.strip()
    local, at, domain = address.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        ascii_domain = ""
    labels = ascii_domain.split(".")
    fits = (
        at
        and _LOCAL.fullmatch(local)
        and len(local.encode("utf-8", "replace")) <= _LOCAL_MAX
        and len(ascii_domain) <= _DOMAIN_MAX
        and all(_LABEL.fullmatch(label) for label in labels)
        and local.isprintable()
    )
    if not fits:
        raise ValueError(f"{address!r} is no mail address")
    return f"{local}@{ascii_domain}"


def addresses_of(target: str) -> list[str]:
    """Each of `a@x, b@y` or `mailto:a@x,b@y` once, in that order.

    Raises:
        ValueError: if one of them is no address, there is none, or there are too many.
    """
    text = target.strip()
    if text[:7].lower() == "mailto:":
        text, question, _ = text[7:].partition("?")
        if question:
            raise ValueError("a mailto: with headers is not understood")
        # Parted before it is decoded: a %2C belongs to an address (RFC 6068 §2).
        found = [address_of(unquote(each)) for each in text.split(",")]
    else:
        found = [address_of(each) for each in text.split(",")]
    unique = list(dict.fromkeys(found))
    if len(unique) > RECIPIENTS_MAX:
        raise ValueError(f"{len(unique)} addresses; a message takes {RECIPIENTS_MAX}")
    return unique


def domain_of(address: str) -> str:
    """What stands behind the `@`."""
    return address.rpartition("@")[2]
