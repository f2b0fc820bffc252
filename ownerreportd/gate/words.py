"""Owns the words of the gate: task states and their aliases, and which plans are the gate's."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN: Final = "unknown"
TASK_STATES: Final = frozenset(
    {"complete", "in_progress", "blocked", "waiting_user", "pending_verification", "failed",
     UNKNOWN}
)  # fmt: skip
_ALIASES: Final = {
    "completed": "complete", "done": "complete", "finished": "complete",
    "running": "in_progress", "active": "in_progress",
}  # fmt: skip
_KNOWN: Final = {word.replace("_", ""): word for word in TASK_STATES} | _ALIASES
_BETWEEN: Final = re.compile(r"[-\s_]+")
_AFTER_PREFIX: Final = frozenset("-_:/.#@")


def normalize_word(text: str) -> str:
    """A state as the rules compare it: case and `-`, space, `_` do not matter; aliases resolved.

    A word that is not known stays as it is otherwise.
    """
    if text in TASK_STATES:
        return text
    word = _BETWEEN.sub("_", text.strip()).strip("_").casefold() or text.strip()
    return _KNOWN.get(word.replace("_", ""), word)


def same_word(word: str, words: Iterable[str]) -> str:
    """The one of these that the word is but for its separators; else the word itself."""
    squashed = word.replace("_", "")
    return next((each for each in words if each.replace("_", "") == squashed), word)


def plan_matches(plan_id: str, matchers: Iterable[str]) -> bool:
    """Whether one of the matchers means this plan.

    Without regard to case: equal, a prefix that ends at a separator, or a glob for the whole.
    """
    plan = plan_id.casefold()
    return any(_matches(plan, matcher.casefold()) for matcher in matchers)


def _matches(plan: str, matcher: str) -> bool:
    if plan == matcher:
        return True
    if plan.startswith(matcher):
        following = plan[len(matcher)]
        if following in _AFTER_PREFIX or following.isspace():
            return True
    return any(c in matcher for c in "*?[") and fnmatch.fnmatchcase(plan, matcher)
