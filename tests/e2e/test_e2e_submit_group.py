"""Two real accounts at a real daemon's socket: the group's member may submit, nobody else may."""

from __future__ import annotations

import pytest
from accounts import groups_of, made_accounts
from e2e.harness import User

NOT_ALLOWED = 77


@pytest.fixture(scope="module")
def accounts(root):
    with made_accounts() as accounts:
        yield accounts


def as_user(account):
    return User(account.pw_uid, account.pw_gid, groups=tuple(groups_of(account)))


@pytest.fixture
def open_home(home, discord, accounts):
    """A daemon of root's whose socket belongs to the group, in a folder that all may enter."""
    home.configure(discord.base, socket={"submit_group": accounts.group})
    home.path.chmod(0o755)
    home.daemon()
    return home


def typed(home, account, *words, stdin=b""):
    environ = {
        **home.environ, "HOME": "/dev/null", "OWNERREPORTD_SOCKET__PATH": str(home.socket),
    }  # fmt: skip
    return home.run(*words, environ=environ, cwd="/", user=as_user(account), stdin=stdin)


def test_a_member_submits_waits_and_reads_its_own_and_nothing_else(open_home, discord, accounts):
    words = ("submit", "--id", "m-1", "--wait", "-")
    done = typed(open_home, accounts.member, *words, stdin=b"from the member")
    assert done.status == 0, done.err
    assert discord.contents == ["from the member"]
    assert typed(open_home, accounts.member, "show", "m-1").status == 0
    assert open_home.run("submit", "--id", "r-1", "-", stdin=b"from root").status == 0
    for words in (("show", "r-1"), ("list",), ("pause",), ("skip", "m-1", "--reason", "x")):
        refused = typed(open_home, accounts.member, *words)
        assert refused.status == NOT_ALLOWED, (words, refused)


def test_a_stranger_cannot_even_open_the_socket_and_gets_403_where_he_can(
    open_home, discord, accounts
):
    words = ("submit", "--id", "s-1", "-")
    assert typed(open_home, accounts.stranger, *words, stdin=b"let me in").status != 0
    open_home.socket.chmod(0o666)
    refused = typed(open_home, accounts.stranger, *words, stdin=b"let me in")
    assert refused.status == NOT_ALLOWED, refused
    assert "group" in refused.err
    assert discord.contents == []
