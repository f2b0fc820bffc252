"""A channel's type becomes its class through entry points, and only when it is asked for."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel, ValidationError

from ownerreportd import channels
from ownerreportd.core.errors import ConfigError

BUILT_IN = ["console", "discord", "inbox"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_channel_offers_what_the_configuration_asks(name):
    kind = channels.load(name)
    assert issubclass(kind.Options, BaseModel)
    assert kind.Options.model_config["frozen"]
    assert isinstance(kind.secret_names, tuple)
    assert kind.default_in_doubt == "resend"
    assert kind.capabilities.proof == "confirmed"
    with pytest.raises(ValidationError):
        kind.Options.model_validate({"no_such_key": 1})


def test_the_built_in_channels_are_installed_in_alphabetical_order():
    assert [name for name in channels.installed() if name in BUILT_IN] == BUILT_IN


def test_an_unknown_type_names_the_nearest_and_all():
    with pytest.raises(ConfigError) as caught:
        channels.load("discrod")
    assert "'discrod'" in str(caught.value)
    assert "did you mean 'discord'?" in caught.value.hint
    assert f"installed are: {', '.join(channels.installed())}" in caught.value.hint


def test_a_type_like_no_other_is_answered_with_the_list_alone():
    with pytest.raises(ConfigError) as caught:
        channels.load("zzz")
    assert caught.value.hint.startswith("installed are:")


def entries(*values):
    return [EntryPoint(name, value, channels.GROUP) for name, value in values]


def test_a_channel_whose_library_is_missing_says_what_needs_it(monkeypatch):
    found = entries(("pager", "no_such_library:Pager"))
    monkeypatch.setattr(channels, "entry_points", lambda **_: found)
    with pytest.raises(ConfigError, match="'pager' cannot be loaded"):
        channels.load("pager")


def test_two_packages_under_one_name_are_an_error_but_one_seen_twice_is_not(monkeypatch):
    found = entries(("a", "x:A"), ("a", "x:A"))
    monkeypatch.setattr(channels, "entry_points", lambda **_: found)
    assert list(channels.installed()) == ["a"]
    found.append(entries(("a", "y:A"))[0])
    with pytest.raises(ConfigError, match="two packages"):
        channels.installed()


def test_nothing_heavy_is_imported_before_a_channel_is_asked_for():
    code = (
        "import sys; from ownerreportd import channels; channels.installed();"
        "print([m for m in ('httpx', 'pydantic', 'anyio') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
