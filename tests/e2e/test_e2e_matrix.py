"""The daemon and a real Synapse: every part once, in order, over kills of either of them."""

from __future__ import annotations

import signal

import pytest
from doubles.faults import NAMED
from doubles.synapse import SynapseService
from e2e.harness import GOOD, LoopThread, part_count

from ownerreportd.render.front_matter import read_report
from ownerreportd.render.matrix import NO_TABLES, TABLES
from ownerreportd.render.oracle import difference

# The first of them installs Synapse, if `make synapse` has not.
pytestmark = [pytest.mark.synapse, pytest.mark.timeout(300)]


class Service:
    """The service on a loop of its own thread."""

    def __init__(self, thread, *, alone):
        self._thread = thread
        self.inner = SynapseService(alone=alone)

    def __enter__(self):
        self._thread.call(self.inner.__aenter__())
        return self

    def __exit__(self, *_):
        self._thread.call(self.inner.__aexit__(None, None, None))

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def arrange(self, situation):
        return self._thread.call(self.inner.arrange(situation))


@pytest.fixture
def service(request):
    """In a test decorated with `alone`, it has its Synapse for itself."""
    alone = getattr(request, "param", False)
    with LoopThread() as thread, Service(thread, alone=alone) as made:
        yield made


alone = pytest.mark.parametrize("service", [True], indirect=True, ids=["alone"])


@pytest.fixture
def posting(home, service):
    """Makes a home whose reports go to the room; an option of None is left out."""

    def make(**options):
        secret = home.config.parent / "matrix.token"
        secret.write_text(service.secrets["token"] + "\n")
        secret.chmod(0o600)
        given = {**service.destination, "channel": "matrix", **options}
        kept = {key: value for key, value in given.items() if value is not None}
        return home.configure(destinations={"owner": kept})

    return make


def many(count):
    return {f"{number:02}.md": f"report {number}" for number in range(count)}


def failing(service, *names):
    """The next sends meet these faults, None for an honest answer."""
    turns = iter(names)
    service.inner.fault_if = lambda seen: (
        NAMED.get(next(turns, None)) if seen.method == "PUT" else None
    )


def test_lost_answers_and_kills_of_the_daemon_make_no_part_twice(posting, service):
    home = posting()
    failing(
        service,
        *["accept_then_drop", None, "close", "accept_then_500", None, "drop_after_body"] * 4,
    )
    home.drop_many(many(12))
    for _ in range(2):
        daemon = home.daemon()
        had = len(service.texts)
        home.wait(lambda had=had: len(service.texts) > had + 1, "some have come")
        daemon.signal(signal.SIGKILL)
        daemon.ended()
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 12, "all are sent")
    assert service.texts == list(many(12).values())
    assert service.secrets["token"] not in "".join(each.log for each in home.daemons)


def test_without_a_device_the_room_is_read_back_instead(posting, service):
    home = posting(device_id=None, timeout_s=1)
    failing(service, "accept_then_drop", None, "drop_after_body")
    home.drop_many(many(3))
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 3, "all are sent")
    assert service.texts == list(many(3).values())
    looks = [line for daemon in home.daemons for line in daemon.log.splitlines()
             if "part.looked" in line]  # fmt: skip
    assert ["Found" in line for line in looks] == [True, False]


@alone
def test_a_kill_of_the_homeserver_makes_no_part_twice(posting, service):
    home = posting()
    steps = []
    service.inner.on_step = steps.append
    failing(service, None, "accept_then_drop")
    home.drop_many(many(5))
    home.daemon()
    home.wait(lambda: steps.count("taken") >= 2, "the second was taken, and its answer lost")
    service.kill()
    home.wait_state("waiting")
    service.start()
    home.wait_sent(*many(5))
    assert service.texts == list(many(5).values())
    posted = [seen.path for seen in service.wire.requests if seen.method == "PUT"]
    assert posted.count(posted[1]) > 1, "it was posted again, under the same transaction"


def test_every_good_report_arrives_whole_and_in_order(posting, service):
    home = posting()
    sources = {path.name: path.read_bytes() for path in sorted(GOOD.glob("*.md"))}
    home.drop_many(sources)
    home.daemon()
    home.wait_sent(*sources)
    left = service.texts
    for name, data in sources.items():
        report = read_report(data).report
        count = part_count(left[0])
        texts, left = left[:count], left[count:]
        found = [difference(report.body, texts, report, dialect=d) for d in (TABLES, NO_TABLES)]
        assert None in found, (name, found)
    assert left == []


def test_an_encrypted_room_blocks_and_gets_nothing_in_plain_text(posting, service):
    service.state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    home = posting()
    home.drop("a.md", "a secret")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert "encrypted" in found["reason"]
    assert "without encryption" in found["hint"]
    assert service.events == []
    done = home.run("doctor")
    assert done.status != 0
    assert "encrypted" in done.out + done.err
    assert service.events == []


def test_synapses_own_limit_is_obeyed(posting, service):
    service.synapse.limit(service.user_id, 2, 2)
    home = posting()
    home.drop_many(many(4))
    home.daemon()
    home.wait(lambda: len(home.names("sent")) == 4, "all are sent")
    assert service.texts == list(many(4).values())
    outcomes = {event["outcome"] for event in home.events("part.failed")}
    assert outcomes == {"throttled"}


def test_a_token_that_was_logged_out_blocks_names_the_remedy_and_goes_on(posting, service):
    service.arrange("wrong_token")
    home = posting()
    home.drop("a.md", "kept")
    home.daemon()
    found = home.wait_state("blocked", "config")
    assert "M_UNKNOWN_TOKEN" in found["reason"]
    assert "token_file" in found["hint"]
    service.arrange("accepts")
    assert home.run("retry").status == 0
    home.wait_sent("a.md")
    assert service.texts == ["kept"]
