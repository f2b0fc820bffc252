"""The first configuration: what `init` writes of a channel that can prove little."""

import tomllib

import pytest

from ownerreportd.app.beginning import configured


@pytest.mark.parametrize(
    ("channel", "target", "options"),
    [
        ("email", "owner@example.org", {"host": "smtp.example.org"}),
        ("apprise", "", {}),
        ("exec", "/usr/bin/true", {"proof": "accepted"}),
        ("webhook", "https://example.org/hook", {"proof": "accepted"}),
    ],
)
def test_a_channel_that_can_only_accept_is_agreed_to_and_the_file_says_why(
    channel, target, options
):
    text = configured(channel, target, options)
    owner = tomllib.loads(text)["destinations"]["owner"]
    assert owner == {
        "channel": channel, **({"target": target} if target else {}), **options,
        "archive_on": "accepted",
    }  # fmt: skip
    lines = text.splitlines()
    before = lines[lines.index('archive_on = "accepted"') - 1]
    assert before.startswith(f"# {channel} can say no more than that a report was accepted")


@pytest.mark.parametrize("options", [{}, {"proof": "confirmed"}])
def test_a_channel_that_confirms_keeps_the_default(options):
    owner = tomllib.loads(configured("exec", "/usr/bin/true", options))["destinations"]["owner"]
    assert "archive_on" not in owner
