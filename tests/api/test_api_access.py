"""Who may what: the daemon's user, root, members of the group, everybody else."""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from accounts import groups_of, made_accounts
from api.fake_daemon import make_server

from ownerreportd.api.access import Access, Peer
from ownerreportd.api.daemon import Caller

CALL = """
import socket, sys
path, method, target, body = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.sendall((
    f"{method} {target} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n"
    f"Content-Type: text/markdown\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
).encode())
answer = b""
while chunk := s.recv(65536):
    answer += chunk
print(answer.split()[1].decode())
"""
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_own_user_and_root_may_everything():
    access = Access(own_uid=1000, submit_gid=50)
    assert access.role(Peer(Caller(1, 1000, 1000), frozenset())) == "operator"
    assert access.role(Peer(Caller(1, 0, 0), frozenset())) == "operator"
    assert access.role(Peer(Caller(1, 1001, 50), frozenset({50}))) == "submitter"
    assert access.role(Peer(Caller(1, 1001, 7), frozenset({7}))) == "stranger"
    assert Access(own_uid=1000).role(Peer(Caller(1, 1, 0), frozenset({0}))) == "stranger"


@pytest.fixture(scope="module")
def accounts():
    with made_accounts() as accounts:
        yield accounts


@pytest.fixture
async def ask_as(daemon, accounts):
    """Asks as one of the accounts, all of whose groups it has; answers the status code."""
    folder = Path(tempfile.mkdtemp(prefix="orp-"))
    folder.chmod(0o755)
    path = folder / "api.sock"
    server = make_server(daemon, path, access=Access(own_uid=0, submit_gid=accounts.submit_gid))
    path.chmod(0o666)
    await server.start()

    def as_account(account):
        groups = groups_of(account)

        async def ask(method, target, body="x"):
            process = await asyncio.create_subprocess_exec(
                PYTHON, "-c", CALL, str(path), method, target, body, stdout=asyncio.subprocess.PIPE,
                user=account.pw_uid, group=account.pw_gid, extra_groups=groups,
            )  # fmt: skip
            out, _ = await process.communicate()
            return int(out)

        return ask

    yield as_account
    await server.aclose()
    folder.rmdir()


@as_root
async def test_a_stranger_may_nothing(ask_as, accounts, daemon):
    call = ask_as(accounts.stranger)
    daemon.add("r-1")
    assert await call("PUT", "/v1/reports/a") == 403
    assert await call("GET", "/v1/status") == 403
    assert await call("GET", "/v1/version") == 403
    assert await call("DELETE", "/v1/status") == 403
    assert len(daemon.store) == 1


@as_root
async def test_a_member_of_the_group_submits_and_reads_its_own_reports(ask_as, accounts, daemon):
    call = ask_as(accounts.member)
    daemon.add("another-s", submitted_by_uid=0)
    assert await call("PUT", "/v1/reports/mine") == 201
    assert await call("POST", "/v1/reports") == 201
    assert daemon.find("mine")["submitted_by_uid"] == accounts.member.pw_uid
    assert await call("GET", "/v1/reports/mine") == 200
    assert await call("GET", "/v1/reports/mine/wait?timeout_s=0") == 200
    assert await call("GET", "/v1/reports/another-s") == 403
    assert await call("GET", "/v1/reports/another-s/wait") == 403
    for method, target in (
        ("GET", "/v1/reports"), ("GET", "/v1/status"), ("POST", "/v1/queue/pause"),
        ("POST", "/v1/reports/mine/skip"), ("POST", "/v1/reports/mine/send"),
    ):  # fmt: skip
        assert await call(method, target) == 403


@as_root
async def test_a_member_of_the_group_asks_the_gate_and_leaves_receipts(ask_as, accounts):
    call, stranger = ask_as(accounts.member), ask_as(accounts.stranger)
    for target in ("manual", "generic-preflight", "force-recall", "config"):
        assert await call("POST", f"/v1/gate/{target}", body="{}") == 415
        assert await stranger("POST", f"/v1/gate/{target}", body="{}") == 403
    assert await call("POST", "/v1/receipts", body="{}") == 415
    for target in ("/v1/receipts", "/v1/gate/decisions", "/v1/gate/decisions/1", "/metrics"):
        assert await call("GET", target) == 403
