"""What `status` shows for each way in which the service can fail, as text to be read by people.

`SCREENS=write make test TESTS=tests/e2e/test_e2e_screens.py` writes `screens.txt` anew; read it
as somebody who has never seen the program, before you commit it: every screen must name the
cause, and what to type.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.faults import throttled, throttled_by_proxy
from e2e.fleet import ALL, Fleet

FILE = Path(__file__).with_name("screens.txt")
LONG_S = 200.0  # no second attempt comes while the first one's screen is looked at
REFUSED = "connection_refused"
# A limit holds for the whole destination, so that each of these has a daemon of its own.
LIMITS = {
    "429": throttled(LONG_S), "429_proxy": throttled_by_proxy(LONG_S),
    "accept_then_429": replace(
        ALL["accept_then_429"],
        body=f'{{"message": "made up", "retry_after": {LONG_S}, "global": false}}',
    ),
}  # fmt: skip
NAMES = (*(name for name in ALL if name not in LIMITS), REFUSED, *LIMITS)
GROUPS = (NAMES[: -len(LIMITS)], *((name,) for name in LIMITS))
# What differs from run to run.
VARYING = (
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b[^\n]*?(?=\n|$)", "TIME"),
    (r"/tmp/ord-\w+/spool", "SPOOL"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"(?m)^  for: [\d smhdin]+$", "  for: AGE"),
    (r"the oldest for [\d smhd.<]+", "the oldest for AGE"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"after \d[\d.]* ?s\b", "after SECONDS"),
    # A close is seen as one or the other, by which of its packets comes first.
    (r"the connection broke after the request had begun",
     "the connection ended without a complete answer in HTTP"),
)  # fmt: skip


def screens_of(home, discord, names):
    """One daemon meets each fault with a report of its own; the screens by the fault's name."""
    home.configure(
        discord.base,
        destinations={"owner": {"timeout_s": 2}},
        queue={"backoff": {"initial_s": LONG_S, "ceiling_s": LONG_S, "jitter": 0}},
    )
    home.daemon()
    screens = {}
    for name in names:
        if name == REFUSED:
            discord.refuse()
        else:
            discord.always(LIMITS.get(name) or ALL[name])
        home.client.submit(b"---\ntitle: " + name.encode() + b"\n---\nText.", report_id=name)
        home.wait(lambda: troubled(home), f"{name} is met")
        ended = home.run("status")
        assert ended.err == ""
        screens[name] = f"exit {ended.status}\n{varied(ended.out)}"
        home.client.skip(name, reason="the next one, please")
    return screens


def troubled(home):
    found = home.status()
    head = found.get("head") or {}
    return found["state"] in {"blocked", "waiting"} and head.get("last_outcome")


def varied(text):
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def launch(loop, pool, wanted):
    return Fleet(loop, pool, screens_of, GROUPS)


def kept():
    parts = re.split(r"(?m)^## (.+)\n", FILE.read_text(encoding="utf-8")) if FILE.exists() else [""]
    return {name: varied(text).strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_screens_are_those_that_were_read(fleet):
    screens = {name: text for group in GROUPS for name, text in fleet.result(group).items()}
    if os.environ.get("SCREENS") == "write":
        text = "\n".join(f"## {name}\n{screen}" for name, screen in screens.items())
        FILE.write_text(text, encoding="utf-8")
    found = kept()
    assert list(found) == list(NAMES)
    for name, screen in screens.items():
        assert screen.strip() == found[name], name


@pytest.mark.parametrize("name", NAMES)
def test_a_screen_names_the_state_the_cause_and_a_command(name):
    state, age, why, hint = kept()[name].splitlines()[1:5]
    assert re.match(r"(blocked|waiting) since TIME", state)
    assert age == "  for: AGE"
    assert re.match(r"  why: \S.{10,}", why)
    assert re.match(r"  hint: .*(ownerreportd \w+|`skip`)", hint), hint
