"""A strict double of Discord's bot API, as a real HTTP server on loopback.

It follows the documented contract of API v10 for the requests a bot needs to post and read back
messages, and refuses what Discord refuses. Inside a test: `async with DiscordDouble() as discord`;
for the tests over all channels it is a `doubles.service.Service`. With `bucket=(N, P)` each method
of each channel takes N requests in any P seconds.
As a process: `python tests/doubles/discord.py --port 0 --state-dir DIR`, which prints its port on
the first line and the port of a second, always reachable control endpoint on the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import signal
import sys
import time
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if __name__ == "__main__":  # as a program, this folder is on the path in the place of its parent
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from doubles.discord_rules import (
    BOT_ROLE,
    SEE_AND_READ,
    SEND,
    THREAD_TYPES,
    ApiError,
    Message,
    Place,
    bounded_limit,
    check_may_send,
    checked_content,
    fired_mentions,
    form_of,
    overwrites,
    parent_of,
    snowflake,
)
from doubles.faults import NAMED, error
from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/api/v10"
EPOCH_MS = 1_420_070_400_000
ME_PATH = re.compile(rf"{API}/users/@me")
CREATE_PATH = re.compile(rf"{API}/channels/(\d+)/messages")
MESSAGE_PATH = re.compile(rf"{API}/channels/(\d+)/messages/(\d+)")
CHANNEL_PATH = re.compile(rf"{API}/channels/(\d+)")
GUILD_PATH = re.compile(rf"{API}/guilds/(\d+)")
MEMBER_PATH = re.compile(rf"{API}/guilds/(\d+)/members/(\d+)")
SITUATION_FAULTS = {
    "throttles": NAMED["429"],
    "drops": NAMED["accept_then_drop"],
    "silent": NAMED["accept_then_hang"],
    "refuses_report": error(400, 200000, "Message was blocked by AutoMod"),
}
USER_AGENT = re.compile(r"DiscordBot \(\S+, \S+\).*")


class DiscordDouble:
    """The service. Every number and permission can be changed while it runs.

    `throttled` counts the requests that were answered 429 for their bucket.
    """

    channel = "discord"
    exactly_once = True

    def __init__(
        self,
        *,
        token: str = "MTA5.made-up.token",
        bot_id: str = "1000000000000000001",
        port: int = 0,
        window_s: float = 180.0,
        bucket: tuple[int, float] = (10_000, 5.0),
        state_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.bot_id = bot_id
        self.window_s = window_s
        self.bucket_max, self.bucket_period_s = bucket
        self.throttled = 0
        self.token_is_revoked = False
        self.has_content_intent = False
        self.owner_id = "2000000000000000001"
        self.role_bits = SEND
        self.places = {"1480577550445969541": Place("1480577550445969541")}
        self.all_messages: list[Message] = []
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.get_faults: deque[Fault | None] = deque()
        self.get_always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.on_step: Callable[[str], None] | None = None
        self._clock = clock
        self._shift_s = 0.0
        self._buckets: dict[str, list[float]] = {}
        self._last_id = 0
        self._journal = state_dir / "messages.jsonl" if state_dir else None
        self.wire = Wire(self._answer, self._fault_for, port=port)
        self._load()

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    # What a test asks.

    @property
    def port(self) -> int:
        return self.wire.port

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}{API}"

    @property
    def messages(self) -> list[Message]:
        return [m for m in self.all_messages if not m.deleted]

    @property
    def contents(self) -> list[str]:
        return [m.content for m in self.messages]

    @property
    def requests(self) -> list[Seen]:
        return self.wire.requests

    @property
    def attempts(self) -> list[Seen]:
        """The requests that wanted to create a message, whatever became of them."""
        return [r for r in self.requests if self.is_create(r)]

    @staticmethod
    def is_create(seen: Seen) -> bool:
        return seen.method == "POST" and CREATE_PATH.fullmatch(seen.path) is not None

    # What the tests over all channels ask and arrange.

    @property
    def secrets(self) -> dict[str, str]:
        return {"token": self.token}

    @property
    def destination(self) -> dict[str, Any]:
        target = f"channel:{next(iter(self.places))}"
        return {"target": target, "api_base": self.base, "timeout_s": 1}

    @property
    def texts(self) -> list[str]:
        return [m.content for m in self.messages if m.channel == next(iter(self.places))]

    async def arrange(self, situation: str) -> bool:
        self.always = self.get_always = None
        self.token_is_revoked = False
        self.place(gone=False, send=True, view=True)
        await self.accept_again()
        if situation in SITUATION_FAULTS:
            self.always = SITUATION_FAULTS[situation]
            return True
        return self._arrange_mistake(situation)

    def _arrange_mistake(self, situation: str) -> bool:
        if situation == "unreachable":
            self.refuse()
        elif situation == "wrong_token":
            self.token_is_revoked = True
        elif situation == "wrong_target":
            self.place(gone=True)
        elif situation in {"refuses_config", "no_permission"}:
            self.place(**{"view" if situation == "refuses_config" else "send": False})
        else:
            return situation == "accepts"
        return True

    # What a test arranges.

    def refuse(self) -> None:
        self.wire.refuse()

    async def accept_again(self) -> None:
        await self.wire.accept_again()

    def now(self) -> float:
        return self._clock() + self._shift_s

    def advance(self, seconds: float) -> None:
        """Move the service's clock, for its window and its buckets."""
        self._shift_s += seconds

    def place(self, channel_id: str | None = None, **changes: Any) -> Place:
        """The channel (the first one without an id), made if need be, with these changes."""
        channel_id = channel_id or next(iter(self.places))
        place = self.places.setdefault(channel_id, Place(channel_id))
        for name, value in changes.items():
            if not hasattr(place, name):
                raise AttributeError(name)
            setattr(place, name, value)
        return place

    def delete(self, message_id: str) -> None:
        for message in self.all_messages:
            if message.id == message_id:
                message.deleted = True
                self._write_down(message)

    @property
    def writer_id(self) -> str:
        """Who writes what this double is about."""
        return self.bot_id

    def post(self, content: str, *, author: str | None = None, channel: str = "") -> Message:
        """A message that came another way: by hand, or by another program with the same token."""
        place = self.place(channel or None)
        return self._record(place, author or self.writer_id, content, {})

    def clear(self) -> None:
        self.all_messages.clear()
        self.wire.requests.clear()
        self._buckets.clear()
        if self._journal:
            self._journal.write_text("")

    # What a request meets.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if not seen.path.startswith(API):
            return None
        if self.fault_if is not None:
            return self.fault_if(seen)
        if self.is_create(seen):
            return self.faults.popleft() if self.faults else self.always
        return self.get_faults.popleft() if self.get_faults else self.get_always

    async def _answer(self, seen: Seen) -> Reply:
        if seen.path.startswith("/_control/"):
            return await self.control(seen)
        try:
            reply = self._route(seen)
        except ApiError as error:
            reply = error.reply
        reply.headers.setdefault("Via", "1.1 google")
        reply.headers.setdefault("Date", formatdate(self.now(), usegmt=True))
        return reply

    def _route(self, seen: Seen) -> Reply:
        self._check_agent(seen)
        self._authorize(seen)
        if match := CREATE_PATH.fullmatch(seen.path):
            self._only("GET", "POST", seen)
            ask = self._create if seen.method == "POST" else self._list
            return self._limited(seen, match[1], lambda: ask(match[1], seen))
        self._only("GET", seen)
        for path, ask in self._asked.items():
            if match := path.fullmatch(seen.path):
                return self._limited(seen, path.pattern, partial(ask, *match.groups()))
        raise ApiError(404, 0, "404: Not Found")

    @property
    def _asked(self) -> dict[re.Pattern[str], Callable[..., Any]]:
        return {
            ME_PATH: lambda: self._user(self.bot_id),
            CHANNEL_PATH: lambda channel: self._channel_object(self._visible(channel)),
            GUILD_PATH: self._guild_object,
            MEMBER_PATH: self._member_object,
            MESSAGE_PATH: self._get_message,
        }

    @staticmethod
    def _check_agent(seen: Seen) -> None:
        if not USER_AGENT.fullmatch(seen.headers.get("user-agent", "")):
            raise ApiError(403, 40333, "internal network error")

    @staticmethod
    def _only(*allowed: Any) -> None:
        *methods, seen = allowed
        if seen.method not in methods:
            raise ApiError(405, 0, "405: Method Not Allowed")

    def _authorize(self, seen: Seen) -> None:
        given = seen.headers.get("authorization", "")
        if given != f"Bot {self.token}" or self.token_is_revoked:
            raise ApiError(401, 0, "401: Unauthorized")

    # Rate limits: one bucket per method and top-level resource.

    def _limited(self, seen: Seen, resource: str, answer: Callable[[], Any]) -> Reply:
        bucket = f"{seen.method}:{resource}"
        now = self.now()
        used = [at for at in self._buckets.get(bucket, []) if at > now - self.bucket_period_s]
        if len(used) >= self.bucket_max:
            return self._too_fast(used, bucket, now)
        used.append(now)
        self._buckets[bucket] = used
        headers = self._bucket_headers(used, bucket, now)
        try:
            return Reply.of_json(200, answer(), headers)
        except ApiError as error:
            error.reply.headers.update(headers)
            raise

    def _bucket_headers(self, used: list[float], bucket: str, now: float) -> dict[str, str]:
        reset_at = used[0] + self.bucket_period_s
        return {
            "X-RateLimit-Limit": str(self.bucket_max),
            "X-RateLimit-Remaining": str(max(0, self.bucket_max - len(used))),
            "X-RateLimit-Reset": f"{reset_at:.3f}",
            # Rounded up: who waits so long must not be too early.
            "X-RateLimit-Reset-After": f"{math.ceil((reset_at - now) * 1000) / 1000:.3f}",
            "X-RateLimit-Bucket": f"{hash(bucket) & 0xFFFFFFFFFFFFFFFF:016x}",
        }

    def _too_fast(self, used: list[float], bucket: str, now: float) -> Reply:
        self.throttled += 1
        after_s = max(0.001, used[0] + self.bucket_period_s - now)
        body = {"message": "You are being rate limited.", "retry_after": round(after_s, 3)}
        headers = self._bucket_headers(used, bucket, now)
        headers |= {"Retry-After": str(int(after_s) + 1), "X-RateLimit-Scope": "user"}
        return Reply.of_json(429, {**body, "global": False}, headers)

    # Reading.

    def _visible(self, channel_id: str) -> Place:
        threads = [each for each in self.places.values() if each.type in THREAD_TYPES]
        parents = {parent_of(each).id: parent_of(each) for each in threads}
        place = self.places.get(channel_id) or parents.get(channel_id)
        if place is None or place.gone:
            raise ApiError(404, 10003, "Unknown Channel")
        if not place.view:
            raise ApiError(403, 50001, "Missing Access")
        return place

    def _get_message(self, channel_id: str, message_id: str) -> Any:
        place = self._visible(channel_id)
        if not place.history:
            raise ApiError(403, 50013, "Missing Permissions")
        for message in self.messages:
            if message.id == message_id and message.channel == channel_id:
                return self._seen_by_bot(message)
        raise ApiError(404, 10008, "Unknown Message")

    def _list(self, channel_id: str, seen: Seen) -> Any:
        place = self._visible(channel_id)
        limit = bounded_limit(seen.query.get("limit", "50"))
        after, before = (snowflake(seen.query, name) for name in ("after", "before"))
        if not place.history:
            return []
        ids = sorted((m for m in self.messages if m.channel == channel_id), key=lambda m: int(m.id))
        if after is not None:  # the page that follows it, as the service pages upwards
            page = [m for m in ids if int(m.id) > after][:limit]
        else:
            page = [m for m in ids if before is None or int(m.id) < before][-limit:]
        return [self._seen_by_bot(m) for m in reversed(page)]

    def _seen_by_bot(self, message: Message) -> dict[str, Any]:
        """Without the privileged intent only the bot's own messages show what they say."""
        shown = self._message_object(message)
        if message.author != self.bot_id and not self.has_content_intent:
            shown["content"] = ""
        return shown

    # Creating.

    def _create(self, channel_id: str, seen: Seen) -> Any:
        self._step("arrived")
        form = form_of(seen)
        place = self._visible(channel_id)
        check_may_send(place)
        content = checked_content(form)
        nonce = form.get("nonce")
        if form.get("enforce_nonce") and nonce is not None:
            earlier = self._earlier(nonce)
            if earlier is not None and earlier.deleted:
                raise ApiError(404, 10008, "Unknown Message")
            if earlier is not None:
                return self._message_object(earlier, with_nonce=True)
        message = self._record(place, self.bot_id, content, form)
        self._step("taken")
        return self._message_object(message, with_nonce=True)

    def _earlier(self, nonce: str | int) -> Message | None:
        since = self.now() - self.window_s
        for message in self.all_messages:
            if message.nonce == nonce and message.author == self.bot_id and message.at >= since:
                return message
        return None

    def _record(self, place: Place, author: str, content: str, form: dict[str, Any]) -> Message:
        message = Message(
            id=self._next_id(),
            channel=place.id,
            author=author,
            content=content,
            at=self.now(),
            nonce=form.get("nonce"),
            flags=form.get("flags", 0),
            fired=fired_mentions(content, form.get("allowed_mentions")),
        )
        self.all_messages.append(message)
        self._write_down(message)
        return message

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)

    def _next_id(self) -> str:
        from_clock = (int(self.now() * 1000) - EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, from_clock)
        return str(self._last_id)

    # How things look from outside.

    def _user(self, user_id: str) -> dict[str, Any]:
        is_bot = user_id == self.bot_id
        return {"id": user_id, "username": "reporter", "discriminator": "0", "bot": is_bot}

    def _channel_object(self, place: Place) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": place.id, "type": place.type, "name": place.name}
        last = [m.id for m in self.all_messages if m.channel == place.id]
        shown |= {"guild_id": place.guild_id, "last_message_id": last[-1] if last else None}
        if place.type in THREAD_TYPES:
            shown["thread_metadata"] = {"archived": place.archived, "locked": place.locked}
            shown["parent_id"] = parent_of(place).id
        else:
            shown["permission_overwrites"] = overwrites(place, self.bot_id)
        return shown

    def _guild_object(self, guild_id: str) -> dict[str, Any]:
        if guild_id not in {place.guild_id for place in self.places.values()}:
            raise ApiError(404, 10004, "Unknown Guild")
        return {"id": guild_id, "owner_id": self.owner_id, "roles": self.roles(guild_id)}

    def _member_object(self, guild_id: str, user_id: str) -> dict[str, Any]:
        if guild_id not in {place.guild_id for place in self.places.values()}:
            raise ApiError(404, 10004, "Unknown Guild")
        if user_id != self.bot_id:
            raise ApiError(404, 10007, "Unknown Member")
        return {"user": self._user(user_id), "roles": [BOT_ROLE]}

    def roles(self, guild_id: str) -> list[dict[str, Any]]:
        """Everybody may see and read; what the bot may beyond that is its role's."""
        return [
            {"id": guild_id, "name": "@everyone", "permissions": str(SEE_AND_READ)},
            {"id": BOT_ROLE, "name": "reports", "permissions": str(self.role_bits)},
        ]

    def _message_object(self, message: Message, *, with_nonce: bool = False) -> dict[str, Any]:
        at = datetime.fromtimestamp(message.at, UTC)
        shown: dict[str, Any] = {
            "id": message.id, "type": 0, "channel_id": message.channel,
            "author": self._user(message.author), "content": message.content,
            "timestamp": at.isoformat(), "edited_timestamp": None, "tts": False,
            "mention_everyone": bool(message.fired.get("everyone")),
            "mentions": [{"id": user} for user in message.fired.get("users", [])],
            "mention_roles": message.fired.get("roles", []),
            "attachments": [], "embeds": [], "components": [], "pinned": False,
            "flags": message.flags,
        }  # fmt: skip
        if with_nonce and message.nonce is not None:
            shown["nonce"] = message.nonce
        return shown

    # What outlives the process.

    def _write_down(self, message: Message) -> None:
        if self._journal:
            with self._journal.open("a") as journal:
                journal.write(json.dumps(asdict(message)) + "\n")

    def _load(self) -> None:
        if self._journal is None or not self._journal.exists():
            return
        kept = [Message(**json.loads(line)) for line in self._journal.read_text().splitlines()]
        self.all_messages = list({m.id: m for m in kept}.values())
        self._last_id = max((int(m.id) for m in kept), default=0)

    # The control endpoint, for tests that drive the double from another process.

    async def control(self, seen: Seen) -> Reply:
        ask = seen.json() if seen.body else {}
        verb = seen.path.removeprefix("/_control/")
        if verb == "messages":
            return Reply.of_json(200, [asdict(m) for m in self.all_messages])
        if verb == "requests":
            shown = [{**_shown(r), "create": self.is_create(r)} for r in self.requests]
            return Reply.of_json(200, shown)
        if verb == "faults":
            self._set_faults(ask)
        elif verb == "place":
            self.place(**ask)
        elif verb == "settings":
            for name in ask.keys() & {"window_s", "bucket_max", "bucket_period_s", "token"}:
                setattr(self, name, ask[name])
        elif verb == "advance":
            self.advance(ask["seconds"])
        elif verb == "post":
            return Reply.of_json(200, asdict(self.post(**ask)))
        elif verb in {"clear", "delete", "refuse"}:
            getattr(self, verb)(**ask)
        elif verb == "accept_again":
            await self.accept_again()
        else:
            return Reply.of_json(404, {"message": f"no such verb: {verb}"})
        return Reply.of_json(200, {})

    def _set_faults(self, ask: dict[str, Any]) -> None:
        if "next" in ask:
            self.faults = deque(_fault(f) for f in ask["next"])
        if "always" in ask:
            self.always = _fault(ask["always"])
        if "get_next" in ask:
            self.get_faults = deque(_fault(f) for f in ask["get_next"])
        if "get_always" in ask:
            self.get_always = _fault(ask["get_always"])


def _fault(told: str | dict[str, Any] | None) -> Fault | None:
    if told is None:
        return None
    return NAMED[told] if isinstance(told, str) else Fault(**told)


def _shown(seen: Seen) -> dict[str, Any]:
    return {
        "number": seen.number, "connection": seen.connection, "at": seen.at,
        "method": seen.method, "path": seen.path, "query": seen.query,
        "headers": seen.headers, "body": seen.body.decode("utf-8", "replace"),
    }  # fmt: skip


async def _serve(double: DiscordDouble) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with double, Wire(double.control, lambda _: None) as control:
        sys.stdout.write(f"{double.port}\n{control.port}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A strict double of Discord's bot API.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state-dir", type=Path, help="keeps the messages over a restart")
    parser.add_argument("--token", default="MTA5.made-up.token")
    parser.add_argument("--window-s", type=float, default=180.0)
    parser.add_argument("--channel", action="append", default=[], help="one more channel id")
    asked = parser.parse_args()
    double = DiscordDouble(
        port=asked.port, token=asked.token, window_s=asked.window_s, state_dir=asked.state_dir
    )
    for channel_id in asked.channel:
        double.place(channel_id)
    asyncio.run(_serve(double))


if __name__ == "__main__":
    main()
