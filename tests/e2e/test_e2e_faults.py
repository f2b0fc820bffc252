"""Every way in which the service can fail, at each message of a queue of thirty reports.

In one run every message meets the faults of a group, one after the other, and then an honest
service. Where a fault blocks the queue, the run types what the status names.
"""

from __future__ import annotations

import itertools

import pytest
from e2e.fleet import ALL, BLOCKING, Fleet, Watcher
from e2e.harness import parted

WORDS = "the quick brown fox jumps over the lazy dog and says 完成 "
CLOSED, REFUSED = "connection_closed", "connection_refused"
# Faults that take the message come last in their group: behind one of them a false success would
# go unseen. Each group has at most one that costs the whole deadline.
GROUPS = (
    ("close", "500", "accept_then_drop"),
    ("reset_in_upload", "502", "accept_then_reset"),
    ("reset_after_body", "429", "accept_then_hang"),
    ("drop_after_body", "503", "accept_then_500"),
    ("truncate", "429_proxy", "accept_then_504"),
    ("garbage", "rubbish", "accept_then_truncate"),
    ("huge", "502_json", "accept_then_drip"),
    ("other_json", "408", "accept_then_429"),
    ("list_json", "504", "hang"),
    ("empty_200", "drip"),
    (CLOSED,),
    (REFUSED,),
    ("401", "403", "404"),
    ("403_proxy", "redirect"),
    ("400", "413"),
)


def report(number):
    part_count = {4: 2, 9: 3}.get(number % 10, 1)
    lines = [f"report {number} line {n} {WORDS}" for n in range(1 + 26 * (part_count - 1))]
    return f"---\nworker: w{number}\n---\n" + "\n\n".join(lines) + "\n"


REPORTS = {f"{number:02}.md": report(number) for number in range(30)}
PARTS = 39


class InTurn:
    """The group's faults for every message's first attempts, then an honest answer, and so on."""

    def __init__(self, discord, group):
        self._double, self._group = discord.double, group
        self._turns = itertools.cycle([*(ALL.get(name) for name in group), None])
        if group == (CLOSED,):
            closing = itertools.islice(itertools.cycle([ALL["close"], None]), 400)
            self._double.wire.connection_faults.extend(closing)

    def __call__(self, seen):
        if seen.method != "POST" or self._group == (CLOSED,):
            return None
        if self._group == (REFUSED,):
            self._double.refuse()  # from the next connection on; this one is answered
            return None
        return next(self._turns)


class Commands:
    """Types what the status of a blocked queue names; lets a refusing service listen again."""

    def __init__(self, home, discord):
        self._home, self._discord = home, discord
        self.typed = 0

    def __call__(self, status):
        if status["state"] == "blocked":
            assert "retry" in status["hint"] or "`skip`" in status["hint"], status
            # The first time as a person would; a start of Python for each would take minutes.
            if self.typed == 0:
                assert self._home.run("retry").status == 0
            else:
                self._home.client.retry()
            self.typed += 1
        elif status["state"] == "waiting" and "refused" in status["reason"]:
            self._discord.accept_again()


def all_sent(home, watcher):
    watcher.check()
    return len(home.names("sent")) == len(REPORTS)


def deliver_thirty(home, discord, group):
    """One run; what is to be asserted of it comes back."""
    discord.double.fault_if = InTurn(discord, group)
    slow = any(ALL[name].act in {"hang", "drip"} for name in group if name in ALL)
    home.configure(discord.base, destinations={"owner": {"timeout_s": 0.2 if slow else 1}})
    home.drop_many(REPORTS)
    if group == (REFUSED,):
        discord.refuse()
    daemon = home.daemon()
    commands = Commands(home, discord)
    every_s = 0.02 if group[0] in {*BLOCKING, REFUSED} else 0.1
    with Watcher(home, discord, commands, every_s=every_s) as watcher:
        home.wait(lambda: all_sent(home, watcher), "all thirty are sent", 150)
    home.wait_idle()
    return {
        "contents": discord.contents,
        "archive": {n: (home.spool / "sent" / n).read_text() for n in home.names("sent")},
        "archived": watcher.archived,
        "attempts": home.ledger("SELECT count(*) FROM attempts GROUP BY delivery, number"),
        "states": watcher.states,
        "typed": commands.typed,
        "stop": daemon.stop(),
    }


def launch(loop, pool, wanted):
    return Fleet(loop, pool, deliver_thirty, GROUPS)


def last_message_of(contents):
    """The number of messages that were recorded when each report was whole."""
    return {
        name: max(n for n, text in enumerate(contents, 1) if f"report {int(name[:2])} line" in text)
        for name in REPORTS
    }


def test_the_groups_name_every_fault_once():
    assert sorted(itertools.chain(*GROUPS)) == sorted([*ALL, CLOSED, REFUSED])


@pytest.mark.parametrize("group", GROUPS, ids="+".join)
def test_a_queue_of_thirty_survives_the_faults_at_every_message(fleet, group):
    run = fleet.result(group)
    assert parted(run["contents"], REPORTS) == {}
    assert len(run["contents"]) == PARTS
    assert not any("duplicate" in text for text in run["contents"])
    assert run["archive"] == REPORTS
    whole_at = last_message_of(run["contents"])
    assert {n: seen for n, seen in run["archived"].items() if seen < whole_at[n]} == {}
    assert len(run["attempts"]) == PARTS
    assert min(run["attempts"])[0] >= len(group) + 1
    assert run["stop"] == 0
    trouble = {key: said for key, said in run["states"].items() if key[0] in {"waiting", "blocked"}}
    code = BLOCKING.get(group[0])
    assert set(trouble) == {("blocked", code) if code else ("waiting", "")}
    assert (run["typed"] > 0) == (code is not None)
    for reason, hint in trouble.values():
        assert reason
        assert "ownerreportd retry" in hint or "`retry`" in hint or "`skip`" in hint
