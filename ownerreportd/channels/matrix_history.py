"""Owns reading a room back: is the part there?

A part is known by its key, which our own events carry in their content, and the same device's
also in `unsigned.transaction_id`; nobody else's event counts. Rule: Absent is claimed only when
the reading came to a known end: an event of ours from before the attempt, our joining of the room,
or the room's first event. A history that just ends may have been cut off.

Source: the Client-Server API (v1.18), "rooms/{roomId}/messages".
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

from ownerreportd.channels.matrix_answers import NOT_MATRIX, Failed
from ownerreportd.channels.matrix_room import Room, User, event_id_of
from ownerreportd.core.outcome import Absent, Found, Unknown

if TYPE_CHECKING:
    from datetime import datetime

    from ownerreportd.core.channel import Part
    from ownerreportd.core.outcome import LookResult

KEY: Final = "org.ownerreportd.part"
# An event of 65,536 bytes can become 200,000 in an answer (Synapse writes JSON in ASCII), and an
# answer may have a mebibyte.
PAGE: Final = 5
PAGES_MAX: Final = 200
CLOCK_SLACK: Final = timedelta(minutes=2)

_Event: TypeAlias = dict[str, Any]


async def look(room: Room, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
    """Read our own events back to `since`, less two minutes and what the two clocks differ by.

    Of several events with the part's key the oldest is the part.
    """
    user = await room.user()
    if isinstance(user, Failed):
        return user.as_unknown()
    room_id = await room.room_id()
    if isinstance(room_id, Failed):
        return room_id.as_unknown()
    events = await _events(room, user, since - CLOCK_SLACK - user.clock_off)
    if isinstance(events, Failed):
        return events.as_unknown()
    return _weighed(room, part, [each for each in events if event_id_of(each) not in known])


def _weighed(room: Room, part: Part, events: list[_Event]) -> LookResult:
    """What our own messages, newest first, say about the part."""
    fitting = [each for each in events if part.key in {_content(each).get(KEY), _txn_id(each)}]
    if fitting:
        note = "" if _content(fitting[-1]) else "delivered, and deleted since"
        return Found(room.receipt(str(event_id_of(fitting[-1])), note))
    if any(not _content(each) and not _txn_id(each) for each in events):
        return Unknown("a message of ours was deleted since, and may have been this one")
    return Absent("the room's history was read, and the message is not in it")


async def _events(room: Room, user: User, since: datetime) -> list[_Event] | Failed:
    """Our own messages since then, newest first."""
    found: list[_Event] = []
    token, has_joined = "", False
    for _ in range(PAGES_MAX):
        page = await _page(room, user, token)
        if isinstance(page, Failed):
            return page
        events, token = page
        for event in events:
            if event["sender"] == user.id:
                has_joined = _is_joining(event)
                found += [event] if event["type"] == "m.room.message" else []
            if _is_end(event, user, since):
                return found
        if not token:
            detail = "the room's history cannot be read back to the time of the attempt"
            return found if has_joined else Failed("matrix.history", detail, "")
    detail = f"more than {PAGES_MAX * PAGE} messages of ours since the attempt"
    return Failed("matrix.history", detail, "")


async def _page(room: Room, user: User, token: str) -> tuple[list[_Event], str] | Failed:
    """The next older events that can matter, and the token that follows; empty at the end."""
    wanted = {
        "senders": [user.id],
        "types": ["m.room.message", "m.room.member", "m.room.create"],
    }
    query = {"dir": "b", "limit": str(PAGE), "filter": json.dumps(wanted)}
    if token:
        query["from"] = token
    answer = await room.get(f"{room.address('messages')}?{urlencode(query)}")
    if isinstance(answer, Failed):
        return answer
    body = answer.json()
    events = body.get("chunk") if isinstance(body, dict) else None
    if not isinstance(events, list) or not all(map(_is_event, events)):
        return NOT_MATRIX
    after = body.get("end")
    return events, after if isinstance(after, str) else ""


def _is_event(event: Any) -> bool:
    return (
        event_id_of(event) is not None
        and isinstance(event.get("type"), str)
        and isinstance(event.get("sender"), str)
        and isinstance(event.get("origin_server_ts"), int)
    )


def _is_end(event: _Event, user: User, since: datetime) -> bool:
    """Whether nothing before this event can be ours and since then.

    Only our own events are asked for their time: it is our homeserver's, and no stranger's.
    """
    if event["type"] == "m.room.create":
        return True
    if event["sender"] != user.id:
        return False
    return bool(event["origin_server_ts"] < since.timestamp() * 1000)


def _is_joining(event: _Event) -> bool:
    """Whether this is where its sender came into the room, and no change of a display name."""
    unsigned = event.get("unsigned")
    before = unsigned.get("prev_content") if isinstance(unsigned, dict) else None
    was_in = isinstance(before, dict) and before.get("membership") == "join"
    joins = event["type"] == "m.room.member" and _content(event).get("membership") == "join"
    return joins and not was_in


def _content(event: _Event) -> dict[str, Any]:
    """What the event says; nothing once it was deleted (redacted)."""
    content = event.get("content")
    return content if isinstance(content, dict) else {}


def _txn_id(event: _Event) -> object:
    unsigned = event.get("unsigned")
    found = unsigned.get("transaction_id") if isinstance(unsigned, dict) else None
    return found if isinstance(found, str) else None
