"""What is counted of attempts."""

from ownerreportd.core.figures import BOUNDS_S, Durations, SendFigures


def test_durations_fall_under_the_first_bound_that_holds_them():
    found = Durations()
    for took_s in (0.0, 0.05, 0.051, 60.0, 61.0):
        found.add(took_s)
    assert found.counts == [2, 1, *[0] * (len(BOUNDS_S) - 3), 1, 1]
    assert found.cumulative()[:2] == [2, 3]
    assert found.cumulative()[-1] == 5
    assert round(found.total_s, 3) == 121.101


def test_attempts_are_counted_by_destination_and_outcome():
    found = SendFigures()
    found.count("owner", "confirmed", 0.2, 100.0)
    found.count("owner", "rejected", 0.1, 200.0)
    found.count("phone", "in_doubt", 20.0, 300.0)
    assert found.outcomes == {
        ("owner", "confirmed"): 1, ("owner", "rejected"): 1, ("phone", "in_doubt"): 1,
    }  # fmt: skip
    assert found.last_success == {"owner": 100.0}
    assert found.durations["phone"].cumulative()[-1] == 1
