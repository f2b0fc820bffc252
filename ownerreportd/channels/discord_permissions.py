"""Owns what a bot may do in a Discord channel, by Discord's own rule: roles, then overwrites.

The rule is that of Discord's page "Permissions". Rule of ours: what cannot be read forbids nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ownerreportd.core.channel import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

ADMINISTRATOR: Final = 1 << 3
VIEW_CHANNEL: Final = 1 << 10
SEND_MESSAGES: Final = 1 << 11
READ_MESSAGE_HISTORY: Final = 1 << 16
SEND_MESSAGES_IN_THREADS: Final = 1 << 38
EVERYTHING: Final = (1 << 64) - 1
HINT_HISTORY: Final = "give the bot Read Message History, so that a lost answer can be looked up"


def permissions(
    guild: Mapping[str, Any], channel: Mapping[str, Any], user_id: str, roles: Collection[str]
) -> int:
    """The bits of what this member may do in the channel; of a thread, `channel` is its parent.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if that is not in Discord's shape.
    """
    guild_id = guild["id"]
    if guild["owner_id"] == user_id:
        return EVERYTHING
    mine = {guild_id, *roles}  # the role of everyone has the server's id
    base = 0
    for role in guild["roles"]:
        if role["id"] in mine:
            base |= int(role["permissions"])
    if base & ADMINISTRATOR:
        return EVERYTHING
    overwrites = {each["id"]: each for each in channel.get("permission_overwrites") or ()}
    for those in ([guild_id], [role for role in roles if role != guild_id], [user_id]):
        found = [overwrites[each] for each in those if each in overwrites]
        base = base & ~_united(found, "deny") | _united(found, "allow")
    return base


def _united(overwrites: Iterable[Mapping[str, Any]], name: str) -> int:
    bits = 0
    for each in overwrites:
        bits |= int(each[name])
    return bits


def no_history(detail: str) -> Problem:
    """Messages are sent all the same; but no lost answer can be looked up."""
    return Problem("discord.history", detail, HINT_HISTORY, blocks=False)


def problems(bits: int, *, in_thread: bool, posts: bool = True) -> list[Problem]:
    """What the bot lacks to post there, and to look up what became of it.

    With `posts` false somebody else posts, and the bot only reads.
    """
    if not bits & VIEW_CHANNEL:
        hint = "give the bot View Channel there"
        return [Problem("discord.50001", "the bot may not see the channel", hint)]
    found = []
    needed, name = SEND_MESSAGES, "Send Messages"
    if in_thread:
        needed, name = SEND_MESSAGES_IN_THREADS, "Send Messages in Threads"
    if posts and not bits & needed:
        found.append(
            Problem("discord.50013", f"the bot lacks {name}", f"give the bot {name} there")
        )
    if not bits & READ_MESSAGE_HISTORY:
        found.append(no_history("the bot lacks Read Message History"))
    return found
