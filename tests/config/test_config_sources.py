import pytest

from ownerreportd.config import load_settings
from ownerreportd.core.errors import ConfigError

DISCORD = """
    [destinations.owner]
    channel = "discord"
    target = "channel:1"
"""


def test_nothing_configured_means_the_local_inbox_and_says_so(env, place):
    loaded = load_settings(environ=env)
    root = place / "home/.clawteam/owner-reports"
    assert loaded.path is None
    assert loaded.settings.spool.root == root
    assert loaded.settings.implicit_inbox
    assert loaded.settings.delivery.to == ("inbox",)
    inbox = loaded.settings.destinations["inbox"]
    assert (inbox.channel, inbox.target) == ("inbox", f"{root}/inbox")
    assert loaded.origins["spool.root"] == "default"


def test_an_inbox_that_is_configured_is_not_implicit(env, place, write):
    write("[destinations.mine]\nchannel = 'inbox'\n")
    settings = load_settings(environ=env).settings
    assert not settings.implicit_inbox
    assert settings.delivery.to == ("mine",)
    assert settings.destinations["mine"].target == str(settings.spool.root / "inbox")


def test_every_remote_destination_ends_the_implicit_inbox(env, write):
    write(DISCORD)
    settings = load_settings(environ=env).settings
    assert not settings.implicit_inbox
    assert list(settings.destinations) == ["owner"]


def test_without_delivery_to_the_owner_is_meant_else_the_only_one(env, write):
    write(DISCORD + "[destinations.b]\nchannel = 'inbox'\n")
    assert load_settings(environ=env).settings.delivery.to == ("owner",)
    write("[destinations.b]\nchannel = 'inbox'\n")
    assert load_settings(environ=env).settings.delivery.to == ("b",)


def test_flag_wins_over_environment_over_old_variable_over_file(env, write):
    file = write("[delivery]\nmax_count = 1\n")
    seen = []

    def look(flags=None):
        loaded = load_settings(environ=env, flags=flags or {})
        origin = loaded.origins["delivery.max_count"]
        seen.append((loaded.settings.delivery.max_count, origin))

    look()
    env["OWNER_REPORT_MAX_COUNT"] = "2"
    look()
    env["OWNERREPORTD_DELIVERY__MAX_COUNT"] = "3"
    look()
    look({"delivery.max_count": None})
    look({"delivery.max_count": "4"})
    look({"delivery": {"max_count": 5}})
    assert seen == [
        (1, f"{file}:2"),
        (2, "environment OWNER_REPORT_MAX_COUNT"),
        (3, "environment OWNERREPORTD_DELIVERY__MAX_COUNT"),
        (3, "environment OWNERREPORTD_DELIVERY__MAX_COUNT"),
        (4, "command line"),
        (5, "command line"),
    ]


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("SPOOL__SETTLE_S", "0.5", lambda s: s.spool.settle_s == 0.5),
        ("SPOOL__SETTLE_S", " 2 ", lambda s: s.spool.settle_s == 2),
        ("SPOOL__REPORT_BYTES_MAX", "2_000", lambda s: s.spool.report_bytes_max == 2000),
        ("SPOOL__FORCE_NETWORK_FS", "Yes", lambda s: s.spool.force_network_fs is True),
        ("SPOOL__FORCE_NETWORK_FS", "0", lambda s: s.spool.force_network_fs is False),
        ("QUEUE__LANES", "per-destination", lambda s: s.queue.lanes == "per-destination"),
        ("QUEUE__BACKOFF__INITIAL_S", "9", lambda s: s.queue.backoff.initial_s == 9),
        ("QUEUE__BACKOFF", "{initial_s = 9}", lambda s: s.queue.backoff.initial_s == 9),
        ("QUEUE__BACKOFF", '{"initial_s": 9}', lambda s: s.queue.backoff.ceiling_s == 100),
        ("DELIVERY__TO", "owner, b", lambda s: s.delivery.to == ("owner", "b")),
        ("DELIVERY__TO", '["b"]', lambda s: s.delivery.to == ("b",)),
        ("DELIVERY__TO", "['b']", lambda s: s.delivery.to == ("b",)),
        ("ROUTES", '[{"match": {"team": "x"}, "to": ["b"]}]', lambda s: s.routes[0].to == ("b",)),
        ("ROUTES", "[{match.team = 'x', to = 'b'}]", lambda s: s.routes[0].match.team == ("x",)),
        ("GATE__ADAPTER__FORCE_RECALL__ENABLED", "off",
         lambda s: not s.gate.adapter.force_recall.enabled),
        ("LOG__FILE", "", lambda s: s.log.file == ""),
        ("DESTINATIONS__OWNER__TIMEOUT_S", "7", lambda s: s.destinations["owner"].timeout_s == 7),
        ("DESTINATIONS__OWNER__API_BASE", "1.0", lambda s: s.destinations["owner"].options
         == {"api_base": "1.0"}),
        ("DESTINATIONS__B_2__TARGET", "/x", lambda s: s.destinations["b-2"].target == "/x"),
        ("DESTINATIONS__NEW__CHANNEL", "inbox", lambda s: s.destinations["new"].channel == "inbox"),
    ],
)  # fmt: skip
def test_a_variable_becomes_the_type_of_its_key(env, write, variable, text, read):
    write(
        DISCORD + "[destinations.b]\nchannel='inbox'\n[destinations.b-2]\nchannel='inbox'\n"
        "[queue.backoff]\nceiling_s = 100\n"
    )
    assert read(load_settings(environ=env | {f"OWNERREPORTD_{variable}": text}).settings)


def test_the_programs_other_variables_are_no_mistake(env, write):
    file = write("", "named.toml")
    env |= {"OWNERREPORTD_CONFIG": str(file), "OWNERREPORTD_DEBUG": "1"}
    assert load_settings(environ=env).path == file


def test_bare_names_in_the_environment_are_nobodys_setting(env):
    env |= {
        "SPOOL": "x",
        "spool": "y",
        "ROUTES": "z",
        "CHANNEL": "c",
        "ownerreportd_spool__root": "v",
    }
    assert load_settings(environ=env).settings.implicit_inbox


def test_a_path_counts_from_where_it_stands(env, place, write):
    file = write(
        "[spool]\nroot='s'\n[log]\nfile='~/l'\n[gate]\nreceipt_dir='~/r'\n[socket]\npath='../a'\n"
        "[destinations.owner]\nchannel='discord'\ntarget='1'\ntoken_file='t'\n"
        "[destinations.box]\nchannel='inbox'\ntarget='mail'\n",
        "etc/config.toml",
    )
    settings = load_settings(environ=env).settings
    assert settings.spool.root == file.parent / "s"
    assert settings.log.file == str(place / "home/l")
    assert settings.socket.path == str(file.parent / "../a")
    assert settings.receipt_dir == place / "home/r"
    assert settings.destinations["owner"].options["token_file"] == str(file.parent / "t")
    assert settings.destinations["box"].target == str(file.parent / "mail")
    env |= {"OWNERREPORTD_DESTINATIONS__OWNER__TOKEN_FILE": "t"}
    settings = load_settings(environ=env, flags={"spool.root": "f"}).settings
    assert settings.destinations["owner"].options["token_file"] == str(place / "work/t")
    assert settings.spool.root == place / "work/f"


def test_receipts_are_below_the_spool_unless_told_otherwise(env, place):
    flags = {"spool.root": "/s"}
    usual = load_settings(environ=env, flags=flags).settings.receipt_dir
    assert str(usual) == "/s/state/approved-plan-continuity"
    flags["gate.receipt_dir"] = "/r"
    assert str(load_settings(environ=env, flags=flags).settings.receipt_dir) == "/r"


def test_origins_name_the_line_even_within_inline_tables_and_arrays(env, write):
    file = write(
        """
        # a comment
        [queue]
        backoff = {
        initial_s = 3 }
    """.replace("{\n        ", "{ ")
    )
    write(file.read_text() + '[[routes]]\nto = [\n "inbox",\n]\n')
    origins = load_settings(environ=env).origins
    assert origins["queue.backoff.initial_s"] == f"{file}:4"
    assert origins["queue.backoff.factor"] == "default"
    assert origins["routes"] == f"{file}:5"


OLD = {"OWNER_REPORT_CHANNEL": "discord", "OWNER_REPORT_TARGET": "channel:9"}
ROUTED = (
    DISCORD
    + 'api_base = "http://127.0.0.1:9"\ntimeout_s = 3\n'
    + "[destinations.b]\nchannel='inbox'\n[[routes]]\nto=['b']\n"
)


def test_the_old_variables_replace_destination_and_routes(env, write):
    file = write(ROUTED)
    loaded = load_settings(environ=env | OLD)
    settings = loaded.settings
    assert settings.override
    assert settings.delivery.to == ("override",)
    assert settings.routes == ()
    override = settings.destinations["override"]
    assert (override.channel, override.target, override.timeout_s) == ("discord", "channel:9", 3)
    assert override.options == {"api_base": "http://127.0.0.1:9"}
    assert settings.destinations["owner"].target == "channel:1"
    assert loaded.origins["destinations.override.channel"] == "environment OWNER_REPORT_CHANNEL"
    assert loaded.origins["destinations.override.api_base"] == f"{file}:5"
    assert not load_settings(environ=env).settings.override


def test_the_old_variables_are_a_whole_configuration(env):
    settings = load_settings(environ=env | OLD).settings
    assert list(settings.destinations) == ["override"]
    assert settings.override
    assert not settings.implicit_inbox


def test_the_override_takes_options_from_newer_variables(env, write):
    write(ROUTED)
    env |= OLD | {"OWNERREPORTD_DESTINATIONS__OVERRIDE__API_BASE": "http://127.0.0.1:8"}
    override = load_settings(environ=env).settings.destinations["override"]
    assert override.options["api_base"] == "http://127.0.0.1:8"


@pytest.mark.parametrize("how", ["variable", "flag"])
def test_the_old_variables_lose_against_newer_words(env, write, how):
    write(ROUTED)
    env |= OLD
    flags = {"delivery.to": ["b"]} if how == "flag" else {}
    if how == "variable":
        env["OWNERREPORTD_DELIVERY__TO"] = "b"
    loaded = load_settings(environ=env, flags=flags)
    assert loaded.settings.delivery.to == ("b",)
    assert not loaded.settings.override
    assert len(loaded.settings.routes) == 1
    assert "override" not in loaded.settings.destinations
    where = "command line" if flags else "environment OWNERREPORTD_DELIVERY__TO"
    assert loaded.warnings == (
        f"OWNER_REPORT_CHANNEL has no effect, since {where} sets delivery.to",
    )


def test_empty_old_variables_count_as_not_set(env):
    env |= {"OWNER_REPORT_CHANNEL": "", "OWNER_REPORT_TARGET": "", "OWNER_REPORT_MAX_COUNT": ""}
    assert load_settings(environ=env).settings.implicit_inbox


def test_an_old_variable_that_is_mistyped_is_a_warning(env):
    warnings = load_settings(environ=env | {"OWNER_REPORT_CHANEL": "x"}).warnings
    assert warnings == (
        "environment OWNER_REPORT_CHANEL has no effect; did you mean OWNER_REPORT_CHANNEL?",
    )


def test_settings_are_frozen_through_and_through(env, write):
    write(DISCORD)
    settings = load_settings(environ=env).settings
    for holder, name in (
        (settings, "spool"),
        (settings.spool, "root"),
        (settings.queue.backoff, "jitter"),
    ):
        with pytest.raises(ValueError, match="frozen"):
            setattr(holder, name, None)
    with pytest.raises(ValueError, match="frozen"):
        settings.destinations["owner"].target = "x"


def test_a_route_tells_its_patterns(env, write):
    write("[[routes]]\nmatch = {team = 'prod-*', status = ['blocked', 'failed']}\nto = ['inbox']\n")
    (route,) = load_settings(environ=env).settings.routes
    assert route.match.patterns() == {"team": ("prod-*",), "status": ("blocked", "failed")}
    assert route.also_to == ()


def test_a_home_that_is_handed_in_wins_over_the_environment(env, place, write):
    write("", "other/.config/ownerreportd/config.toml")
    loaded = load_settings(environ=env, home=place / "other")
    assert loaded.path == place / "other/.config/ownerreportd/config.toml"
    assert loaded.settings.spool.root == place / "other/.clawteam/owner-reports"


def test_two_packages_with_the_same_channel_are_a_mistake(env, place, write):
    info = place / "site/thieves-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thieves\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ownerreportd.channels]\npigeon = thieves:Magpie\n")
    write("[destinations.owner]\nchannel = 'pigeon'\n")
    with pytest.raises(ConfigError, match="two packages install a channel 'pigeon'"):
        load_settings(environ=env)
