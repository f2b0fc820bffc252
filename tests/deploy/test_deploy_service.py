"""`service install`, `uninstall` and `status`, typed: in a home with a strict systemctl."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from doubles import systemctl as double

from ownerreportd.cli import installing

PROGRAM = Path(sys.executable).with_name("ownerreportd")
SOCKET, SERVICE = "ownerreportd.socket", "ownerreportd.service"


class Ended(NamedTuple):
    status: int
    out: str
    err: str


class Home:
    """A user's home, and a systemd that is there or not."""

    def __init__(self, path):
        self.path = path
        self.units = path / "config" / "systemd" / "user"
        self.state = path / "systemd.json"
        self.environ = {
            "HOME": str(path), "XDG_CONFIG_HOME": str(path / "config"), "LANG": "C.UTF-8",
            "PATH": f"{path / 'bin'}:/usr/bin:/bin", "FAKE_SYSTEMD": str(self.state),
        }  # fmt: skip
        (path / "bin").mkdir()
        fake = path / "bin" / "systemctl"
        fake.write_text(f'#!/bin/sh\nexec {sys.executable} {double.__file__} "$@"\n')
        fake.chmod(0o755)

    def boot(self, **state):
        self.state.write_text(json.dumps(state))
        return self

    @property
    def manager(self):
        return json.loads(self.state.read_text())

    def run(self, *words, **environ):
        done = subprocess.run(
            [PROGRAM, *words], env={**self.environ, **environ}, cwd=self.path, text=True,
            capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def files(self):
        return {str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file()}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_install_says_each_step_and_starts_it(home):
    done = home.boot().run("service", "install")
    assert done.out.splitlines() == [
        f"write {home.units / SOCKET}",
        f"write {home.units / SERVICE}",
        "run systemctl --user daemon-reload",
        f"run systemctl --user enable {SOCKET} {SERVICE}",
        f"run systemctl --user restart {SOCKET}",
        f"run systemctl --user start {SERVICE}",
    ]
    assert done.status == 0, done.err
    assert "hint: loginctl enable-linger " in done.err
    assert home.manager["active"] == home.manager["enabled"] == [SERVICE, SOCKET]
    text = (home.units / SERVICE).read_text()
    assert f"\nExecStart={PROGRAM} run\n" in text
    assert f"\nExecReload={PROGRAM} reload\n" in text
    assert stat.S_IMODE((home.units / SERVICE).stat().st_mode) == 0o644


def test_a_second_install_has_nothing_to_do(home):
    home.boot().run("service", "install")
    before = {name: (home.path / name).stat().st_mtime_ns for name in home.files()}
    calls = home.manager["calls"]
    done = home.run("service", "install")
    assert (done.status, done.out) == (0, "nothing to do: it is installed, and runs\n")
    assert home.manager["calls"] == calls
    after = {name: (home.path / name).stat().st_mtime_ns for name in home.files()}
    before.pop("systemd.json"), after.pop("systemd.json")
    assert after == before


def test_a_dry_run_says_the_same_and_changes_nothing(home):
    home.boot()
    before = home.files()
    dry = home.run("service", "install", "--dry-run")
    assert (dry.status, home.files(), home.manager.get("calls", [])) == (0, before, [])
    wet = home.run("service", "install")
    assert dry.out.splitlines() == [f"would {line}" for line in wet.out.splitlines()]
    before = home.files()
    dry = home.run("service", "uninstall", "--dry-run")
    assert home.files() == before
    wet = home.run("service", "uninstall")
    assert dry.out.splitlines() == [f"would {line}" for line in wet.out.splitlines()]


def test_a_changed_program_restarts_what_runs(home):
    home.boot().run("service", "install")
    done = home.run("service", "install", "--program", "/bin/true")
    assert done.out.splitlines() == [
        f"write {home.units / SERVICE}",
        "run systemctl --user daemon-reload",
        f"run systemctl --user restart {SERVICE}",
    ]
    assert "ExecStart=/bin/true run" in (home.units / SERVICE).read_text().splitlines()


def test_a_unit_for_another_configuration_is_written_over_only_on_demand(home):
    home.boot().run("service", "install")
    unit = home.units / SERVICE
    before, calls = unit.read_text(), home.manager["calls"]
    words = ("--config", str(home.path / "my reports.toml"), "service", "install")
    flags = f'--config "{home.path}/my reports.toml"'
    done = home.run(*words)
    assert (done.status, unit.read_text(), home.manager["calls"]) == (73, before, calls)
    error, hint = done.err.splitlines()
    assert error == f"error: {unit} is for the usual configuration, and this would be for {flags}"
    assert hint.startswith("hint: --replace, if that is meant; a second spool ")
    done = home.run(*words, "--replace")
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            f"write {unit}",
            "run systemctl --user daemon-reload",
            f"run systemctl --user restart {SERVICE}",
        ],
    )
    assert f"ExecStart={PROGRAM} {flags} run" in unit.read_text().splitlines()
    assert home.run(*words).out == "nothing to do: it is installed, and runs\n"
    assert f"is for {flags}, and this" in home.run("service", "install").err
    assert home.run(*words, "--program", "/bin/true").status == 0
    spool = home.run("--spool", str(home.path / "s"), *words)
    assert (spool.status, f"for {flags} --spool {home.path}/s" in spool.err) == (73, True)


def test_a_daemon_with_a_socket_of_its_own_stops_before_systemd_listens(home):
    home.boot().run("service", "install")
    home.state.write_text(json.dumps({**home.manager, "active": [SERVICE], "calls": []}))
    assert home.run("service", "install").status == 0
    assert home.manager["calls"] == [["stop", SERVICE], ["restart", SOCKET], ["start", SERVICE]]


def test_without_systemd_the_files_are_written_and_the_commands_told(home):
    done = home.run("service", "install")
    assert done.status == 69
    error, hint = done.err.splitlines()[-2:]
    assert error == "error: no systemd answers here: Failed to connect to bus: No medium found"
    assert hint == (
        f"hint: systemctl --user daemon-reload && systemctl --user enable --now {SOCKET} {SERVICE}"
        "  # where there is no systemd: ownerreportd run"
    )
    assert (home.units / SERVICE).exists()
    done = home.run("service", "uninstall")
    assert (done.status, (home.units / SERVICE).exists()) == (69, False)
    (home.path / "bin" / "systemctl").unlink()
    done = home.run("service", "install", PATH=str(home.path / "bin"))
    assert done.status == 69
    assert "there is no systemctl on PATH" in done.err


def test_a_start_that_fails_is_told_with_what_helps(home):
    done = home.boot(start_fails=True).run("service", "install")
    assert done.status == 69
    assert "Job for ownerreportd.service failed because of a mistake." in done.err
    assert "hint: journalctl --user -u ownerreportd -n 20" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Service]\nExecStart=/mine\n", "was not written by"),
        (None, "was edited since it was written"),
    ],
)
def test_what_is_not_ours_or_was_edited_is_neither_written_over_nor_removed(home, text, said):
    home.boot().run("service", "install")
    unit = home.units / SERVICE
    unit.write_text(text or unit.read_text().replace("RestartSec=2", "RestartSec=9"))
    edited = unit.read_text()
    before = home.files()
    done = home.run("service", "install")
    assert done.status == 73
    assert f"error: {unit} {said}" in done.err
    assert f"hint: mv {unit}" in done.err
    assert (home.files(), unit.read_text()) == (before, edited)
    done = home.run("service", "uninstall")
    assert (done.status, unit.read_text()) == (0, edited)
    assert f"left alone: {unit} {said}" in done.out


def test_uninstall_takes_away_what_install_wrote_and_nothing_else(home):
    spool = home.path / ".clawteam" / "owner-reports" / "pending"
    spool.mkdir(parents=True)
    (spool / "a.md").write_text("waits")
    config = home.path / "config" / "ownerreportd" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("")
    (home.units / "other.service").parent.mkdir(parents=True)
    (home.units / "other.service").write_text("")
    home.boot()
    before = home.files()
    assert home.run("service", "install").status == 0
    done = home.run("service", "uninstall")
    assert done.out.splitlines() == [
        f"run systemctl --user disable --now {SERVICE} {SOCKET}",
        f"remove {home.units / SOCKET}",
        f"remove {home.units / SERVICE}",
        "run systemctl --user daemon-reload",
    ]
    assert (done.status, home.files()) == (0, before)
    assert home.manager["active"] == home.manager["enabled"] == []
    done = home.run("service", "uninstall")
    assert (done.status, done.out) == (0, "nothing to do: it is not installed\n")


def test_status_tells_files_state_and_queue(home):
    assert home.boot().run("service", "status").status == 66
    home.run("service", "install")
    done = home.run("service", "status")
    assert done.status == 0
    assert done.out.splitlines() == [
        f"{home.units / SOCKET}: as shipped",
        f"{home.units / SERVICE}: as shipped",
        "service: active (running), pid 4242, enabled",
        "socket: active",
        "queue: idle",
    ]
    shown = json.loads(home.run("service", "status", "--json").out)
    assert (shown["active"], shown["pid"], shown["restarts"]) == ("active", 4242, 0)
    asked = home.run("--config", str(home.path / "b.toml"), "service", "status")
    other = f"{home.units / SERVICE}: for another program, configuration or version"
    assert other in asked.out.splitlines()
    home.state.write_text(json.dumps({**home.manager, "active": []}))
    stopped = home.run("service", "status")
    assert stopped.status == 69
    assert "hint: systemctl --user start ownerreportd.service" in stopped.err
    home.state.write_text(json.dumps({**home.manager, "failed": [SERVICE]}))
    failed = home.run("service", "status")
    assert failed.status == 69
    assert "hint: journalctl --user -u ownerreportd -n 20  # says why; then: " in failed.err
    again = f"systemctl --user reset-failed {SERVICE} && systemctl --user start {SERVICE}"
    assert failed.err.endswith(f"then: {again}\n")
    home.state.unlink()
    assert "no systemd answers here" in home.run("service", "status").err


def test_variables_that_the_service_will_not_see_are_named(home):
    done = home.boot().run("service", "install", OWNER_REPORT_CHANNEL="discord")
    assert "note: the service does not see OWNER_REPORT_CHANNEL" in done.err
    config = str(home.path / "c.toml")
    done = home.run("service", "install", "--replace", OWNERREPORTD_CONFIG=config)
    assert f"--config {home.path / 'c.toml'} run" in (home.units / SERVICE).read_text()
    assert "note:" not in done.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--user", "--system"), 64, "exclude each other"),
        (("--root", "/"), 64, "--root is for --system alone"),
        (("--program", "/no/such/program"), 78, "there is no program /no/such/program"),
    ],
)
def test_what_cannot_be_meant_is_said(home, words, status, said):
    done = home.boot().run("service", "install", *words)
    assert done.status == status
    assert said in done.err
    assert done.err.splitlines()[-1].startswith("hint: ")
    assert not home.units.exists()


def test_the_systems_unit_takes_no_spool_that_it_could_not_write(home):
    done = home.run("--spool", "/srv/reports", "service", "install", "--system", "--dry-run")
    assert (done.status, done.out) == (64, "")
    assert "--spool and --system exclude each other" in done.err
    assert (
        "hint: sudoedit /etc/ownerreportd/config.toml  # [spool] root; then a drop-in" in done.err
    )


@pytest.mark.parametrize(
    ("text", "is_noted"),
    [
        ('[spool]\nroot = "/srv/reports"\n', True),
        ('[spool]\nroot = "/var/lib/ownerreportd/second"\n', False),
        ("", False),
        ("[spool\n", False),
    ],
)
def test_a_spool_that_the_systems_unit_cannot_write_is_noted(tmp_path, capfd, text, is_noted):
    config = tmp_path / "config.toml"
    config.write_text(text)
    installing._say_spool(str(config))
    assert ("note: the unit cannot write /srv/reports" in capfd.readouterr().err) == is_noted


def test_another_user_may_not_install_for_the_system():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = (
        "import os, sys; from ownerreportd.cli.program import main;"
        "from ownerreportd.systemd import installation; from ownerreportd.cli import installing;"
        "os.setresuid(65534, 65534, 65534); sys.exit(main())"
    )
    words = ["service", "install", "--system", "--program", "/bin/true"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 77
    assert done.stderr.splitlines() == [
        "error: --system needs root, and this is user 65534",
        "hint: the same with sudo /bin/true; or without --system, for yourself",
    ]


# --- an image ------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path):
    """An image's root folder, with a program in it. The programs of systemd are the real ones."""
    if os.geteuid() != 0 or shutil.which("systemd-sysusers") is None:
        pytest.skip("root makes images, with systemd")
    root = tmp_path / "image"
    program = root / "opt" / "ownerreportd" / "bin" / "ownerreportd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (root / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (root / "etc" / name).write_text("")
    return root


def in_image(image, verb, *words):
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [PROGRAM, "service", verb, "--system", "--root", str(image), *words],
        env=environ, text=True, capture_output=True, cwd="/",
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def test_an_image_gets_units_user_folders_and_links(image):
    words = ("--program", "/opt/ownerreportd/bin/ownerreportd")
    done = in_image(image, "install", *words)
    assert done.status == 0, done.err
    unit = (image / "etc/systemd/system" / SERVICE).read_text()
    program = "/opt/ownerreportd/bin/ownerreportd"
    assert f"ExecStart={program} --config /etc/ownerreportd/config.toml run" in unit
    assert (image / "etc/systemd/system/multi-user.target.wants" / SERVICE).is_symlink()
    assert (image / "etc/systemd/system/sockets.target.wants" / SOCKET).is_symlink()
    assert re.search(r"^ownerreportd:", (image / "etc/passwd").read_text(), re.MULTILINE)
    pending = (image / "var/lib/ownerreportd/pending").stat()
    assert stat.S_IMODE(pending.st_mode) == 0o3770
    again = in_image(image, "install", *words)
    assert (again.status, again.out) == (0, "nothing to do: it is installed\n")


def test_an_image_keeps_its_configuration_and_spool(image):
    config = image / "etc/ownerreportd/config.toml"
    config.parent.mkdir()
    config.write_text("# mine\n")
    words = ("--program", "/opt/ownerreportd/bin/ownerreportd")
    assert in_image(image, "install", *words).status == 0
    report = image / "var/lib/ownerreportd/pending/a.md"
    report.write_text("waits")
    done = in_image(image, "uninstall")
    assert done.status == 0, done.err
    assert f"left alone: {config}: the configuration is yours" in done.out
    assert (config.read_text(), report.read_text()) == ("# mine\n", "waits")
    assert not (image / "etc/systemd/system" / SERVICE).exists()
    assert not (image / "etc/systemd/system/multi-user.target.wants" / SERVICE).is_symlink()
    assert not (image / "etc/sysusers.d/ownerreportd.conf").exists()


def test_a_program_in_a_home_is_refused_for_the_system(image):
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8"}
    hidden = image / "program"  # below /tmp, which PrivateTmp= hides as ProtectHome= hides a home
    hidden.write_text("#!/bin/sh\n")
    hidden.chmod(0o755)
    words = ["service", "install", "--system", "--dry-run", "--program", str(hidden)]
    done = subprocess.run([PROGRAM, *words], env=environ, text=True, capture_output=True)
    assert done.returncode == 78
    assert "which the service cannot see" in done.stderr
