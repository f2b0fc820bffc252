import pytest
from blockbuster import blockbuster_ctx
from doubles.discord import DiscordDouble

from ownerreportd.channels.discord import DiscordChannel
from ownerreportd.channels.http import tls_context

# Made before any loop runs, as the program does at start; loading the authorities reads files.
tls_context()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """The machine's own proxy is none of the tests' business."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def no_blocking():
    """A call that blocks the event loop fails the test."""
    with blockbuster_ctx():
        yield


@pytest.fixture
async def discord(no_blocking):
    async with DiscordDouble() as double:
        yield double


@pytest.fixture
async def make_channel(discord):
    """Makes channels to the double, and closes them at the end."""
    made = []

    def make(*, target="channel:1480577550445969541", timeout_s=5.0, token=None, **options):
        options = {"api_base": discord.base, **options}
        channel = DiscordChannel(
            name="owner",
            target=target,
            options=DiscordChannel.Options(**options),
            secrets={"token": token or discord.token},
            language="en",
            timeout_s=timeout_s,
        )
        made.append(channel)
        return channel

    yield make
    for channel in made:
        await channel.aclose()


@pytest.fixture
def channel(make_channel):
    return make_channel()
