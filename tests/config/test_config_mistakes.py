import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ownerreportd.config import load_settings, ready_destinations
from ownerreportd.core.errors import ConfigError


def mistakes(**keywords):
    with pytest.raises(ConfigError) as raised:
        load_settings(**keywords)
    assert raised.value.exit_status == 78
    return list(raised.value.mistakes)


def test_every_mistake_is_told_at_once_each_with_its_place(env, write):
    file = write("""
        [spool]
        setle_s = 3
        report_bytes_max = 0

        [queue]
        lanes = "per-destinaton"
        backoff = { initial_s = 2, factor = nan }

        [delivery]
        to = ["ownr"]

        [destinations.owner]
        channel = "pidgeon"
        target = "loft:a"

        [destinations.phone]
        channel = "pigeon"
        target = "tower"
        flights = 12
        flihgts = 1

        [[routes]]
        to = ["phone"]

        [[routes]]
        match = { teem = "x" }
        also_to = ["phon"]
    """)
    env |= {
        "OWNERREPORTD_SPOL__ROOT": "x",
        "OWNERREPORTD_SPOOL__RESCAN_S": "often",
        "OWNER_REPORT_TARGET": "channel:1",
    }
    told = mistakes(environ=env)
    expected = [
        "environment OWNER_REPORT_TARGET: is set without OWNER_REPORT_CHANNEL",
        "environment OWNERREPORTD_SPOL__ROOT: no such setting; did you mean OWNERREPORTD_SP",
        f'{file}:14: destinations.owner.channel = "pidgeon": no such channel; did you mean pigeon?',
        f'{file}:11: delivery.to[0] = "ownr": no such destination; did you mean owner? (conf',
        f'{file}:28: routes[1].also_to[0] = "phon": no such destination; did you mean phone?',
        f"{file}:4: spool.report_bytes_max = 0: must be at least 1 and at most 67108864 (b",
        'environment OWNERREPORTD_SPOOL__RESCAN_S: spool.rescan_s = "often": must be a number',
        f"{file}:3: unknown key spool.setle_s; did you mean settle_s? (known: force_network_fs, ",
        f"{file}:7: queue.lanes = \"per-destinaton\": must be 'one' or 'per-destination'; did you",
        f"{file}:8: queue.backoff.factor = NaN: must be at least 1 and at most 10 (below 1",
        f"{file}:27: unknown key routes[1].match.teem; did you mean team? (known: created, ",
        f"{file}:17: destinations.phone: no token for channel pigeon; looked for {file.parent}",
        f"{file}:20: destinations.phone.flights = 12: must be at least 1 and at most 9",
        f"{file}:21: unknown key destinations.phone.flihgts; did you mean flights?",
        f"{file}:19: phone: target 'tower' is no loft; use loft:NAME",
    ]  # fmt: skip
    for line in expected:
        assert any(one.startswith(line) for one in told), (line, told)
    assert len(told) == len(expected)


def test_one_mistake_is_the_message_itself(env, write):
    file = write("[log]\nlevel = 'loud'\n")
    with pytest.raises(ConfigError) as raised:
        load_settings(environ=env)
    line = f"{file}:2: log.level = \"loud\": must be 'debug', 'info', 'warning' or 'error'"
    assert (str(raised.value), raised.value.mistakes) == (line, (line,))
    assert raised.value.hint == "correct it; config.example.toml explains every key"


def test_several_mistakes_are_counted_in_the_message(env, write):
    write("[log]\nlevel = 'loud'\nfile = 7\n")
    with pytest.raises(ConfigError, match=r"the configuration has 2 mistakes"):
        load_settings(environ=env)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[spool]\nroot = 7", ":2: spool.root = 7: must be text"),
        ("[spool]\nroot = ''", ':2: spool.root = "": a path must not be empty'),
        ("[spool]\nroot = '~nobody-here/x'", "there is no user 'nobody-here' here"),
        ("[spool]\nsettle_s = '1'", ':2: spool.settle_s = "1": must be a number'),
        ("[spool]\nsettle_s = true", ":2: spool.settle_s = true: must be a number"),
        ("[spool]\nsettle_s = inf", ":2: spool.settle_s = Infinity: must be at least 0"),
        ("[spool]\nreport_bytes_max = 1.0", ":2: spool.report_bytes_max = 1.0: must be a whole"),
        ("[spool]\nforce_network_fs = 1", ":2: spool.force_network_fs = 1: must be true or false"),
        ("spool = 3", ":1: spool = 3: must be a table"),
        ("destinations = 3", ":1: destinations = 3: must be a table"),
        ("destinations.owner = 'x'", ':1: destinations.owner = "x": must be a table'),
        ("routes = 3", ":1: routes = 3: must be a list"),
        ("[[routes]]\nmatch = {team = 'x'}", ":1: routes[0]: a route needs `to` or `also_to`"),
        ("[[routes]]\nmatch = {team = 3}\nto=[]", "routes[0].match.team = 3: must be text, or a"),
        ("[delivery]\nto = []", "must name at least one"),
        ("[delivery]\nto = 'inbox'", "must be a list"),
        ("[delivery]\nto = ['owner']", "no such destination (none is configured)"),
        ("[delivery]\nlanguage = 'de'", "must be 'en' or 'zh-TW'"),
        ("[queue.backoff]\ninitial_s = 400", ":1: queue.backoff: initial_s must not be greater"),
        ("[socket]\nsubmit_group = 'no-such'", "there is no such group here; `getent group`"),
        (f"[socket]\npath = '/{'s' * 107}'", "a Unix socket's path has at most 107 bytes"),
        ("[gate.adapter.force_recall]\ninject_block_label = 'a b'", "1 to 64 of A-Z, 0-9, _"),
        ("[gate]\nplan_matchers = ['']", 'gate.plan_matchers[0] = "": must not be blank'),
        ("[gate]\nplanMatchers = ['x']", "unknown key gate.planMatchers; did you mean plan_matc"),
        ("[destinations.'a b']\nchannel='inbox'", 'destinations."a b": a destination\'s name has'),
        ("[destinations.override]\nchannel='inbox'", "this name is kept for OWNER_REPORT_CHANNEL"),
        ("[destinations.owner]\ntarget = 'x'", ":1: destinations.owner.channel: is missing"),
        ("[log]\nlevel = 'x'\n[destinations.owner]\nchannel = 'broken'", "cannot be loaded: No"),
        ("[destinations.a]\nchannel='inbox'\n[destinations.b]\nchannel='inbox'",
         "delivery.to: is missing; name one or more of a, b"),
        ("[destinations.owner]\nchannel='inbox'\nin_doubt='ask'", "must be 'resend' or 'hold'"),
        ("[destinations.owner]\nchannel='inbox'\narchive_on='sent'", "must be 'confirmed' or 'acc"),
        ("[destinations.owner]\nchannel='inbox'\ntimeout_s=0", "at least 0.1 and at most 600"),
        ("implicit_inbox = true", "unknown key implicit_inbox"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_told(env, write, toml, said):
    file = write(toml)
    told = mistakes(environ=env)
    assert [one for one in told if said in one and one.startswith(str(file))], told


def test_a_value_is_cut_and_cannot_forge_a_line(env, write):
    write('[log]\nlevel = "a\\nerror: b\\u202e' + "x" * 200 + '"\n')
    (told,) = mistakes(environ=env)
    assert told.isprintable()
    assert "…" in told
    assert "x" * 100 not in told


@pytest.mark.parametrize(
    "toml",
    [
        "[destinations.owner]\nchannel = 'pigeon'\ntarget='loft:a'\ntokn='sekrit'\ntoken='sekrit'",
        "[destinations.owner]\nchannel = 'pigeon'\ntarget = 'x'\ntoken = {a = 'sekrit'}",
        "[destinations.owner]\nchannel = 3\ntoken = 'sekrit'",
        "[destinations.owner]\nchannel = 'pigeon'\ntoken = ['sekrit']\ntoken_file = 'x'",
        "[log]\ntoken = 'sekrit'",
        "token = 'sekrit'",
    ],
)
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_secret_is_in_no_mistake(env, write, toml, mode):
    write(toml, mode=mode)
    with pytest.raises(ConfigError) as raised:
        ready_destinations(load_settings(environ=env))
    assert "sekrit" not in "\n".join([str(raised.value), raised.value.hint, *raised.value.mistakes])
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OWNERREPORTD_SPOOL", "x", 'spool = "x": must be a table'),
        ("OWNERREPORTD_SPOOL", "", "no such setting"),
        ("OWNERREPORTD_SPOOL__", "x", "no such setting"),
        ("OWNERREPORTD_", "x", "no such setting"),
        ("OWNERREPORTD_spool__root", "x", "no such setting"),
        ("OWNERREPORTD_SPOOL__ROOT__X", "x", "no such setting"),
        ("OWNERREPORTD_DESTINATIONS", "{}", "no such setting"),
        ("OWNERREPORTD_DESTINATIONS__OWNER", "{}", "no such setting"),
        ("OWNERREPORTD_ROUTES", "[{", 'routes = "[{": must be a list'),
        ("OWNERREPORTD_SPOOL__FORCE_NETWORK_FS", "maybe", "must be true or false"),
        ("OWNERREPORTD_SPOOL__REPORT_BYTES_MAX", "1.5", "must be a whole number"),
        ("OWNERREPORTD_SPOOL__REPORT_BYTES_MAX", "9" * 5000, "must be a whole number"),
        ("OWNERREPORTD_SPOOL__SETTLE_S", "nan", "must be at least 0 and at most 3600"),
        ("OWNERREPORTD_CONFIGG", "x", "did you mean OWNERREPORTD_CONFIG?"),
        ("OWNERREPORTD_DESTINATIONS__OVERRIDE__API_BASE", "x", "destinations.override.channel: is"),
        ("OWNER_REPORT_MAX_COUNT", "five", 'delivery.max_count = "five": must be a whole number'),
        ("OWNER_REPORT_CHANNEL", "pigeon", "is set without OWNER_REPORT_TARGET"),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_meant_is_told_by_its_name(env, name, value, said):
    told = mistakes(environ=env | {name: value})
    assert [one for one in told if one.startswith(f"environment {name}: ") and said in one], told


SECTIONS = ["spool", "queue", "delivery", "destinations", "routes", "socket", "gate", "log", "x"]
KEYS = ["root", "to", "match", "channel", "target", "token", "token_file", "backoff", "path", "é"]
SCALARS = [
    "1",
    "-1",
    "1e400",
    "nan",
    "true",
    "''",
    '"a\\u0000b"',
    "'inbox'",
    "2026-02-30",
    "[]",
    "{}",
]
WORDS = st.sampled_from(
    [*SECTIONS, *KEYS, *SCALARS, *"[]{}=.,'\"\n", "[[", "]]", '"""', " = ", "# "]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(st.text(), st.lists(WORDS, max_size=40).map("".join)))
@example(text="[destinations]\nowner = []\n")
@example(text="routes = [[]]\n")
@example(text="[[spool]]\n[[destinations]]\n")
@example(text="[destinations.inbox]\nchannel = 'inbox'\ntarget = \"a\\u0000\"\n")
def test_no_text_leads_to_anything_but_a_mistake(env, place, text):
    (place / "any.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    only_a_mistake({"config_path": str(place / "any.toml"), "environ": env})


TABLES = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner),
        max_leaves=5,
    ),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    flags=st.dictionaries(st.sampled_from(SECTIONS), TABLES),
    variables=st.dictionaries(
        st.lists(st.sampled_from([*SECTIONS, *KEYS]), max_size=4).map(
            lambda names: "OWNERREPORTD_" + "__".join(names).upper()
        ),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    ),
)
def test_no_flag_and_no_variable_leads_to_anything_but_a_mistake(env, flags, variables):
    only_a_mistake({"flags": flags, "environ": env | variables})


def only_a_mistake(keywords):
    try:
        loaded = load_settings(**keywords)
    except ConfigError:
        return
    assert loaded.settings.delivery.to
