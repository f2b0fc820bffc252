"""Owns the process in which Apprise runs: asked on standard input, answers in lines of JSON.

`{"service"}`: the URL is known. `{"begun"}`: from here on something may have been sent.
`{"result"}`: what Apprise said. `{"wrong"}`: why nothing was begun: `missing`, `url`, `long`.

Rule: nothing but these lines reaches the parent, and none of them holds the URL.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from apprise import NotifyBase, NotifyFormat


def main() -> None:
    """Answer one question, then end at once, whatever Apprise still has running."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    asked = json.loads(sys.stdin.buffer.read())
    _answer(asked, say)
    os._exit(0)


def _answer(asked: dict[str, str], say: Callable[..., None]) -> None:
    try:
        import apprise
    except ImportError:
        say(wrong="missing")
        return
    asset = apprise.AppriseAsset(
        async_mode=False,
        interpret_escapes=False,
        interpret_emojis=False,
        default_service_retry=0,
        storage_mode="memory",
        allow_templates=False,
        payload_max_size=0,
    )
    service = apprise.Apprise.instantiate(asked["url"], asset=asset)
    if service is None:
        say(wrong="url")
        return
    service.retry = 0
    service.optional = False
    body, body_format = _body(service, asked["text"])
    say(service=str(service.service_name))
    if (limit := _exceeded(service, body)) is not None:
        say(wrong="long", limit=limit)
    elif asked["verb"] == "send":
        say(begun=True)
        say(result=_notify(service, body, body_format))


def _body(service: NotifyBase, text: str) -> tuple[str, NotifyFormat]:
    """The text as the service takes it; HTML is ours, which shows all of the text."""
    from apprise import NotifyFormat

    chosen = service.resolve_format(NotifyFormat.MARKDOWN)
    if chosen != NotifyFormat.HTML:
        return text, NotifyFormat.MARKDOWN
    from ownerreportd.render.html import fragment_of

    return fragment_of(text), NotifyFormat.HTML


def _exceeded(service: NotifyBase, body: str) -> int | None:
    """The limit that the body is over: Apprise would let the service cut it, or cut it itself."""
    if len(body) > service.body_maxlen:
        return int(service.body_maxlen)
    lines = service.body_max_line_count
    if lines and body.count("\n") >= lines:
        return sum(map(len, body.split("\n")[:lines]))
    return None


def _notify(service: NotifyBase, body: str, body_format: NotifyFormat) -> bool:
    try:
        return bool(service.notify(body=body, body_format=body_format))
    except Exception:  # noqa: BLE001 - whatever a plugin raises, it has begun
        return False


if __name__ == "__main__":
    main()
