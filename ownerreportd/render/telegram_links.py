"""Owns which addresses Telegram makes a link of.

Rule: one address that Telegram refuses makes it refuse the whole message, so what is not surely
taken is shown as text. A link to a user (`tg://user?id=`) would ping, and is text too.

Source: tdlib/td LinkManager.cpp (`check_link`, `get_link_user_id`), HttpUrl.cpp (`parse_url`).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

ADDRESS_MAX: Final = 2048
_SHOWN_MAX: Final = 60
_HOST: Final = re.compile(r"[a-z0-9._\u00a1-\uffff-]*[a-z0-9\u00a1-\uffff]", re.IGNORECASE)
_APP: Final = re.compile(r"tg://(?!user(?![\w-]))[a-z0-9_-]+(?:\?[!-~]*)?", re.IGNORECASE)


def is_linkable(address: str) -> bool:
    """Whether Telegram surely takes it as a `text_link` that pings nobody."""
    if len(address) > ADDRESS_MAX or not address.isprintable() or " " in address:
        return False
    if _APP.fullmatch(address):
        return True
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    host = parts.netloc.partition(":")[0]  # one with a user in it is no plain host
    plain = bool(_HOST.fullmatch(host)) and "." in host.strip(".") and ".." not in host
    has_port = port != 0 and not parts.netloc.endswith(":")
    return parts.scheme in {"http", "https"} and plain and has_port


def shown_address(address: str) -> str:
    """The address as text."""
    shown = re.sub(r"^mailto:", "", address, flags=re.IGNORECASE)
    if shown.lower().startswith("data:"):
        return shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 1] + "…"
    return shown
