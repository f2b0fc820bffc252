"""Two and three destinations, one of them failing in each way, in one lane and in one for each."""

from __future__ import annotations

import contextlib
import itertools
import signal

from doubles.faults import NAMED
from doubles.webhook import SECRET, WebhookDouble
from doubles.wire import Fault
from e2e.fleet import Abreast
from e2e.harness import LoopThread, stays_so
from e2e.services import STEPS, kill_at

LONG = True
TEXTS = [f"report {number}" for number in range(4)]
WAYS = {
    "refuses": None,
    "closes": NAMED["close"],
    "hangs": NAMED["hang"],
    "500": NAMED["500"],
    "429": Fault("answer", status=429, headers={"Retry-After": "1"}),
    "401": Fault("answer", status=401),
    "422": Fault("answer", status=422),
    "loses_answers": NAMED["accept_then_drop"],
}
FAILING = 1  # neither the first nor, among three, the last
CASES = [
    f"{lanes} {places} {way}"
    for lanes, places, way in itertools.product(("one", "per-destination"), (2, 3), WAYS)
]
KILLED = [
    f"{lanes} {way} {step}"
    for lanes, way, step in itertools.product(("one", "per-destination"), WAYS, STEPS)
]
abreast = Abreast()
launch = abreast.launch


@contextlib.contextmanager
def receivers(home, lanes, places):
    """So many receivers, and a configuration that sends everything to each."""
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        doubles = [WebhookDouble() for _ in range(places)]
        for double in doubles:
            loop.call(double.__aenter__())
            stack.callback(lambda double=double: loop.call(double.__aexit__(None, None, None)))
        secret = home.config.parent / "webhook.secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        table = {
            f"place{number}": {"channel": "webhook", "target": double.address, "timeout_s": 0.5}
            for number, double in enumerate(doubles)
        }
        home.configure(
            queue={"lanes": lanes}, delivery={"to": list(table)},
            destinations={"owner": None, **table},
        )  # fmt: skip
        yield loop, doubles


def break_it(loop, double, way):
    if way == "refuses":
        loop.loop.call_soon_threadsafe(double.wire.refuse)
    double.always = WAYS[way]


def mend(loop, double):
    double.always = None
    loop.call(double.wire.accept_again())


def others_are_idle(home):
    states = {each["name"]: each["state"] for each in home.status()["lanes"]}
    assert states.pop(f"place{FAILING}") in {"blocked", "waiting", "sending"}
    return set(states.values()) == {"idle"}


@abreast.each("case", CASES)
def test_the_others_get_everything_or_nothing_behind_and_all_get_it_once(home, case):
    lanes, places, way = case.split()
    with receivers(home, lanes, int(places)) as (loop, doubles):
        failing = doubles[FAILING]
        break_it(loop, failing, way)
        home.drop_many({f"{number}.md": text for number, text in enumerate(TEXTS)})
        daemon = home.daemon()
        others = [double for double in doubles if double is not failing]
        for _ in range(2):  # killed as it fails, and killed while the others have what is theirs
            home.wait(lambda: home.status()["state"] in {"blocked", "waiting"}, "it fails")
            daemon.signal(signal.SIGKILL)
            daemon.ended()
            daemon = home.daemon()
        home.wait(lambda: home.status()["state"] in {"blocked", "waiting"}, "it fails again")
        if lanes == "per-destination":
            home.wait(lambda: all(double.texts == TEXTS for double in others), "the others have it")
            home.wait(lambda: others_are_idle(home), "the others have nothing left")
        else:
            stays_so(
                lambda: (
                    [double.texts for double in others] == [TEXTS[:1], *[[]] * (int(places) - 2)]
                ),
                0.3,
                "nothing goes past the failure",
            )
        assert home.names("sent") == []
        mend(loop, failing)
        assert home.run("retry", "--to", f"place{FAILING}").status == (
            0 if lanes == "per-destination" else 64
        )
        assert home.run("retry").status == 0
        home.wait(lambda: len(home.names("sent")) == len(TEXTS), "all are sent")
        assert [double.texts for double in doubles] == [TEXTS] * int(places)


@abreast.each("case", KILLED)
def test_a_kill_at_each_step_of_one_send_changes_nothing_about_the_failure_of_another(home, case):
    lanes, way, step = case.split()
    with receivers(home, lanes, 2) as (loop, (honest, failing)):
        break_it(loop, failing, way)
        home.drop_many({f"{number}.md": text for number, text in enumerate(TEXTS)})
        daemon = home.daemon(ready=False)
        kill_at(honest, step, daemon.pid)
        assert daemon.ended() == -signal.SIGKILL
        home.daemon()
        theirs = TEXTS if lanes == "per-destination" else TEXTS[:1]
        home.wait(lambda: honest.texts == theirs, "the other has what is due to it")
        home.wait(lambda: home.status()["state"] in {"blocked", "waiting"}, "it fails again")
        stays_so(lambda: honest.texts == theirs, 0.3, "it has each once, and nothing more")
        assert home.names("sent") == []
        mend(loop, failing)
        assert home.run("retry").status == 0
        home.wait(lambda: len(home.names("sent")) == len(TEXTS), "all are sent")
        assert [honest.texts, failing.texts] == [TEXTS, TEXTS]


@abreast
def test_a_reload_removes_one_destination_and_adds_another_with_reports_at_every_stage(home):
    with receivers(home, "per-destination", 3) as (loop, doubles):
        stays, goes, comes = doubles
        everything = home.config.read_text()
        to_both = everything.replace(
            'to = ["place0", "place1", "place2"]', 'to = ["place0", "place1"]'
        )
        to_others = everything.replace(
            'to = ["place0", "place1", "place2"]', 'to = ["place0", "place2"]'
        )
        first, _, rest = to_others.partition("[destinations.place1]")
        without = first + rest[rest.index("[destinations.place2]") :]
        home.config.write_text(to_both)
        home.drop("0.md", TEXTS[0])
        home.daemon()
        home.wait_sent("0.md")
        break_it(loop, goes, "422")
        home.drop_many({f"{number}.md": TEXTS[number] for number in (1, 2, 3)})
        home.wait(lambda: stays.texts == TEXTS, "one has everything")
        home.wait_state("blocked", "report")
        home.config.write_text(without)
        assert home.run("reload").status == 0
        home.wait(lambda: len(home.names("sent")) == len(TEXTS), "all are sent")
        assert [lane["name"] for lane in home.status()["lanes"]] == ["place0", "place2"]
        assert stays.texts == TEXTS
        assert goes.texts == TEXTS[:1]
        assert comes.texts == TEXTS[1:]
