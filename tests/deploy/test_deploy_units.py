"""The unit files: systemd takes them without a word, and they say what the program does."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ownerreportd import channels, locate, systemd
from ownerreportd.attempt import OVERDUE_S
from ownerreportd.config.settings import Queue
from ownerreportd.systemd.installation import Installation
from ownerreportd.systemd.unit_files import CONFIG

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAM = Path(sys.executable).with_name("ownerreportd")
UNITS = ("ownerreportd.service", "ownerreportd.socket")
EXPOSURE_MAX = 1.5


def read(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def settings(name):
    """Every setting of a unit file, with all its values in their order."""
    found = {}
    for line in read(name).splitlines():
        if "=" in line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def units(tmp_path):
    """The units as they are installed: with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze judges the units")
    shutil.copytree(FOLDER, tmp_path / "units")
    for path in (tmp_path / "units").rglob("*.service"):
        path.write_text(path.read_text().replace("/usr/bin/ownerreportd", str(PROGRAM)))
    return tmp_path / "units"


def analyze(*words, runtime):
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, env=environ
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["system", "user"])
def test_systemd_takes_the_units_without_a_word(units, tmp_path, kind):
    files = [units / kind / name for name in UNITS]
    assert analyze("verify", f"--{kind}", *files, runtime=tmp_path) == (0, "")


def test_systemd_takes_the_examples_without_a_word(units, tmp_path):
    service = units / "system" / "ownerreportd.service"
    folder = service.with_name("ownerreportd.service.d")
    folder.mkdir()
    shutil.copy(units / "system" / "programs.conf", folder)
    (folder / "failed.conf").write_text("[Unit]\nOnFailure=ownerreportd-failed@%n.service\n")
    failed = units / "system" / "ownerreportd-failed@.service"
    assert analyze("verify", service, failed, runtime=tmp_path) == (0, "")


def test_a_mistake_in_a_unit_is_said(units, tmp_path):
    service = units / "system" / "ownerreportd.service"
    service.write_text(service.read_text().replace("ProtectHome=yes", "ProtectHome=perhaps"))
    assert "perhaps" in analyze("verify", service, runtime=tmp_path)[1]


def test_the_system_unit_exposes_little(units, tmp_path):
    service = units / "system" / "ownerreportd.service"
    status, said = analyze("security", "--offline=true", service, runtime=tmp_path)
    assert status == 0, said
    assert float(re.search(r"level for \S+: ([0-9.]+)", said)[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize(
    "name",
    [
        *(f"{kind}/{unit}" for kind in ("system", "user") for unit in UNITS),
        "system/ownerreportd-failed@.service", "system/programs.conf",
    ],
)  # fmt: skip
def test_every_setting_says_what_it_is_for(name):
    """In a comment above it; but for what needs no word, and a list's further values."""
    before = ""
    for line in read(name).splitlines():
        key, is_setting, _ = line.partition("=")
        plain = key.startswith("#") or key in {"Description", "WantedBy", "Also"}
        if is_setting and not plain:
            assert before.startswith(("#", f"{key}=")), line
        before = line


def test_the_system_units_places_are_those_of_the_program():
    service, socket = (
        settings("system/ownerreportd.service"),
        settings("system/ownerreportd.socket"),
    )
    with (FOLDER / "system/config.toml").open("rb") as file:
        found = tomllib.load(file)
    assert found["spool"]["root"] == f"/var/lib/{service['StateDirectory'][0]}"
    (group,) = socket["SocketGroup"]
    assert found["socket"]["submit_group"] == service["SupplementaryGroups"][0] == group
    assert str(locate.ETC) == f"/etc/{service['ConfigurationDirectory'][0]}"
    assert service["ExecStart"] == [
        f"/usr/bin/ownerreportd --config {locate.ETC / locate.FILE_NAME} run"
    ]
    runtime = f"/run/{service['RuntimeDirectory'][0]}"
    bound = locate.socket_to_bind({"RUNTIME_DIRECTORY": runtime}, spool_flag="/nowhere")
    assert [str(bound)] == socket["ListenStream"]
    assert bound in locate.socket_candidates({}, spool_flag="/nowhere")
    assert float(service["TimeoutStopSec"][0]) > 2 * Queue().stop_grace_s


def test_the_users_socket_is_where_a_daemon_and_its_clients_look():
    (listen,) = settings("user/ownerreportd.socket")["ListenStream"]
    runtime = f"/run/user/{os.getuid()}"
    place = Path(listen.replace("%t", runtime))
    assert locate.socket_to_bind({"XDG_RUNTIME_DIR": runtime}, spool_flag="/nowhere") == place
    assert place in locate.socket_candidates({}, spool_flag="/nowhere")


def test_every_secret_that_a_channel_knows_is_a_credential():
    kinds = {name: channels.load(name) for name in channels.installed()}
    wanted = {
        f"{name}.{secret}"
        for name, kind in kinds.items()
        for secret in (*kind.secret_names, *getattr(kind, "optional_secret_names", ()))
    }
    given = settings("system/ownerreportd.service")["LoadCredential"]
    assert given == sorted(given, key=lambda name: name.partition(".")[0])
    assert set(given) == wanted


def test_the_user_the_group_and_the_folders_are_made(tmp_path):
    if os.geteuid() != 0 or shutil.which("systemd-sysusers") is None:
        pytest.skip("root makes users and folders, with systemd")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).write_text("")
    for tool, conf in (("sysusers", "sysusers"), ("tmpfiles", "tmpfiles")):
        words = [f"systemd-{tool}", f"--root={tmp_path}", str(FOLDER / "system" / f"{conf}.conf")]
        if tool == "tmpfiles":
            words.insert(1, "--create")
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc" / "passwd").read_text()
    uid, gid = re.search(r"^ownerreportd:x:(\d+):(\d+):", users, re.MULTILINE).groups()
    groups = (tmp_path / "etc" / "group").read_text()
    producers = re.search(r"^ownerreports:x:(\d+):ownerreportd$", groups, re.MULTILINE)[1]
    pending = (tmp_path / "var/lib/ownerreportd/pending").stat()
    assert stat.filemode(pending.st_mode) == "drwxrws--T"
    assert (pending.st_uid, pending.st_gid) == (int(uid), int(producers))
    root = (tmp_path / "var/lib/ownerreportd").stat()
    assert (stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid) == (
        0o711, int(uid), int(gid)
    )  # fmt: skip
    runtime = (tmp_path / "run/ownerreportd").stat()
    assert (stat.S_IMODE(runtime.st_mode), runtime.st_uid) == (0o755, int(uid))


def test_the_package_has_all_of_the_same_files():
    shipped = Path(systemd.__file__).parent
    names = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    found = {
        str(path.relative_to(shipped))
        for kind in ("system", "user")
        for path in (shipped / kind).iterdir()
    }
    assert found == names
    assert [n for n in sorted(names) if (shipped / n).read_text("utf-8") != read(n)] == []


def test_the_page_names_what_is_installed_and_its_figures():
    page = (FOLDER.parents[1] / "docs" / "service.md").read_text(encoding="utf-8")
    image = Installation(False, (PROGRAM.name, "--config", CONFIG))
    for file in image.files:
        place = file.path.name if file.path.name in UNITS else str(file.path)
        assert f"`{place}`" in page, place
    service = settings("system/ownerreportd.service")
    assert f"{service['WatchdogSec'][0]} seconds" in page
    assert f"{settings('system/ownerreportd.socket')['Backlog'][0]} connections" in page
    assert f"{OVERDUE_S:g} s after it was cut off" in page
    for path in re.findall(r"deploy/systemd/[\w/@.-]+", page):
        assert (FOLDER.parents[1] / path).exists(), path
