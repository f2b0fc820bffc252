"""A message in doubt, then every other outcome, for longer than anybody deduplicates.

The invariant: whatever comes after a doubt, the owner never sees a second copy that does not say
that it may be one.
"""

from __future__ import annotations

import time

import pytest
from e2e.fleet import ALL, Fleet, Watcher

WINDOW_S = 0.6  # how long the channel relies on the nonce
SERVICE_WINDOW_S = 0.9  # how long the service knows it
HOLD_S = 1.3  # how long the other outcome lasts, counted from the first attempt
RETRY_S = 0.15
MARK = "⚠ Possible duplicate"
TAKEN, LOST = ALL["accept_then_reset"], ALL["reset_after_body"]
NAMES = sorted(ALL)
# One or two of each outcome, where what matters is the outcome and not how it came about.
OUTCOMES = {"502_json", "429", "500", "hang", "accept_then_drop", "401", "400", "403_proxy"}
GROUPS = [tuple(NAMES[n::9]) for n in range(9)]


class Retries:
    """Types `retry` while the queue is blocked, as an operator without patience would."""

    def __init__(self, home):
        self._home = home

    def __call__(self, status):
        if status["state"] == "blocked":
            self._home.client.retry()


def in_doubt_then(home, discord, watcher, text, first, fault, *, gets=None, history=True):
    """One report: a doubtful first attempt, then the fault for longer than the window."""
    discord.place(history=history)
    discord.double.get_always = gets
    discord.meets(first)
    discord.always(fault)
    name = text.replace(" ", "-") + ".md"
    home.drop(name, text)

    def is_sent():
        watcher.check()
        return name in home.names("sent")

    home.wait(lambda: not discord.faults, "the first attempt was made")
    end = time.monotonic() + HOLD_S
    home.wait(lambda: is_sent() or time.monotonic() > end, "the other outcome has lasted")
    discord.always(None)
    discord.double.get_always = None
    home.wait(is_sent, f"{name} is sent")
    discord.place(history=True)


def run(home, discord, names):
    home.configure(
        discord.base,
        destinations={"owner": {"dedup_window_s": WINDOW_S, "timeout_s": 0.2}},
        queue={"backoff": {"ceiling_s": 0.2}},
    )
    discord.post("an earlier message, so that an empty history means something")
    home.daemon()
    with Watcher(home, discord, Retries(home), every_s=RETRY_S) as watcher:
        for name in names:
            args = home, discord, watcher
            in_doubt_then(*args, f"taken then {name}", TAKEN, ALL[name])
            in_doubt_then(*args, f"taken no history then {name}", TAKEN, ALL[name], history=False)
            if name in OUTCOMES:
                in_doubt_then(*args, f"lost then {name}", LOST, ALL[name])
                text = f"taken and not read back then {name}"
                in_doubt_then(*args, text, TAKEN, ALL[name], gets=ALL[name])
    withdrawn = home.events("report.withdrawn")
    return discord.contents, withdrawn


def launch(loop, pool, wanted):
    return Fleet(loop, pool, run, GROUPS, window_s=SERVICE_WINDOW_S)


def forms(contents, text):
    """How many plain and how many marked copies of the text there are."""
    own = [content for content in contents if content.endswith(text)]
    marked = sum(content.startswith(MARK) for content in own)
    return len(own) - marked, marked


@pytest.mark.parametrize("name", NAMES)
def test_a_doubt_followed_by_anything_shows_no_unmarked_second_copy(fleet, name):
    contents, withdrawn = fleet.result(next(group for group in GROUPS if name in group))
    assert withdrawn == []
    # Where the history can be read, there is nothing to mark.
    assert forms(contents, f"taken then {name}") == (1, 0)
    # A busy machine can let the first attempt be cut off before the service has read it.
    plain, marked = forms(contents, f"taken no history then {name}")
    assert plain <= 1 <= marked


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_a_doubt_that_nobody_can_look_into_shows_no_unmarked_second_copy(fleet, name):
    contents, _ = fleet.result(next(group for group in GROUPS if name in group))
    assert forms(contents, f"lost then {name}") == (1, 0)
    plain, marked = forms(contents, f"taken and not read back then {name}")
    assert plain <= 1 <= plain + marked
