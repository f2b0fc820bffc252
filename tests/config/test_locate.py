import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ownerreportd import locate
from ownerreportd.config import load_settings
from ownerreportd.core.errors import ConfigError

FILES = {
    "named": "named/c.toml",
    "variable": "variable/c.toml",
    "systemd": "systemd/config.toml",
    "xdg": "xdg/ownerreportd/config.toml",
    "home": "home/.config/ownerreportd/config.toml",
    "etc": "etc/config.toml",
}


def environment(place, present):
    env = {"HOME": str(place / "home")}
    if "variable" in present:
        env["OWNERREPORTD_CONFIG"] = str(place / FILES["variable"])
    if "systemd" in present:
        env["CONFIGURATION_DIRECTORY"] = f"{place}/empty:{place}/systemd"
    if "xdg" in present:
        env["XDG_CONFIG_HOME"] = str(place / "xdg")
    return env


@pytest.mark.parametrize("first", range(len(FILES)))
def test_the_first_file_of_the_documented_order_counts(place, write, first):
    present = list(FILES)[first:]
    for name in present:
        write("", FILES[name])
    named = str(place / FILES["named"]) if "named" in present else None
    found = locate.find_config(environment(place, present), named)
    assert found == place / FILES[present[0]]


def test_no_file_is_fine(env):
    assert locate.find_config(env) is None


def test_xdg_without_a_file_goes_on_to_etc_and_a_relative_one_is_ignored(place, env, write):
    etc = write("", "etc/config.toml")
    assert locate.find_config({**env, "XDG_CONFIG_HOME": str(place / "nowhere")}) == etc
    home = write("")
    assert locate.find_config({**env, "XDG_CONFIG_HOME": "xdg"}) == home


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_named_file_must_exist(place, env, write, how):
    write("")
    gone = str(place / "gone.toml")
    named = gone if how == "flag" else None
    env |= {} if named else {"OWNERREPORTD_CONFIG": gone}
    with pytest.raises(ConfigError, match=r"gone\.toml, which does not exist"):
        locate.find_config(env, named)


def test_a_named_file_is_relative_to_the_working_directory_and_knows_the_home(place, env, write):
    assert locate.find_config(env, str(write("", "work/c.toml").name)) == place / "work/c.toml"
    write("", "home/c.toml")
    assert locate.find_config(env, "~/c.toml") == place / "home/c.toml"


def test_a_file_that_is_found_but_cannot_be_read_is_an_error_and_not_skipped(place, env, write):
    write("[spool]\nroot = '/x'\n", "etc/config.toml")
    (place / "home/.config/ownerreportd/config.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory") as raised:
        locate.spool_root(env, locate.find_config(env))
    assert raised.value.exit_status == 78
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(environ=env)


def test_a_link_that_leads_nowhere_is_found_and_cannot_be_read(place, env):
    folder = place / "home/.config/ownerreportd"
    folder.mkdir(parents=True)
    (folder / "config.toml").symlink_to("gone")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_settings(environ=env)


def test_a_folder_that_cannot_be_searched_is_an_error(place, env):
    """Of a name too long for the kernel too, nobody can say whether the file is there."""
    with pytest.raises(ConfigError, match="cannot be looked at: File name too long"):
        locate.find_config({**env, "CONFIGURATION_DIRECTORY": "/" + "x" * 300})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = \n", ":2: not valid TOML"),
        (b"a = 1\nb = [\n", ":3: not valid TOML"),
        (b"a = 1\n\n# \xff\n", ":3: not UTF-8"),
        (b"a = " + b"1" * 5000, ": not valid TOML"),
        (b"a = " + b"[" * 5000, ": nested too deeply"),
        (b"# " + b"x" * locate.FILE_BYTES_MAX, ": larger than 262144 bytes"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(place, env, content, said):
    path = place / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        locate.spool_root(env, path)
    assert str(raised.value).startswith(f"{path}{said}")
    with pytest.raises(ConfigError) as same:
        load_settings(config_path=str(path), environ=env)
    assert str(same.value) == str(raised.value)


def test_the_spool_root_is_flag_then_environment_then_file_then_default(place, env, write):
    file = write("[spool]\nroot = 'spool'\n")
    assert locate.spool_root(env) == place / "home/.clawteam/owner-reports"
    assert locate.spool_root(env, file) == file.parent / "spool"
    env["OWNERREPORTD_SPOOL__ROOT"] = "spool"
    assert locate.spool_root(env, file) == place / "work/spool"
    assert locate.spool_root(env, file, "~/other") == place / "home/other"


ROOTS = {
    "variable": [None, "~/v", "v", "", "~nobody-here/x"],
    "file": [None, "~/c", "c", "/c", "", "a\\u0000b", 7],
    "socket": [None, "s.sock", "~/s.sock", "", "/" + "s" * 120],
}


@pytest.mark.parametrize("home", ["absolute", "relative", "absent"])
@pytest.mark.parametrize("flag", [None, "~/f"])
def test_locate_and_config_give_the_same_answers(place, write, home, flag):
    homes = {"absolute": {"HOME": str(place / "home")}, "relative": {"HOME": "home"}, "absent": {}}
    env = {**homes[home], "XDG_CONFIG_HOME": str(place / "xdg")}
    answers = set()
    for variable, in_file, sock in itertools.product(*ROOTS.values()):
        value = f'"{in_file}"' if isinstance(in_file, str) else in_file
        lines = [] if in_file is None else ["[spool]", f"root = {value}"]
        lines += [] if sock is None else ["[socket]", f'path = "{sock}"']
        write("\n".join(lines), "xdg/ownerreportd/config.toml")
        set_root = {} if variable is None else {"OWNERREPORTD_SPOOL__ROOT": variable}
        quick, whole = both(env | set_root, flag)
        assert quick == whole, (variable, in_file, sock)
        answers.add(quick)
    assert len(answers) > 3


def both(env, flag):
    def quick():
        file = locate.find_config(env)
        return locate.spool_root(env, file, flag), locate.socket_setting(env, file)

    def whole():
        settings = load_settings(environ=env, flags={"spool.root": flag}).settings
        return settings.spool.root, Path(settings.socket.path) if settings.socket.path else None

    return outcome(quick), outcome(whole)


def outcome(ask):
    try:
        return ask()
    except ConfigError:
        return "refused"


def test_a_client_tries_the_sockets_in_the_documented_order(place, env, write):
    root = place / "spool"
    (root / "state").mkdir(parents=True)
    (root / "state/api.path").write_text(f"{place}/bound.sock\n")
    file = write(f"[spool]\nroot = '{root}'\n[socket]\npath = '~/own.sock'\n")
    assert locate.socket_candidates(env, config_path=file) == [
        place / "home/own.sock",
        place / "bound.sock",
        place / f"run/user/{os.getuid()}/ownerreportd/api.sock",
        place / "run/ownerreportd/api.sock",
        root / "state/api.sock",
    ]
    flagged = locate.socket_candidates(env, config_path=file, socket_flag="x", spool_flag="y")
    assert flagged[0] == place / "work/x"
    assert flagged[-1] == place / "work/y/state/api.sock"
    assert len(flagged) == 4


@pytest.mark.parametrize("content", [b"", b"relative.sock", b"/a\0b", b"/" + b"x" * 200])
def test_an_api_path_that_names_no_socket_is_passed_over(place, env, content):
    state = place / "home/.clawteam/owner-reports/state"
    state.mkdir(parents=True)
    (state / "api.path").write_bytes(content)
    assert locate.socket_candidates(env)[0].parts[-4:-2] == ("user", str(os.getuid()))


def test_the_same_socket_is_tried_once(place, env):
    own = str(place / "run/ownerreportd/api.sock")
    assert locate.socket_candidates(env, socket_flag=own).count(Path(own)) == 1


def test_a_daemon_binds_the_first_of_the_documented_order(place, env, write):
    file = write("[socket]\npath = '/own.sock'\n")
    env |= {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert locate.socket_to_bind(env, config_path=file) == Path("/own.sock")
    assert locate.socket_to_bind(env) == Path("/run/a/api.sock")
    del env["RUNTIME_DIRECTORY"]
    assert locate.socket_to_bind(env) == Path("/run/user/7/ownerreportd/api.sock")
    env["XDG_RUNTIME_DIR"] = "relative"
    assert locate.socket_to_bind(env, spool_flag="/s") == Path("/s/state/api.sock")


def test_a_socket_path_that_the_kernel_does_not_take_is_a_configuration_error(env):
    longest = "/" + "s" * 106
    assert locate.socket_to_bind(env, socket_flag=longest) == Path(longest)
    for keywords in ({"socket_flag": longest + "s"}, {"spool_flag": "/" + "é" * 50}):
        with pytest.raises(ConfigError, match="a Unix socket takes 107"):
            locate.socket_to_bind(env, **keywords)
    with pytest.raises(ConfigError, match="has 108 bytes"):
        locate.socket_candidates(env, socket_flag=longest + "s")


def test_107_bytes_is_what_the_kernel_takes(tmp_path):
    room = locate.SOCKET_BYTES_MAX - len(os.fsencode(tmp_path)) - 1
    if room < 1:
        pytest.fail("the temporary directory's own path is too long for this test")
    with socket.socket(socket.AF_UNIX) as sock:
        with pytest.raises(OSError, match="too long"):
            sock.bind(str(tmp_path / ("s" * (room + 1))))
        sock.bind(str(tmp_path / ("s" * room)))


def test_locate_imports_nothing_heavy():
    heavy = ["pydantic", "structlog", "httpx", "asyncio", "dataclasses", "importlib.metadata"]
    code = f"import sys, ownerreportd.locate; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
