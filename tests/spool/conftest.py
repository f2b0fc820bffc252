import pytest

from ownerreportd.spool import open_spool


@pytest.fixture
def spool(tmp_path):
    held = open_spool(tmp_path / "spool")
    yield held
    held.close()


@pytest.fixture
def pending(spool):
    return spool.root / "pending"
