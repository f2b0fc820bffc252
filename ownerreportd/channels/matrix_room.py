"""Owns one room as one account sees it: whose token it is, which room is meant, may one post.

Rules: nothing here changes anything at the homeserver. What cannot change is asked once; whether
the room is encrypted is asked again after a minute, since it can become so at any time.

Source: the Client-Server API (v1.18), "whoami", "directory/room", "rooms/{roomId}/state".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import anyio

from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.matrix_answers import NOT_MATRIX, Failed, failed
from ownerreportd.core.outcome import Receipt

API: Final = "/_matrix/client/v3"
ENCRYPTION_S: Final = 60.0
_EVENT_ID: Final = re.compile(r"\$[!-~]{1,254}")
_USER_ID: Final = re.compile(r"@[^:\s]*:\S+")
_ROOM_ID: Final = re.compile(r"![!-~]{1,254}")
_HINT_ENCRYPTED: Final = (
    "use a room without encryption (it cannot be switched off again), or another channel; "
    "ownerreportd would send in plain text what the room promises to keep secret, so it does not"
)
ENCRYPTED: Final = Failed("matrix.encrypted", "the room is encrypted", _HINT_ENCRYPTED)


@dataclass(frozen=True, slots=True)
class Place:
    """The target taken apart: a room by id or alias, and the thread's first event, if any."""

    room: str
    thread: str = ""

    @property
    def is_alias(self) -> bool:
        """Whether the room is named by an alias, which has to be looked up."""
        return self.room.startswith("#")


@dataclass(frozen=True, slots=True)
class User:
    """Whose token it is. `clock_off` is by how much the homeserver's clock and ours differ."""

    id: str
    device_id: str
    clock_off: timedelta

    @property
    def server(self) -> str:
        """The name of the homeserver."""
        return self.id.partition(":")[2]


class Room:
    """Asks a homeserver about one room."""

    def __init__(self, http: HttpClient, homeserver: str, place: Place, device_id: str) -> None:
        self._http = http
        self._base = homeserver.rstrip("/") + API
        self.place = place
        self._device_id = device_id
        self._user: User | None = None
        self._room_id = "" if place.is_alias else place.room
        self._open_until = 0.0

    def address(self, *words: str) -> str:
        """The address of something in the room, whose id must be known."""
        path = "/".join(quote(word, safe="") for word in ("rooms", self._room_id, *words))
        return f"{self._base}/{path}"

    async def hindrance(self) -> Failed | None:
        """Why nothing may be posted now; None if it may. Usually without asking anything."""
        user = await self.user()
        if isinstance(user, Failed):
            return user
        known = await self.room_id()
        if isinstance(known, Failed):
            return known
        if anyio.current_time() < self._open_until:
            return None
        return await self.encryption()

    async def user(self) -> User | Failed:
        """Whose token it is; a failure too if it is another device's than the configured one."""
        if self._user is not None:
            return self._user
        answer = await self.get(f"{self._base}/account/whoami")
        if isinstance(answer, Failed):
            return answer
        found = _user(answer)
        if found is None:
            return NOT_MATRIX
        if self._device_id and found.device_id != self._device_id:
            detail = f"the token is of device {found.device_id!r}, not {self._device_id!r}"
            hint = f"log in with device_id {self._device_id}, or set device_id to the token's"
            return Failed("matrix.device", self._http.shown(detail), hint)
        self._user = found
        return found

    async def room_id(self) -> str | Failed:
        """The room's id. An alias is looked up once: all parts go to the room that it meant."""
        if not self._room_id:
            found = await self.resolved()
            if isinstance(found, Failed):
                return found
            self._room_id = found
        return self._room_id

    async def resolved(self) -> str | Failed:
        """The room that the alias leads to now."""
        alias = quote(self.place.room, safe="")
        answer = await self.get(f"{self._base}/directory/room/{alias}")
        if isinstance(answer, Failed):
            return answer
        body = answer.json()
        found = body.get("room_id") if isinstance(body, dict) else None
        if not isinstance(found, str) or not _ROOM_ID.fullmatch(found):
            return NOT_MATRIX
        return found

    async def encryption(self) -> Failed | None:
        """The room's encryption or what keeps us from knowing, as a failure; None without it."""
        state = await self.state("m.room.encryption")
        if isinstance(state, Failed):
            return state
        if state is not None:
            self._open_until = 0.0
            return ENCRYPTED
        self._open_until = anyio.current_time() + ENCRYPTION_S
        return None

    async def state(
        self, kind: str, key: str = "", *, whole: bool = False
    ) -> dict[str, Any] | Failed | None:
        """The content of the room's state of that kind; None where the room has none.

        Of a `whole` state there is also its sender, if the homeserver knows v1.16.
        """
        query = "?format=event" if whole else ""
        answer = await self.get(self.address("state", kind, *([key] if key else [])) + query)
        if isinstance(answer, Failed):
            return None if answer.code == "matrix.M_NOT_FOUND" else answer
        body = answer.json()
        return body if isinstance(body, dict) else NOT_MATRIX

    async def get(self, address: str) -> Answer | Failed:
        """An answer 200, or what another one means."""
        answer = await self._http.exchange("GET", address)
        if isinstance(answer, Answer) and answer.status == 200:
            return answer
        return failed(answer, self._http.shown)

    def receipt(self, event_id: str, note: str = "") -> Receipt:
        """The receipt of an event here; its link names a server that is in the room."""
        link = f"https://matrix.to/#/{quote(self._room_id, safe='!:')}/{quote(event_id, safe='$:')}"
        if self._user is not None:
            link += f"?via={quote(self._user.server, safe=':')}"
        return Receipt(event_id, link=link, note=note)


def event_id_of(body: Any) -> str | None:
    """The id in an answer or an event, None if there is none."""
    found = body.get("event_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else None


def _user(answer: Answer) -> User | None:
    body = answer.json()
    user_id = body.get("user_id") if isinstance(body, dict) else None
    if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
        return None
    now = datetime.now(UTC)
    device_id = body.get("device_id")
    return User(
        user_id,
        device_id if isinstance(device_id, str) else "",
        abs((answer.date() or now) - now),
    )
