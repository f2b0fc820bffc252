import pytest
from daemon_house import open_house

from ownerreportd import attempt, courier
from ownerreportd.daemon import engine


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    """The daemon looks every second whether a trouble has ended; a test has no second to lose."""
    monkeypatch.setattr(engine, "TICK_S", 0.02)
    for module in (attempt, courier):
        monkeypatch.setattr(module, "RECHECK_S", 0.01)
    monkeypatch.setattr(attempt, "GRACE_S", 0.05)


@pytest.fixture
def house(tmp_path):
    """A function that opens a house in this test's spool; every one is closed at the end."""
    opened = []

    def make(channels=None, **options):
        for earlier in opened:
            earlier.close()
        opened.append(open_house(tmp_path / "spool", channels, **options))
        return opened[-1]

    yield make
    for earlier in opened:
        earlier.close()
