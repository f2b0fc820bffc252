"""A fake daemon behind the real API on a real Unix socket, and a client that speaks to it."""

from __future__ import annotations

import httpx
import pytest
from api.fake_daemon import ErrorLog, FakeDaemon, make_server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "api.sock"


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def log():
    return ErrorLog()


@pytest.fixture
async def serve(path, daemon, log):
    """Starts the API with the options given; closes it at the end."""
    servers = []

    async def start(**options):
        servers.append(make_server(daemon, path, log=log, **options))
        await servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        await server.aclose()


@pytest.fixture
async def client(path, serve):
    await serve()
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://localhost"
    ) as client:
        yield client
