"""Owns the removal of secrets from whatever is shown: logs, events, status, errors.

Rule: a secret is found by its value, in every form in which software tends to write it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "[redacted]"
# Shorter than this, a secret is a syllable of ordinary words, and so are parts of its base64.
PART_LENGTH_MIN = 4
BASE64_BYTES_MIN = 8
URL_PIECE_LENGTH_MIN = 16


class Redactor:
    """Replaces every known secret by `[redacted]`, in texts and in nested JSON values.

    A secret under 4 characters is replaced only where it stands alone as a word: replaced
    everywhere it would take the sense out of every line, and show by its gaps what it is.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets; those known before stay, since old values go on turning up."""
        self._known |= {secret for secret in secrets if secret.strip()}
        forms = {form for secret in self._known for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        alternatives = "|".join(map(_alternative, longest_first))
        self._pattern = re.compile(alternatives) if alternatives else None

    def __call__(self, value: Any) -> Any:
        """The value without secrets; texts, lists, tuples and dictionaries keep their type."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(MARK, value)
        if isinstance(value, dict):
            return {self(key): self(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self(inner) for inner in value])
        return value


def _alternative(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= PART_LENGTH_MIN else rf"(?<!\w){escaped}(?!\w)"


def _forms(secret: str) -> set[str]:
    """The secret as it stands, in URLs, in JSON and in base64."""
    raw = secret.encode("utf-8", "surrogateescape")
    whole = {secret, *_pieces_of_a_url(secret)}
    quoted = {q for s in whole for q in (quote(s.encode("utf-8", "surrogateescape"), safe=""),)}
    quoted |= {quote(raw, safe="/"), quote_plus(raw), quote(raw, safe=":/?#[]@!$&'()*+,;=")}
    quoted |= {_lower_hex(form) for form in quoted}
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_json |= {form.replace("/", r"\/") for form in in_json}
    return whole | quoted | in_json | _base64_forms(raw)


def _lower_hex(form: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form)


def _pieces_of_a_url(secret: str) -> set[str]:
    """What of a secret URL is shown without the rest: its path, and what is secret in it."""
    try:
        url = urlsplit(secret)
    except ValueError:
        return set()
    if not (url.scheme and url.netloc):
        return set()
    path = url.path + (f"?{url.query}" if url.query else "")
    segments = re.split(r"[/?&=]", path)
    return {piece for piece in (path, *segments) if len(piece) >= URL_PIECE_LENGTH_MIN}


def _base64_forms(raw: bytes) -> set[str]:
    """The base64 of the secret, alone and as it comes out in the middle of something longer.

    What stands before it shifts it by 0, 1 or 2 bytes; the characters that depend on the secret
    alone are the same in every context.
    """
    whole = base64.b64encode(raw).decode("ascii")
    forms = {whole, whole.rstrip("=")} if len(raw) >= PART_LENGTH_MIN else {whole}
    if len(raw) >= BASE64_BYTES_MIN:
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + raw).decode("ascii")
            first = -(-shift * 8 // 6)
            last = (shift + len(raw)) * 8 // 6
            forms.add(encoded[first:last])
    return forms | {form.translate(str.maketrans("+/", "-_")) for form in forms}
