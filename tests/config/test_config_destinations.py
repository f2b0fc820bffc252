import copy
import json
import os

import pytest

from ownerreportd.config import load_settings, ready_destination, ready_destinations
from ownerreportd.core.errors import ConfigError

PIGEON = """
    [destinations.owner]
    channel = "pigeon"
    target = "loft:A"
"""


@pytest.fixture
def ready(env):
    def ready(**keywords):
        loaded = load_settings(environ=env, **keywords)
        return ready_destinations(loaded)["owner"]

    return ready


def refusal(ask, *arguments):
    with pytest.raises(ConfigError) as raised:
        ask(*arguments)
    assert raised.value.exit_status == 78
    return raised.value


def test_a_destination_is_ready_with_what_its_channel_made_of_it(ready, write):
    file = write(PIGEON + "token = 'sekrit'\nflights = 3\nloud = true\nfeathers = ['a']\n")
    owner = ready()
    assert (owner.name, owner.channel, owner.target) == ("owner", "pigeon", "loft:a")
    assert owner.kind.__name__ == "Pigeon"
    assert owner.options.model_dump() == {
        "api_base": "https://pigeon.example", "flights": 3, "loud": True, "feathers": ("a",),
        "from_": "",
    }  # fmt: skip
    assert owner.plain_secrets == {"token": "sekrit"}
    assert (owner.archive_on, owner.timeout_s) == ("confirmed", 20)
    assert file.exists()


def test_the_channels_own_way_with_doubt_holds_unless_one_is_chosen(ready, write):
    write(PIGEON + "token = 'x'\n")
    assert ready().in_doubt == "hold"
    write(PIGEON + "token = 'x'\nin_doubt = 'resend'\n")
    assert ready().in_doubt == "resend"


def test_options_from_the_environment_become_the_type_that_the_channel_wants(env, ready, write):
    write(PIGEON + "token = 'x'\n")
    named = {"FLIGHTS": "4", "LOUD": "on", "FEATHERS": "a, b", "API_BASE": "7", "TIMEOUT_S": "5"}
    env |= {f"OWNERREPORTD_DESTINATIONS__OWNER__{key}": text for key, text in named.items()}
    owner = ready()
    assert owner.options.model_dump() == {
        "api_base": "7", "flights": 4, "loud": True, "feathers": ("a", "b"), "from_": "",
    }  # fmt: skip
    assert owner.timeout_s == 5


def test_a_text_in_the_file_is_not_converted(ready, write):
    file = write(PIGEON + "token = 'x'\nflights = '4'\n")
    assert refusal(ready).mistakes == (
        f'{file}:6: destinations.owner.flights = "4": must be a whole number',
    )


def test_a_key_that_python_keeps_for_itself_is_known_by_its_own_name(ready, write):
    file = write(PIGEON + "token = 'x'\nfrom = 'home'\n")
    assert ready().options.from_ == "home"
    write(PIGEON + "token = 'x'\nfrom = 'far, far away'\nfrom_ = 'home'\n")
    wrong, unknown = refusal(ready).mistakes
    assert wrong.startswith(f"{file}:6: destinations.owner.from = ")
    assert wrong.endswith("(whence it flies)")
    assert unknown.startswith(f"{file}:7: unknown key destinations.owner.from_; did you mean from?")


def test_a_channel_that_proves_less_must_be_told_so(env, write):
    file = write("[destinations.owner]\nchannel='crow'\ntarget='loft:A'\n")
    loaded = load_settings(environ=env)
    error = refusal(ready_destinations, loaded)
    assert f'{file}:1: destinations.owner.archive_on = "confirmed"' in str(error)
    assert 'archive_on = "accepted"' in str(error)
    write(file.read_text() + "archive_on = 'accepted'\n")
    assert ready_destinations(load_settings(environ=env))["owner"].archive_on == "accepted"


def test_a_destination_that_proves_less_must_be_told_so_too(env, write):
    file = write("[destinations.owner]\nchannel='exec'\ntarget='/bin/true'\nproof='accepted'\n")
    error = refusal(ready_destinations, load_settings(environ=env))
    assert 'archive_on = "accepted"' in str(error)
    write(file.read_text() + "archive_on = 'accepted'\n")
    assert ready_destinations(load_settings(environ=env))["owner"].archive_on == "accepted"


@pytest.mark.parametrize("where", ["credentials", "beside", "xdg", "home", "etc", "store"])
def test_a_token_is_looked_up_in_the_documented_places_in_order(env, place, write, ready, where):
    write(PIGEON, "conf/config.toml")
    env |= {
        "OWNERREPORTD_CONFIG": str(place / "conf/config.toml"),
        "CREDENTIALS_DIRECTORY": str(place / "credentials"),
        "XDG_CONFIG_HOME": str(place / "xdg"),
    }
    folders = {
        "credentials": "credentials", "beside": "conf", "xdg": "xdg/ownerreportd",
        "home": "home/.config/ownerreportd", "etc": "etc", "store": "credstore",
    }  # fmt: skip
    for name in list(folders)[list(folders).index(where) :]:
        write(f"from {name}\n", f"{folders[name]}/pigeon.token")
    assert ready().plain_secrets == {"token": f"from {where}"}


def test_a_missing_token_lists_the_places_that_were_tried(env, place, write, ready):
    file = write(PIGEON)
    error = refusal(ready)
    assert str(error) == (
        f"{file}:2: destinations.owner: no token for channel pigeon; looked for "
        f"{file.parent}/pigeon.token, {place}/etc/pigeon.token, {place}/credstore/pigeon.token"
    )
    hint = f"put it into {file.parent}/pigeon.token (mode 600), or set token_file"
    assert error.hint == hint, "not into /etc, where a user may write nothing"
    env["CREDENTIALS_DIRECTORY"] = str(place / "credentials")
    assert refusal(ready).hint == hint, "nor into what is the service manager's"


def test_what_the_systems_store_lets_others_read_is_a_mistake(place, write, ready):
    write(PIGEON)
    write("sekrit", "credstore/pigeon.token", mode=0o644)
    assert f"run: chmod 600 {place}/credstore/pigeon.token" in str(refusal(ready))


def test_what_the_systems_store_keeps_from_us_is_not_there(place, write, ready, monkeypatch):
    write(PIGEON)
    write("sekrit", "credstore/pigeon.token")
    readable = os.access
    closed = place / "credstore/pigeon.token"
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and readable(path, mode))
    assert f"{closed} (only root can read it)" in str(refusal(ready))


def test_a_place_that_cannot_be_looked_into_is_named_with_the_reason(env, write, ready):
    write(PIGEON)
    env["CREDENTIALS_DIRECTORY"] = "/" + "c" * 300
    assert "pigeon.token (File name too long), " in str(refusal(ready))


def test_a_channel_can_do_without_an_optional_secret(write, ready):
    write(PIGEON + "token = 'x'\n")
    assert set(ready().secrets) == {"token"}
    write("gold\n", "etc/pigeon.ring")
    assert ready().plain_secrets == {"token": "x", "ring": "gold"}


@pytest.mark.parametrize(
    ("content", "read"),
    [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a"), (" a b ", " a b "), ("密", "密")],
)
def test_a_token_file_loses_its_trailing_line_breaks_alone(place, write, ready, content, read):
    file = write(PIGEON + "token_file = 'secret/t'\n")
    secret = file.parent / "secret/t"
    secret.parent.mkdir()
    secret.write_bytes(content.encode())
    secret.chmod(0o400)
    assert ready().plain_secrets == {"token": read}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"  \n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"x" * 70_000, "larger than 65536 bytes"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_token_file_without_a_token_is_a_mistake(write, ready, content, said):
    file = write(PIGEON + "token_file = 't'\n")
    if content is not None:
        (file.parent / "t").write_bytes(content)
        (file.parent / "t").chmod(0o600)
    assert str(refusal(ready)).startswith(f"{file.parent}/t: {said}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610, 0o601, 0o660])
@pytest.mark.parametrize("how", ["token_file", "look-up", "token"])
def test_a_file_with_a_secret_must_be_private(write, ready, mode, how):
    extra = {"token_file": "token_file = 't'\n", "look-up": "", "token": "token = 'sekrit'\n"}[how]
    file = write(PIGEON + extra, mode=mode if how == "token" else 0o644)
    path = {"token_file": "t", "look-up": "pigeon.token", "token": "config.toml"}[how]
    if how != "token":
        write("sekrit", f"home/.config/ownerreportd/{path}", mode=mode)
    error = refusal(ready)
    command = f"chmod 600 {file.parent}/{path}"
    why = f"holds a secret, and its mode {mode:04o} lets others in"
    assert str(error) == f"{file.parent}/{path}: {why}; run: {command}"
    assert error.hint == command
    (file.parent / path).chmod(0o600)
    assert ready().plain_secrets == {"token": "sekrit"}


def test_below_the_credentials_folder_permissions_are_not_asked(env, place, write, ready):
    write(PIGEON, mode=0o644)
    env["CREDENTIALS_DIRECTORY"] = str(place / "credentials")
    write("sekrit", "credentials/pigeon.token", mode=0o444)
    assert ready().plain_secrets == {"token": "sekrit"}
    (place / "credentials/pigeon.token").unlink()
    outside = write("sekrit", "outside", mode=0o444)
    (place / "credentials/pigeon.token").symlink_to(outside)
    assert "lets others in" in str(refusal(ready))


def test_a_token_file_with_a_token_beside_it_is_a_mistake(write, ready):
    write(PIGEON + "token = 'x'\ntoken_file = 't'\n")
    assert "both token and token_file are set" in str(refusal(ready))


def test_a_token_is_not_taken_from_the_command_line(write, ready):
    write(PIGEON)
    flags = {"destinations.owner.token": "sekrit"}
    error = refusal(lambda: ready(flags=flags))
    assert "token is not taken from the command line" in str(error)
    assert "sekrit" not in str(error)


def test_a_secret_is_in_no_representation(env, write):
    write(PIGEON + "token = 'sekrit'\nurl = 'sekrit'\nheaders = { a = 'sekrit' }\n")
    loaded = load_settings(environ=env)
    assert "sekrit" not in repr(loaded)
    assert "sekrit" not in str(loaded.settings)
    assert "sekrit" not in repr(copy.copy(loaded.settings.destinations["owner"]))
    dumped = loaded.settings.model_dump(mode="json")["destinations"]["owner"]
    assert dumped["token"] == dumped["url"] == "**********"
    write(PIGEON + "token = 'sekrit'\n")
    assert "sekrit" not in repr(ready_destinations(load_settings(environ=env)))


def test_settings_do_not_ask_for_secrets_and_import_no_channel(env, write):
    write("[destinations.owner]\nchannel = 'broken'\ntoken_file = 'gone'\n")
    assert load_settings(environ=env).settings.delivery.to == ("owner",)


OLD = {"OWNER_REPORT_CHANNEL": "pigeon", "OWNER_REPORT_TARGET": "loft:B"}


def test_the_override_needs_nothing_else_but_the_tokens_file(env, write):
    write("sekrit\n", "home/.config/ownerreportd/pigeon.token")
    found = ready_destinations(load_settings(environ=env | OLD))
    assert list(found) == ["override"]
    override = found["override"]
    assert (override.target, override.plain_secrets) == ("loft:b", {"token": "sekrit"})


def test_the_override_is_otherwise_the_configured_destination_of_its_channel(env, write):
    write(PIGEON + "flights = 5\ntoken = 'own'\n")
    override = ready_destinations(load_settings(environ=env | OLD))["override"]
    assert (override.target, override.options.flights) == ("loft:b", 5)
    assert override.plain_secrets == {"token": "own"}


def test_a_destination_for_once_is_made_like_the_override(env, write):
    write(PIGEON + "flights = 5\ntoken = 'own'\n")
    write("looked up", "home/.config/ownerreportd/pigeon.token")
    loaded = load_settings(environ=env)
    once = ready_destination(loaded, name="once", channel="pigeon", target="loft:C")
    assert (once.name, once.target, once.options.flights) == ("once", "loft:c", 5)
    write("[destinations.owner]\nchannel='inbox'\n")
    loaded = load_settings(environ=env)
    once = ready_destination(loaded, name="once", channel="pigeon", target="loft:C")
    assert (once.options.flights, once.plain_secrets) == (1, {"token": "looked up"})
    error = refusal(lambda: ready_destination(loaded, name="x", channel="crew", target="loft:C"))
    assert str(error).endswith("unknown channel 'crew'")
    assert "crow" in error.hint


def test_a_target_of_before_is_reached_as_the_destination_of_that_name(env, write):
    other = "[destinations.other]\nchannel = 'pigeon'\ntarget = 'loft:B'\n"
    write(PIGEON + "token = 'own'\n" + other + "token = 'of the other'\nflights = 2\n")
    before = ready_destination(
        load_settings(environ=env), name="other", channel="pigeon", target="loft:before"
    )
    assert (before.target, before.options.flights) == ("loft:before", 2)
    assert before.plain_secrets == {"token": "of the other"}


def test_origins_can_be_shown_as_json(env, write):
    write(PIGEON + "token = 'sekrit'\n")
    origins = load_settings(environ=env).origins
    assert "sekrit" not in json.dumps(dict(origins))
    assert origins["destinations.owner.token"].endswith("config.toml:5")
