"""`channels`: what is installed, what it can prove, and what can be set."""

import json
import re

from ownerreportd import channels


def test_every_installed_channel_says_what_it_proves_needs_and_takes(run):
    found = run("channels", "--json")
    assert found.status == 0
    shown = {each["name"]: each for each in json.loads(found.out)["channels"]}
    assert list(shown) == list(channels.installed())
    for name, entry in shown.items():
        kind = channels.load(name)
        assert entry["proof"] == kind.capabilities.proof
        assert entry["text_max"] == kind.capabilities.text_max
        fields = kind.Options.model_fields.items()
        assert [each["name"] for each in entry["options"]] == [f.alias or n for n, f in fields]
        assert all(each["description"] for each in entry["options"]), name
        needed = [each["name"] for each in entry["secrets"] if each["needed"]]
        assert tuple(needed) == kind.secret_names
        assert entry["target"] or name in {"inbox", "console", "email"}, name


def test_for_people_one_paragraph_each_and_one_channel_with_its_options(run):
    found = run("channels").out
    assert "discord\n  proves delivery; knows a repeat for 120 s, can be read back; " in found
    assert "  secret: token, in discord.token\n" in found
    assert "\nconsole\n" in f"\n{found}"
    one = run("channels", "webhook").out
    assert one.startswith("webhook\n")
    assert re.search(r"\n  dedup_window_s +86400\.0 +how long the receiver surely remembers", one)
    assert "discord" not in one


def test_a_mistyped_name_gets_the_nearest(run):
    found = run("channels", "discrod")
    assert found.status == 78
    assert "did you mean 'discord'?" in found.err


class Half:
    """What somebody began."""


def test_one_that_is_no_channel_is_listed_with_what_it_lacks(run, monkeypatch):
    from importlib.metadata import EntryPoint

    half = EntryPoint("half", f"{__name__}:Half", channels.GROUP)
    monkeypatch.setattr(channels, "installed", lambda: {"half": half})
    found = run("channels")
    assert found.status == 0
    assert "it has no Options, capabilities, secret_names" in found.out


def test_one_that_cannot_be_loaded_is_listed_with_the_reason(run, monkeypatch):
    from importlib.metadata import EntryPoint

    broken = EntryPoint("broken", "no_such_module:Channel", channels.GROUP)
    monkeypatch.setattr(channels, "installed", lambda: {"broken": broken})
    found = run("channels")
    assert found.status == 0
    assert "broken\n  cannot be used: the channel 'broken' cannot be loaded" in found.out
    assert "hint: install what no_such_module:Channel needs" in found.out
