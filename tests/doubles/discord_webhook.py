"""A strict double of Discord's webhooks, beside the bot that may read what they posted.

Discord's pages "Webhook Resource" and "Gateway" (on message content) are what it follows: without
`wait=true` it answers 204 whatever becomes of the message, `nonce` is ignored, and a bot sees that
a webhook has written, but not what.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from doubles.discord import API, SITUATION_FAULTS, DiscordDouble
from doubles.discord_rules import (
    FORUM_TYPES,
    THREAD_TYPES,
    ApiError,
    Message,
    Place,
    checked_content,
    form_of,
    invalid_form,
    parent_of,
    snowflake,
)
from doubles.wire import Reply, Seen

WEBHOOK_ID = "3000000000000000001"
WEBHOOK_TOKEN = "made-up_webhook-token-0123456789"
WEBHOOK_PATH = re.compile(rf"{API}/webhooks/(\d+)/([\w-]+)")
WEBHOOK_MESSAGE_PATH = re.compile(rf"{API}/webhooks/(\d+)/([\w-]+)/messages/(\d+)")
FIELDS = {
    "content", "username", "avatar_url", "tts", "embeds", "allowed_mentions", "components",
    "attachments", "flags", "thread_name", "applied_tags", "poll", "nonce",
}  # fmt: skip
USERNAME_MAX = 80


class DiscordWebhookDouble(DiscordDouble):
    """One webhook in the first place, or in the parent of that where it is a thread.

    `with_bot` says whether the destination has the bot's token too, and with it read-back.
    """

    channel = "discord-webhook"

    def __init__(self, *, with_bot: bool = False, **options: Any) -> None:
        self.with_bot = with_bot
        self.exactly_once = with_bot
        self.webhook_id = WEBHOOK_ID
        self.webhook_token = WEBHOOK_TOKEN
        self.webhook_is_gone = False
        super().__init__(**options)

    # What a test asks and arranges.

    @property
    def url(self) -> str:
        return f"{self.base}/webhooks/{self.webhook_id}/{WEBHOOK_TOKEN}"

    @property
    def secrets(self) -> dict[str, str]:
        return {"url": self.url} | ({"bot_token": self.token} if self.with_bot else {})

    @property
    def writer_id(self) -> str:
        return self.webhook_id

    @property
    def destination(self) -> dict[str, Any]:
        place = self.place()
        target = {"target": f"thread:{place.id}"} if place.type in THREAD_TYPES else {}
        return {**target, "api_base": self.base, "timeout_s": 1}

    @staticmethod
    def is_create(seen: Seen) -> bool:
        return seen.method == "POST" and WEBHOOK_PATH.fullmatch(seen.path) is not None

    async def arrange(self, situation: str) -> bool:
        self.webhook_token, self.webhook_is_gone = WEBHOOK_TOKEN, False
        if situation in SITUATION_FAULTS or situation in {"accepts", "unreachable"}:
            return await super().arrange(situation)
        await super().arrange("accepts")
        if situation == "wrong_token":
            self.webhook_token = "another-token"
        elif situation in {"wrong_target", "refuses_config"}:
            self.webhook_is_gone = True
        else:
            return False  # a webhook has no permissions that could be missing
        return True

    # What a request meets.

    def _route(self, seen: Seen) -> Reply:
        if match := WEBHOOK_PATH.fullmatch(seen.path):
            self._check_agent(seen)
            self._only("GET", "POST", seen)
            self._check_webhook(match[1], match[2])
            if seen.method == "GET":
                return self._limited(seen, match[1], self._webhook_object)
            return self._execute(seen)
        if match := WEBHOOK_MESSAGE_PATH.fullmatch(seen.path):
            self._check_agent(seen)
            self._only("GET", seen)
            self._check_webhook(match[1], match[2])
            return self._limited(seen, match[1], lambda: self._own_message(match[3], seen))
        return super()._route(seen)

    def _check_webhook(self, webhook_id: str, token: str) -> None:
        if webhook_id != self.webhook_id or self.webhook_is_gone:
            raise ApiError(404, 10015, "Unknown Webhook")
        if token != self.webhook_token:
            raise ApiError(401, 50027, "Invalid Webhook Token")

    @property
    def _home(self) -> Place:
        """The webhook's own channel."""
        place = self.place()
        return parent_of(place) if place.type in THREAD_TYPES else place

    def _webhook_object(self) -> dict[str, Any]:
        home = self._home
        return {
            "id": self.webhook_id, "type": 1, "channel_id": home.id, "guild_id": home.guild_id,
            "name": "reports", "avatar": None, "application_id": None,
            "token": self.webhook_token,
        }  # fmt: skip

    def _own_message(self, message_id: str, seen: Seen) -> dict[str, Any]:
        place = seen.query.get("thread_id", self._home.id)
        for message in self.messages:
            if (message.id, message.author, message.channel) == (message_id, WEBHOOK_ID, place):
                return self._message_object(message)
        raise ApiError(404, 10008, "Unknown Message")

    # Creating.

    def _execute(self, seen: Seen) -> Reply:
        for name in seen.query.keys() - {"wait", "thread_id", "with_components"}:
            raise invalid_form(name, "UNKNOWN_FIELD", "No such field.")
        if seen.query.get("wait") in {"true", "True", "1"}:
            return self._limited(seen, self.webhook_id, partial(self._created, seen))
        try:
            reply = self._limited(seen, self.webhook_id, partial(self._created, seen))
        except ApiError:
            return Reply(204, {}, b"")
        return reply if reply.status == 429 else Reply(204, {}, b"")

    def _created(self, seen: Seen) -> dict[str, Any]:
        self._step("arrived")
        form = form_of(seen, FIELDS)
        form.pop("nonce", None)
        _check_sender(form)
        place = self._place_for(seen, form)
        content = checked_content(form)
        form.setdefault("allowed_mentions", {"parse": ["users"]})
        message = self._record(place, self.webhook_id, content, form)
        self._step("taken")
        return self._message_object(message)

    def _place_for(self, seen: Seen, form: dict[str, Any]) -> Place:
        home, thread_id = self._home, snowflake(seen.query, "thread_id")
        if home.gone:
            raise ApiError(404, 10003, "Unknown Channel")
        if thread_id is None:
            if home.type in FORUM_TYPES and not form.get("thread_name"):
                shown = "Webhooks posted to forum channels must have a thread_name or thread_id"
                raise ApiError(400, 220001, shown)
            return home
        place = self.places.get(str(thread_id))
        if place is None or place.gone or place.type not in THREAD_TYPES:
            raise ApiError(404, 10003, "Unknown Channel")
        if parent_of(place).id != home.id:
            raise ApiError(404, 10003, "Unknown Channel")
        if place.locked:
            raise ApiError(403, 160005, "Thread is locked")
        place.archived = False
        return place

    def _message_object(self, message: Message, *, with_nonce: bool = False) -> dict[str, Any]:
        shown = super()._message_object(message, with_nonce=with_nonce)
        if message.author == self.webhook_id:
            shown["webhook_id"] = self.webhook_id
        return shown


def _check_sender(form: dict[str, Any]) -> None:
    name = form.get("username", "x")
    if not isinstance(name, str) or not 1 <= len(name) <= USERNAME_MAX:
        raise invalid_form("username", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 80.")
    if re.search("clyde|discord", name, re.IGNORECASE):
        raise invalid_form("username", "USERNAME_INVALID_CONTAINS", "Cannot contain that word.")
    picture = form.get("avatar_url", "https://x")
    if not isinstance(picture, str) or not picture.startswith(("http://", "https://")):
        raise invalid_form("avatar_url", "URL_TYPE_INVALID_URL", "Not a well formed URL.")
