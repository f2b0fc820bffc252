"""Boots one machine for all the tests here, and installs the wheel in it, by its own verb."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installing.packed import tracked
from systemd.machine import PROGRAM, PYTHON, TOKEN, Double, Machine, Service

ROOT = Path(__file__).parents[2]
TREE = ROOT / ".systemd" / "tree"
WHEELS = ROOT / ".systemd" / "wheels"
SOURCE = ROOT / ".systemd" / "source"
TO_BUILD = ("hatchling", "pip", "setuptools", "wheel")  # what pipx and `pip install .` take
SETUP_S = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("systemd")
            item.add_marker(pytest.mark.timeout(SETUP_S))


@pytest.fixture(scope="session")
def wheels():
    """The wheel of this tree, and what it needs, for the machine's own Python."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(WHEELS)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = WHEELS.glob("*.whl")
    kinds = [
        f"--platform=manylinux{kind}_{platform.machine()}" for kind in ("2014", "_2_17", "_2_28")
    ]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--only-binary=:all:", "--implementation=cp", "--python-version=3.11", *kinds,
            f"--dest={WHEELS}", str(wheel), *TO_BUILD,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return WHEELS


@pytest.fixture(scope="session")
def source():
    """The project as somebody has it who cloned it: what git keeps of this tree."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for name in tracked():
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, SOURCE / name, follow_symlinks=False)
    return SOURCE


@pytest.fixture(scope="session")
def machine(wheels, source):
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("root boots a machine, with systemd-nspawn: apt install systemd-container")
    if not TREE.is_dir():
        pytest.skip("make systemd makes the tree")
    with (TREE.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two machines at once would share their control groups
        shown = {"/opt/wheels": wheels, "/opt/source": source, "/opt/tests": ROOT / "tests"}
        yield from booted(Machine(TREE, shown))


def booted(machine):
    """The machine with the wheel installed, until the tests are over."""
    try:
        machine.until_booted()
        machine.ok("python3", "-m", "venv", "/opt/ownerreportd")
        pip = (f"{PYTHON}", "-m", "pip", "install", "--quiet", "--no-index")
        machine.ok(*pip, "--find-links=/opt/wheels", "ownerreportd")
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="session")
def people(machine):
    """A producer, somebody else, and a user whose agents run here."""
    for name in ("alice", "mallory", "agent"):
        machine.ok("useradd", "--create-home", name)
    machine.ok("loginctl", "enable-linger", "agent")


@pytest.fixture(scope="session")
def installed(machine, people):
    """Both services, installed by the program's own verb; what it said, by kind."""
    machine.put("/etc/credstore/discord.token", TOKEN, mode="600")
    said = {"system": machine.ok(PROGRAM, "service", "install", "--system")}
    machine.ok("gpasswd", "--add", "alice", "ownerreports")
    token = "/home/agent/.config/ownerreportd/discord.token"
    machine.ok(
        "install", "-d", "-o", "agent", "-m", "700", "/home/agent/.config", str(Path(token).parent)
    )
    machine.put(token, TOKEN, owner="agent", mode="600")
    Service(machine, "user").configure()  # without one of its own, the system's would count
    said["user"] = machine.ok(PROGRAM, "service", "install", user="agent")
    return said


@pytest.fixture
def double(machine, installed):
    return Double(machine)


@pytest.fixture(params=["system", "user"])
def service(request, machine, installed, double):
    """Each of the two services, at work on an empty spool."""
    found = Service(machine, request.param)
    found.begin_anew()
    yield found
    found.ctl("stop", "ownerreportd.socket", "ownerreportd.service")


@pytest.fixture
def system(machine, installed, double):
    """The system's service alone."""
    found = Service(machine, "system")
    found.begin_anew()
    yield found
    found.ctl("stop", "ownerreportd.socket", "ownerreportd.service")
