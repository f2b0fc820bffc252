"""The terminal shows the text whole, and nothing that would repaint it."""

import errno
import io
import sys
from datetime import UTC, datetime

import pytest

from ownerreportd.channels.console import ConsoleChannel
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Receipt, Rejected, Unknown
from ownerreportd.core.report import Report


@pytest.fixture
def channel(no_blocking):
    return ConsoleChannel(
        name="console",
        target="stdout",
        options=ConsoleChannel.Options(),
        secrets={},
        language="en",
        timeout_s=5,
    )


def part(text):
    return Part(1, 1, text.encode(), b"mark", "key")


async def test_the_text_is_written_and_confirmed(channel, capfdbinary):
    (rendered,) = channel.render(Report("r", "進度 **50%**\n"))
    outcome = await channel.send(Part(1, 1, rendered.plain, rendered.marked, "key"))
    assert outcome == Confirmed(Receipt("key"))
    assert "進度 **50%**" in capfdbinary.readouterr().out.decode()


async def test_control_characters_are_not_passed_on(channel, capfdbinary):
    await channel.send(part("a\x1b[2Jb\tc\nd\x9b"))
    assert (
        capfdbinary.readouterr().out.decode()
        == "a\N{REPLACEMENT CHARACTER}[2Jb\tc\nd\N{REPLACEMENT CHARACTER}\n\n"
    )


class Broken(io.BytesIO):
    def write(self, _data):
        raise OSError(errno.EPIPE, "Broken pipe")


async def test_a_terminal_that_went_away_leaves_a_doubt(channel, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Broken()))
    assert isinstance(await channel.send(part("x")), InDoubt)


async def test_without_standard_output_it_is_the_configurations_fault(channel, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    outcome = await channel.send(part("x"))
    assert isinstance(outcome, Rejected)
    assert outcome.scope == "config"
    assert [p.code for p in await channel.check()] == ["console.closed"]


async def test_it_cannot_be_read_back(channel):
    since = datetime(2026, 11, 22, tzinfo=UTC)
    assert isinstance(await channel.look(part("x"), since, frozenset()), Unknown)


@pytest.mark.parametrize("target", ["", "-", "stdout"])
def test_the_target_may_be_left_out(target):
    assert ConsoleChannel.check_target(target) == "stdout"


def test_another_target_is_refused():
    with pytest.raises(ConfigError, match="'stderr'"):
        ConsoleChannel.check_target("stderr")
