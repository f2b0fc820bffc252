"""Owns whether a Matrix destination is ready: token, device, room, encryption, power level, thread.

Rule: what cannot be read forbids nothing; sending will tell.

Source: the Client-Server API (v1.18), "m.room.power_levels", "Room Upgrades", "Threading"; the
rooms' versions 11 and 12 for who stands above every power level.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ownerreportd.channels.matrix_answers import HINT_JOIN, NOT_MATRIX, Failed
from ownerreportd.channels.matrix_room import Room, event_id_of
from ownerreportd.core.channel import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINT_THREAD = "take the link of a message that is no reply in a thread, or leave /$EVENT out"
_CREATORS_VERSION = 12


async def check(room: Room) -> list[Problem]:
    """What is wrong with the destination; the first that hides the others."""
    user = await room.user()
    if isinstance(user, Failed):
        return [user.as_problem()]
    moved = await _moved(room)
    if moved is not None:
        return [moved]
    for found in (
        await _membership(room, user.id),
        await room.encryption(),
        await _replaced(room),
        await _power(room, user.id),
        await _thread(room),
    ):
        if found is not None:
            return [found.as_problem()]
    return []


async def _moved(room: Room) -> Problem | None:
    """Whether an alias leads nowhere, or no longer to the room that reports go to."""
    meant = await room.room_id()
    now = await room.resolved() if room.place.is_alias and isinstance(meant, str) else meant
    if isinstance(now, Failed):
        return now.as_problem()
    if now == meant:
        return None
    detail = f"{room.place.room} leads to another room now: {now}, no longer {meant}"
    hint = "`ownerreportd reload` to follow it, or set target to the room's id"
    return Problem("matrix.alias_moved", detail, hint)


async def _membership(room: Room, user_id: str) -> Failed | None:
    state = await room.state("m.room.member", user_id)
    if isinstance(state, Failed):
        return state
    said = "has never been" if state is None else f"is not ({state.get('membership')})"
    if state is not None and state.get("membership") == "join":
        return None
    return Failed("matrix.not_joined", f"{user_id} {said} in the room", HINT_JOIN)


async def _replaced(room: Room) -> Failed | None:
    state = await room.state("m.room.tombstone")
    if isinstance(state, Failed) or state is None:
        return state
    successor = state.get("replacement_room")
    hint = f"join {successor} with the account, and set target to it"
    return Failed("matrix.replaced", "the room was upgraded, and replaced by another", hint)


async def _power(room: Room, user_id: str) -> Failed | None:
    levels = await room.state("m.room.power_levels")
    create = await room.state("m.room.create", whole=True)
    for state in (levels, create):
        if isinstance(state, Failed):
            return state
    assert not isinstance(levels, Failed)  # noqa: S101 - for the type checker
    assert not isinstance(create, Failed)  # noqa: S101 - likewise
    own, needed = power(user_id, levels or {}, create or {})
    if own >= needed:
        return None
    detail = f"the account has power level {own:g}; a message needs {needed:g}"
    return Failed("matrix.power", detail, f"give {user_id} the power level {needed:g} in the room")


async def _thread(room: Room) -> Failed | None:
    """Whether the thread's first event is there, and can have a thread."""
    if not room.place.thread:
        return None
    answer = await room.get(room.address("event", room.place.thread))
    if isinstance(answer, Failed):
        if answer.is_transient:
            return answer
        return Failed("matrix.thread", "the thread's first message is not there", _HINT_THREAD)
    event = answer.json()
    if event_id_of(event) != room.place.thread:
        return NOT_MATRIX
    content = event.get("content")
    relation = content.get("m.relates_to") if isinstance(content, dict) else None
    if isinstance(relation, dict) and "rel_type" in relation:
        return Failed("matrix.thread", "the message is itself part of a thread", _HINT_THREAD)
    return None


def power(
    user_id: str, levels: Mapping[str, Any], create: Mapping[str, Any]
) -> tuple[float, float]:
    """The account's power level, and the one that a message needs.

    `levels` is the content of m.room.power_levels; `create` the event m.room.create, or its
    content alone from a homeserver that gives no more.
    """
    users, events = levels.get("users"), levels.get("events")
    own = users.get(user_id) if isinstance(users, dict) else None
    needed = events.get("m.room.message") if isinstance(events, dict) else None
    return (
        inf if _is_creator(user_id, create) else _number(own, levels.get("users_default")),
        _number(needed, levels.get("events_default")),
    )


def _is_creator(user_id: str, create: Mapping[str, Any]) -> bool:
    """Whether the account made the room, from the version on in which that stands above all."""
    content = create.get("content", create)
    if not isinstance(content, dict):
        return False
    if _number(content.get("room_version"), 1) < _CREATORS_VERSION:
        return False
    others = content.get("additional_creators")
    maker = create.get("sender", user_id)  # not told: it may be ours
    return user_id == maker or (isinstance(others, list) and user_id in others)


def _number(value: Any, otherwise: Any) -> float:
    """A power level; old rooms have strings among them."""
    for each in (value, otherwise):
        try:
            return float(each)
        except (TypeError, ValueError):
            continue
    return 0.0
