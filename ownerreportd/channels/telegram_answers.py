"""Owns what the Bot API's answers mean: status and words to outcome, and texts compared.

Rules: only Telegram's own JSON (`ok`, `error_code`, `description`) counts as its word; anything
else came from something in between. The status decides first. A 400 says in words alone what is
wrong, and the words are no contract: what is not in the table is said of the report, never a yes.

Telegram answers 500 where a limit was met whose end it does not know: in doubt like any 500.

Sources: Bot API "Making requests", `ResponseParameters`; tdlib/telegram-bot-api Client.cpp
(`fail_query_with_error`, `check_chat_access`), ClientManager.cpp.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.channels.http import RETRY_AFTER_S, Answer, bounded_s
from ownerreportd.core.outcome import InDoubt, Rejected, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.core.outcome import Scope

Refusal: TypeAlias = Throttled | InDoubt | Rejected
_INVISIBLE: Final = {"Cc", "Cf", "Zs", "Zl", "Zp"}

HINT_LOGIN: Final = "put the bot's current token into token_file (@BotFather, /mybots, API Token)"
HINT_CHAT: Final = (
    "check the id in target, and that the bot was added there or you wrote /start to it"
)
HINT_MEMBER: Final = "add the bot to the chat again (a channel: as administrator), then it goes on"
HINT_BLOCKED: Final = "unblock the bot in Telegram, and send it /start"
HINT_RIGHTS: Final = (
    "allow the bot to send messages there (a channel: administrator, Post Messages)"
)
HINT_TOPIC: Final = "open the topic again, or set target to another one: <chat>:topic:<id>"
HINT_PROXY: Final = "check api_base and the proxy between here and Telegram"
_HINT_SERVER: Final = "the server at api_base does not take this bot; check api_base and token_file"
_HINT_BOT: Final = "look at the bot in @BotFather; it may not send at all"
_HINT_SPLIT: Final = "the part does not fit Telegram's form; `skip` it, and report it as a bug"
_HINT_UNKNOWN: Final = "look the words up in Telegram's documentation; `retry` or `skip`"

# Parts of a 400's description in lower case, the first that fits counts.
_CONFIG_WORDS: Final = (
    ("chat not found", HINT_CHAT),
    ("user not found", HINT_CHAT),
    ("peer_id_invalid", HINT_CHAT),
    ("chat_id", HINT_CHAT),
    ("channel_private", HINT_MEMBER),
    ("chat_forbidden", HINT_MEMBER),
    ("thread not found", HINT_TOPIC),
    ("topic", HINT_TOPIC),
    ("not enough rights", HINT_RIGHTS),
    ("no rights", HINT_RIGHTS),
    ("no write access", HINT_RIGHTS),
    ("need administrator rights", HINT_RIGHTS),
    ("chat_admin_required", HINT_RIGHTS),
    ("chat_write_forbidden", HINT_RIGHTS),
    ("chat_send_plain_forbidden", HINT_RIGHTS),
    ("chat_guest_send_forbidden", HINT_RIGHTS),
    ("chat_restricted", HINT_RIGHTS),
    ("user_banned_in_channel", HINT_RIGHTS),
    ("upgraded to a supergroup", "set target to the supergroup's id; it begins with -100"),
    ("frozen", _HINT_BOT),
    ("logged out", _HINT_SERVER),
    ("already been closed", _HINT_SERVER),
)
_REPORT_WORDS: Final = ("empty", "too long", "entit", "encoded in utf-8", "url", "media_caption")
_GONE_WORDS: Final = ("to edit not found", "message_id_invalid", "can't be edited")
_FORBIDDEN_WORDS: Final = (
    ("blocked by the user", HINT_BLOCKED),
    ("initiate conversation", HINT_BLOCKED),
    ("user is deactivated", HINT_CHAT),
    ("chat was deleted", HINT_CHAT),
    ("bots can't send messages to bots", HINT_CHAT),
    ("kicked", HINT_MEMBER),
    ("not a member", HINT_MEMBER),
)
_STATUS_HINTS: Final = {
    401: HINT_LOGIN, 404: HINT_LOGIN, 403: HINT_RIGHTS, 409: _HINT_SERVER, 421: _HINT_SERVER,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceError:
    """Telegram's own error, as its JSON says it."""

    code: int
    description: str
    parameters: dict[str, Any]

    @property
    def moved_to(self) -> str:
        """The id of the supergroup that the group has become; empty where it says nothing."""
        new_id = self.parameters.get("migrate_to_chat_id")
        is_id = isinstance(new_id, int) and not isinstance(new_id, bool)
        return str(new_id) if is_id and new_id else ""

    @property
    def is_unchanged(self) -> bool:
        """Whether the message already had just this text."""
        words = self.description.lower()
        return self.code == 400 and ("is not modified" in words or "not_modified" in words)

    @property
    def is_gone(self) -> bool:
        """Whether the message that was to be edited is not there, or cannot be edited."""
        words = self.description.lower()
        return self.code == 400 and any(each in words for each in _GONE_WORDS)


def service_error(answer: Answer) -> ServiceError | None:
    """Telegram's own error in the answer; None if something else wrote it."""
    body = answer.json()
    if not isinstance(body, dict) or body.get("ok") is not False:
        return None
    code, description = body.get("error_code"), body.get("description")
    if code != answer.status or not isinstance(description, str):
        return None
    parameters = body.get("parameters")
    return ServiceError(code, description, parameters if isinstance(parameters, dict) else {})


def result_of(answer: Answer) -> Any:
    """What a 200 with `ok` gives; None if it is not Telegram's."""
    body = answer.json() if answer.status == 200 else None
    return body.get("result") if isinstance(body, dict) and body.get("ok") is True else None


def refusal(answer: Answer, shown: Callable[[object], str]) -> Refusal:
    """What an answer that is no success proves. `shown` cleans foreign text."""
    error, status = service_error(answer), answer.status
    if status == 429:
        return Throttled(_retry_after_s(answer), "Telegram answered 429")
    if status < 300 or status == 408 or status >= 500:
        return InDoubt(f"{'Telegram' if error else 'something'} answered {status}")
    if error is None or status < 400:
        detail = f"{status} without Telegram's own error: something in between answered"
        return Rejected(f"http.{status}", "config", detail, HINT_PROXY)
    scope, hint = _remedy(status, error.description.lower())
    said = shown(f"Telegram answered {status}: {error.description}")
    return Rejected(f"telegram.{status}", scope, said, hint)


def _remedy(status: int, said: str) -> tuple[Scope, str]:
    if status == 403:
        found = next((hint for words, hint in _FORBIDDEN_WORDS if words in said), HINT_RIGHTS)
        return "config", found
    if status in _STATUS_HINTS:
        return "config", _STATUS_HINTS[status]
    config = next((hint for words, hint in _CONFIG_WORDS if words in said), None)
    if config is not None:
        return "config", config
    is_ours = any(words in said for words in _REPORT_WORDS) or status == 413
    return "report", _HINT_SPLIT if is_ours else _HINT_UNKNOWN


def _retry_after_s(answer: Answer) -> float:
    """How long to wait: `parameters.retry_after`, else `Retry-After`, else a minute."""
    body = answer.json()
    parameters = body.get("parameters") if isinstance(body, dict) else None
    asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(asked, int | float) and not isinstance(asked, bool):
        return bounded_s(asked)
    named = answer.retry_after_s()
    return RETRY_AFTER_S if named is None else named


def essence(text: str) -> str:
    """The text without all that cannot be seen, which Telegram may trim or take away."""
    visible = (c for c in text if unicodedata.category(c) not in _INVISIBLE)
    return unicodedata.normalize("NFC", "".join(visible))
