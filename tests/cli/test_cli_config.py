"""`config`: every mistake at once, what counts and since where, and the schema for editors."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "planted-token-0123456789"


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A file of mode 0600 with a Discord destination, and a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "c.toml"

    def write(text):
        path.write_text(text)
        path.chmod(0o600)
        return ("--config", str(path))

    return write


GOOD = f"""[spool]
settle_s = 2
[destinations.owner]
channel = "discord"
target = "channel:1"
token = "{TOKEN}"
[[routes]]
to = ["owner"]
match.team = "資料"
[gate]
debug = true
"""


def test_a_right_configuration_is_told_in_short(run, configured):
    flags = configured(GOOD)
    ended = run(*flags, "config", "check")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"ok: {flags[1]}, 1 destination\n  owner: discord channel:1\n"


def test_without_a_file_the_defaults_are_right(run, configured):
    ended = run("config", "check")
    assert ended.status == 0
    assert ended.out.startswith("ok: no file, the defaults, 1 destination\n  inbox: inbox")


def test_five_mistakes_are_five_messages(run, configured, monkeypatch):
    monkeypatch.setenv("OWNERREPORTD_QUEUE__LANS", "one")
    ended = run(
        *configured(
            '[spool]\nsetle_s = 1\n[queue]\nstop_grace_s = -1\n[gate]\nplan_matchers = "x"\n'
            '[destinations.owner]\nchannel = "dicsord"\ntarget = "1"\n'
        ),
        "config", "check",
    )  # fmt: skip
    assert (ended.status, ended.out) == (78, "")
    for text in (
        "5 mistakes", ":2:", "setle_s", "settle_s", ":4: queue.stop_grace_s",
        ":6: gate.plan_matchers", ":8:", "dicsord", "discord", "OWNERREPORTD_QUEUE__LANS",
    ):  # fmt: skip
        assert text in ended.err, (text, ended.err)


def test_what_counts_and_where_it_comes_from(run, configured, monkeypatch):
    monkeypatch.setenv("OWNERREPORTD_LOG__LEVEL", "debug")
    flags = configured(GOOD)
    found = {e["key"]: e for e in json.loads(run(*flags, "config", "show", "--json").out)}
    assert found["spool.settle_s"] == {
        "key": "spool.settle_s", "value": 2.0, "origin": f"{flags[1]}:2",
    }  # fmt: skip
    assert found["log.level"]["origin"] == "environment OWNERREPORTD_LOG__LEVEL"
    assert found["queue.lanes"] == {"key": "queue.lanes", "value": "one", "origin": "default"}
    assert found["gate.debug"]["value"] is True
    assert found["routes"]["value"] == [{"match": {"team": ["資料"]}, "to": ["owner"]}]
    assert found["destinations.owner.token"]["value"] == "********"
    shown = run(*flags, "config", "show")
    assert len(shown.out.splitlines()) == len(found)
    assert TOKEN not in shown.out + shown.err
    flagged = run(*flags, "--spool", "/tmp/elsewhere", "config", "show", "--json").out
    [root] = [e for e in json.loads(flagged) if e["key"] == "spool.root"]
    assert root["value"] == "/tmp/elsewhere"


def test_the_schema_is_the_one_that_is_checked_in_and_named(run):
    checked_in = (ROOT / "docs/config.schema.json").read_text(encoding="utf-8")
    assert run("config", "schema").out == checked_in
    first = (ROOT / "config.example.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "#:schema docs/config.schema.json"
    schema = json.loads(checked_in)
    assert schema["properties"].keys() >= {"spool", "queue", "destinations", "gate", "routes"}


def test_the_group_alone_shows_its_help(run):
    assert run("config").out.startswith("Usage: ")
