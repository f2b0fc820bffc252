import pytest

from ownerreportd.ledger import open_ledger
from ownerreportd.spool import open_spool


@pytest.fixture
def spool(tmp_path):
    held = open_spool(tmp_path)
    yield held
    held.close()


@pytest.fixture
def ledger(spool):
    opened = open_ledger(spool.root, spool.lock_fd)
    yield opened
    opened.close()
