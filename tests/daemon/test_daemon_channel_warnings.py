"""What a check only tells a person keeps nothing from being delivered."""

from daemon_house import Owner

from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import Rejected

NO_TOKEN = Rejected("fake.401", "config", "bad token", "a new token")
WARNING = Problem("fake.moved", "the chat has a new id", "set target to it", blocks=False)


async def test_a_probe_that_finds_only_a_warning_lets_the_queue_go_on(house):
    owner = Owner(NO_TOKEN)
    owner.problems = [WARNING]
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "config")
        here.pass_time(61)
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_warning_hides_no_problem(house):
    owner = Owner(NO_TOKEN)
    owner.problems = [WARNING, Problem("fake.401", "bad token", "a new token")]
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "config")
        here.pass_time(61)
        await here.until(lambda: here.lane.probes == 2)
        assert here.lane.block.reason == "bad token"
