"""A service's limit is kept to, over a restart too, so that it never has to say so.

The limits are scaled down. How near a queue of a hundred comes to them has two bounds elsewhere:
`tests/daemon/test_daemon_pacing.py` on a clock of its own, so that no busy machine counts, and
`benchmarks/pacing.py` at their real speed.
"""

from __future__ import annotations

import itertools
import json
import signal
import time

from doubles.discord import DiscordDouble
from doubles.telegram import TelegramDouble
from e2e.fleet import Abreast
from e2e.services import aim, serving_double

PERIOD_S = 3  # longer than a daemon's start
abreast = Abreast()
launch = abreast.launch


def deliver(home, count, *, restart_at, number):
    """So many reports; the daemon gets the signal when the limit is used up."""
    texts = [f"report {each}" for each in range(count)]
    home.drop_many({f"{each:02}.md": text for each, text in enumerate(texts)})
    daemon = home.daemon()
    home.wait(lambda: len(home.names("sent")) == restart_at, "the limit is used up")
    home.wait_state("sending")  # idle at first, where the rest had not lain still for long enough
    daemon.signal(number)
    daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == count, "all are sent")
    told = [json.loads(line)["event"] for each in home.daemons for line in each.log.splitlines()]
    assert "lane.waiting" not in told
    assert "part.failed" not in told
    return texts


@abreast
def test_discord_s_buckets_are_never_overrun(home):
    with serving_double(DiscordDouble(bucket=(5, PERIOD_S))) as service:
        aim(home, service)
        texts = deliver(home, 15, restart_at=5, number=signal.SIGKILL)
        assert service.texts == texts
        assert service.throttled == 0


@abreast
def test_telegram_gets_its_messages_apart(home):
    came = []
    with serving_double(TelegramDouble()) as service:
        service.double.on_step = lambda name: name == "arrived" and came.append(time.monotonic())
        aim(home, service, pause_s=PERIOD_S / 2)
        texts = deliver(home, 4, restart_at=1, number=signal.SIGTERM)
        assert service.texts == texts
    gaps = [after - before for before, after in itertools.pairwise(came)]
    assert len(gaps) == 3
    assert min(gaps) >= PERIOD_S / 2
