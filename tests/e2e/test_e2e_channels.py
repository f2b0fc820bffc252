"""Every channel over a real daemon: whole and in order, once, and blocked by people's mistakes.

The inbox and the console have no service that could tell a kill's step, or refuse: the inbox is
killed here as each message appears, and `tests/channels/` has what a crash leaves in its folder,
and all of the console.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from e2e.fleet import Abreast
from e2e.harness import GOOD, Home
from e2e.services import MARK, SERVICES, STEPS, aim, kill_at, missing_word, put_secrets, serving

from ownerreportd.render.front_matter import read_report

LONG = True
WRONG = ("wrong_token", "wrong_target", "no_permission")
PROBE_S = 60
PATIENT_S = 10  # an answer that is late on a busy machine would be one more incident
TEXTS = [f"report {number}" for number in range(6)]
abreast = Abreast()
launch = abreast.launch


# A process for each part, so the fewer the better here; the usual limits are the channel's tests'.
ROOMY = {"apprise": {"text_max": 9000}}


@abreast.each("kind", SERVICES)
def test_every_good_report_arrives_whole_readable_and_in_order(home, kind):
    with serving(kind) as service:
        aim(home, service, **ROOMY.get(kind, {})).daemon()
        for path in sorted(GOOD.glob("*.md")):
            before = len(service.texts)
            home.drop(path.name, path.read_bytes())
            home.wait_sent(path.name)
            texts = service.texts[before:]
            report = read_report(path.read_bytes()).report
            assert missing_word(report.body, texts) is None, (path.name, texts)
            assert not any(MARK in text for text in texts)


def check_once(service, texts):
    """Every text in order, and one more copy for each incident that met it, which says so."""
    names = [next(t for t in TEXTS if t in text) for text in texts]
    assert list(dict.fromkeys(names)) == TEXTS
    copies = Counter(names) - Counter(TEXTS)
    met = Counter(names[place] for place in service.met)
    assert copies <= met, (met, texts)
    plain = [text for text in texts if MARK not in text]
    assert len(plain) == len(set(plain)), texts
    assert not copies or not service.exactly_once


@abreast.each("kind", SERVICES)
def test_a_kill_at_each_step_and_a_lost_answer_make_no_unmarked_copy(home, kind):
    with serving(kind) as service:
        aim(home, service, in_doubt="resend", timeout_s=PATIENT_S)
        home.drop_many({f"{number}.md": text for number, text in enumerate(TEXTS)})
        for step in STEPS:
            daemon = home.daemon(ready=False)
            arm(service, step, daemon.pid)
            assert daemon.ended() == -signal.SIGKILL
        service.lose_the_next_answer()
        home.daemon()
        home.wait(lambda: len(home.names("sent")) == len(TEXTS), "all are sent")
        check_once(service, service.texts)
        shown = "".join(each.log for each in home.daemons)
        assert not [name for name, value in service.secrets.items() if value in shown]


def arm(service, step, pid):
    """Kill the daemon at that step of the next part, and note it."""
    kill_at(service.double, step, pid, service.note)


@abreast.each("kind", SERVICES)
def test_with_hold_a_lost_answer_makes_no_copy_at_all(home, kind):
    with serving(kind) as service:
        aim(home, service, in_doubt="hold", timeout_s=PATIENT_S)
        home.drop("a.md", "kept once")
        service.lose_the_next_answer()
        home.daemon()
        settle(home, service)
        assert len(service.texts) == 1


@abreast
def test_the_inbox_has_everything_once_over_a_kill_at_each_message(home):
    home.configure().drop_many({f"{number}.md": text for number, text in enumerate(TEXTS)})
    new = home.spool / "inbox" / "new"

    def messages():
        return [*new.iterdir()] if new.exists() else []

    for count in range(1, len(TEXTS)):
        daemon = home.daemon(ready=False)
        home.wait(lambda count=count: len(messages()) >= count, "a message appears")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == len(TEXTS), "all are sent")
    bodies = [path.read_text().rpartition("\n\n")[2].strip() for path in messages()]
    assert sorted(bodies) == TEXTS


HELD = [f"{kind} {step}" for kind in SERVICES for step in STEPS]


@abreast.each("held", HELD)
def test_with_hold_a_kill_at_any_step_makes_no_copy_at_all(home, held):
    kind, step = held.split()
    with serving(kind) as service:
        aim(home, service, in_doubt="hold", timeout_s=PATIENT_S)
        home.drop("a.md", "kept once")
        daemon = home.daemon(ready=False)
        arm(service, step, daemon.pid)
        assert daemon.ended() == -signal.SIGKILL
        home.daemon()
        settle(home, service)
        assert len(service.texts) <= 1
        assert service.texts or step == "arrived", "what was taken is there"


def settle(home, service):
    """The part in doubt is sent: by itself where a copy can be told, else by a person's word."""
    home.wait(lambda: home.names("sent") or home.status()["code"] == "doubt", "it is decided")
    if not home.names("sent"):
        assert not service.exactly_once
        assert home.run("resolve", "head", "--sent").status == 0
        home.wait_sent("a.md")


# A word of what mends it, for each channel that can tell.
REMEDIES = {
    "discord": {
        "wrong_token": "Reset Token", "wrong_target": "id in target",
        "no_permission": "Send Messages",
    },
    "discord-webhook": {"wrong_token": "Copy Webhook URL", "wrong_target": "make a new one"},
    "email": {"wrong_token": "password", "wrong_target": "target", "no_permission": "check from"},
    "exec": {"wrong_target": "put the program there", "no_permission": "chmod +x"},
    "matrix": {
        "wrong_token": "log in again", "wrong_target": "invite the account",
        "no_permission": "power level",
    },
    "ntfy": {
        "wrong_token": "valid access token", "wrong_target": "another topic",
        "no_permission": "read-write access",
    },
    "openclaw": {"wrong_token": "gateway's token", "wrong_target": "target"},
    "slack": {
        "wrong_token": "bot token", "wrong_target": "id in target", "no_permission": "/invite",
    },
    "telegram": {
        "wrong_token": "BotFather", "wrong_target": "id in target",
        "no_permission": "allow the bot",
    },
    "webhook": {
        "wrong_token": "secret_file", "wrong_target": "path in target",
        "no_permission": "secret_file",
    },
}  # fmt: skip
MISTAKES = [f"{kind}-{wrong}" for kind in SERVICES for wrong in WRONG]


@abreast.each("mistake", MISTAKES)
def test_a_mistake_blocks_names_the_remedy_and_nothing_is_lost(home, mistake):
    kind, _, wrong = mistake.rpartition("-")
    with serving(kind) as service:
        aim(home, service)
        if not service.arrange(wrong):
            pytest.skip(f"{kind} has no such mistake")
        home.drop("a.md", "kept")
        home.daemon()
        found = home.wait_state("blocked", "config")
        assert REMEDIES[kind.partition("+")[0]][wrong] in found["hint"]
        assert found["reason"].strip()
        assert not service.texts
        due = datetime.fromisoformat(found["lanes"][0]["next_attempt_at"])
        assert (due - datetime.now(UTC)).total_seconds() > PROBE_S / 2
        assert service.arrange("accepts")
        assert home.run("retry").status == 0
        home.wait_sent("a.md")
        assert len(service.texts) == 1


def mistaken(stack, home, kind):
    """By mistake, a service each in which somebody has made it; the daemon delivers to all."""
    services, table = {}, {}
    for wrong in WRONG:
        service = stack.enter_context(serving(kind))
        if service.arrange(wrong):
            services[wrong] = service
            put_secrets(home, service, prefix=f"{wrong}.")
            files = {
                f"{name}_file": str(home.config.parent / f"{wrong}.{service.channel}.{name}")
                for name in service.secrets
            }
            table[wrong] = {"channel": service.channel, **service.destination, **files}
            table[wrong]["timeout_s"] = PATIENT_S
    home.configure(
        queue={"lanes": "per-destination"}, delivery={"to": list(table)},
        destinations={"owner": None, **table},
    )  # fmt: skip
    return services


def goes_on_by_itself(kind):
    """What the mistakes are after which it did."""
    with contextlib.ExitStack() as stack, contextlib.closing(Home()) as home:
        services = mistaken(stack, home, kind)
        if not services:
            return set()

        def all_are_blocked():
            lanes = home.status().get("lanes", [])
            return [(each["state"], each["code"]) for each in lanes] == [
                ("blocked", "config")
            ] * len(services)

        home.drop("a.md", "kept")
        began = time.monotonic()
        home.daemon()
        home.wait(all_are_blocked, "all are blocked")
        for service in services.values():
            assert service.arrange("accepts")
        home.wait(lambda: home.names("sent"), "it goes on", timeout_s=PROBE_S + 60)
        assert time.monotonic() - began > PROBE_S - 10
        assert [len(service.texts) for service in services.values()] == [1] * len(services)
        return {*services}


@abreast
def test_what_is_mended_elsewhere_goes_on_by_itself_within_minutes():
    """All of them beside each other: they do nothing for a minute."""
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        found = dict(zip(SERVICES, pool.map(goes_on_by_itself, SERVICES), strict=True))
    told = {kind: {*REMEDIES.get(kind.partition("+")[0], {})} for kind in SERVICES}
    assert found == told


def test_every_channel_of_this_program_that_leaves_the_machine_is_here():
    from ownerreportd import channels

    assert {kind.partition("+")[0] for kind in SERVICES} == {
        *channels.installed()
    } - {"console", "inbox"}  # fmt: skip
