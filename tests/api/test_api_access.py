"""Who may what: the daemon's user, root, members of the group, everybody else."""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from api.fake_daemon import make_server

from ownerreportd.api.access import Access, Peer
from ownerreportd.api.daemon import Caller

NOBODY = 65_534
GROUP = 54_321
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


@pytest.fixture
async def call(daemon):
    """Asks as nobody, who may open the socket's file; answers the status code."""
    folder = Path(tempfile.mkdtemp(prefix="orp-"))
    folder.chmod(0o755)
    path = folder / "api.sock"
    server = make_server(daemon, path, access=Access(own_uid=0, submit_gid=GROUP))
    path.chmod(0o666)
    await server.start()

    async def ask(method, target, body="x", groups=()):
        process = await asyncio.create_subprocess_exec(
            PYTHON, "-c", CALL, str(path), method, target, body,
            stdout=asyncio.subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=groups,
        )  # fmt: skip
        out, _ = await process.communicate()
        return int(out)

    yield ask
    await server.aclose()
    folder.rmdir()


@as_root
async def test_a_stranger_may_nothing(call, daemon):
    daemon.add("r-1")
    assert await call("PUT", "/v1/reports/a") == 403
    assert await call("GET", "/v1/status") == 403
    assert await call("GET", "/v1/version") == 403
    assert await call("DELETE", "/v1/status") == 403
    assert len(daemon.store) == 1


@as_root
async def test_a_member_of_the_group_submits_and_reads_its_own_reports(call, daemon):
    daemon.add("another-s", submitted_by_uid=0)
    groups = (GROUP, 7)
    assert await call("PUT", "/v1/reports/mine", groups=groups) == 201
    assert await call("POST", "/v1/reports", groups=groups) == 201
    assert daemon.find("mine")["submitted_by_uid"] == NOBODY
    assert await call("GET", "/v1/reports/mine", groups=groups) == 200
    assert await call("GET", "/v1/reports/mine/wait?timeout_s=0", groups=groups) == 200
    assert await call("GET", "/v1/reports/another-s", groups=groups) == 403
    assert await call("GET", "/v1/reports/another-s/wait", groups=groups) == 403
    for method, target in (
        ("GET", "/v1/reports"), ("GET", "/v1/status"), ("POST", "/v1/queue/pause"),
        ("POST", "/v1/reports/mine/skip"), ("POST", "/v1/reports/mine/send"),
    ):  # fmt: skip
        assert await call(method, target, groups=groups) == 403


@as_root
async def test_a_member_of_the_group_asks_the_gate_and_leaves_receipts(call):
    groups = (GROUP, 7)
    for target in ("manual", "generic-preflight", "force-recall", "config"):
        assert await call("POST", f"/v1/gate/{target}", body="{}", groups=groups) == 415
        assert await call("POST", f"/v1/gate/{target}", body="{}") == 403
    assert await call("POST", "/v1/receipts", body="{}", groups=groups) == 415
    for target in ("/v1/receipts", "/v1/gate/decisions", "/v1/gate/decisions/1", "/metrics"):
        assert await call("GET", target, groups=groups) == 403
