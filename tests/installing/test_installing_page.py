"""Every command of docs/installing.md, in its order: install, use, upgrade, remove."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packed import ROOT, Home

from ownerreportd import __version__

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]
PAGE = (ROOT / "docs/installing.md").read_text(encoding="utf-8")
TOOLS = Path(sys.prefix) / "tools/bin"
PYTHON = Path(os.path.realpath(sys.executable))
VERSION = f"ownerreportd {__version__}\n"
NO_WAY_OUT = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")


def blocks(title):
    """The commands below a heading, block by block."""
    section = re.search(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )[1]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Machine(Home):
    """A home with the wheel in it, beside an /opt and a /usr/local of its own."""

    def __init__(self, folder, wheel):
        super().__init__(folder / "home", "ownerreportd")
        self.opt, self.local = folder / "opt", folder / "usr/local"
        for path in (self.folder, self.opt, self.local / "bin", self.local / "share"):
            path.mkdir(parents=True)
        self.wheel = shutil.copy(wheel, self.folder)
        own = [self.folder / ".local/bin", self.local / "bin"]
        self.environ |= {
            "PATH": ":".join(map(str, [*own, TOOLS, PYTHON.parent, "/usr/bin", "/bin"])),
            "UV_PYTHON": str(PYTHON), "UV_PYTHON_DOWNLOADS": "never",
            "PIPX_DEFAULT_PYTHON": str(PYTHON),
        }  # fmt: skip

    def type(self, commands, **environ):
        """What the page's commands print, with these folders for the real ones."""
        text = re.sub(r"(?<![\w.])/opt\b", str(self.opt), commands)
        text = text.replace("/usr/local", str(self.local))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder,
            env=self.environ | environ, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, *words, given=None):
        """The program's answer; fails where the exit status is not 0."""
        self.program = shutil.which("ownerreportd", path=self.environ["PATH"])
        return super().run(*words, given=given)

    def has_none(self):
        """Whether the program is gone, and the reports are not."""
        gone = shutil.which("ownerreportd", path=self.environ["PATH"]) is None
        return gone and "still here" in self.inbox()


@pytest.fixture
def machine(packages, tmp_path):
    if not (TOOLS / "uv").exists():
        pytest.skip("uv and pipx are not here; `make packages` installs them")
    return Machine(tmp_path, packages[".whl"])


def test_uv_installs_upgrades_and_removes(machine):
    install, upgrade, remove, extra = blocks("For you, with uv")
    assert machine.type(install).endswith(VERSION)
    machine.delivers("first")
    machine.type(upgrade)
    machine.delivers("still here")
    machine.type(remove)
    assert machine.has_none()
    machine.type(extra)
    assert "cannot be used" not in machine.run("channels", "apprise")


def test_pipx_installs_upgrades_and_removes(machine):
    install, upgrade, remove, extra = blocks("For you, with pipx")
    assert machine.type(install).endswith(VERSION)
    machine.delivers("first")
    page = machine.folder / ".local/share/man/man1/ownerreportd.1"
    assert page.is_file()
    machine.type(upgrade)
    machine.type(extra)
    assert "cannot be used" not in machine.run("channels", "apprise")
    machine.delivers("still here")
    machine.type(remove)
    assert machine.has_none()
    assert not page.exists()


def test_opt_installs_upgrades_and_removes(machine):
    install, share, upgrade, remove = blocks("For the machine, in /opt")
    assert machine.type(install).endswith(VERSION)
    machine.delivers("first")
    for _ in range(2):
        machine.type(share)
    shared = sorted(
        p.relative_to(machine.local) for p in machine.local.rglob("*own*") if p.is_file()
    )
    assert {"man1", "man5", "completions", "site-functions", "vendor_completions.d"} == {
        path.parent.name for path in shared
    } - {"bin"}
    machine.type(upgrade)
    machine.delivers("still here")
    machine.type(remove)
    assert machine.has_none()
    assert [path for path in machine.local.rglob("*") if not path.is_dir()] == []


def test_a_folder_of_wheels_is_enough_without_a_network(machine):
    download, machines, users = blocks("Without a network")
    machine.type(download)
    Path(machine.wheel).unlink()
    assert machine.type(machines, **NO_WAY_OUT, PIP_FIND_LINKS="").endswith(VERSION)
    machine.delivers("into /opt")
    shutil.rmtree(machine.opt)
    machine.type(users, **NO_WAY_OUT)
    machine.delivers("for a user")


@pytest.mark.parametrize("tool", ["uv tool install .", "pipx install ."])
def test_a_checkout_is_installed_as_the_page_says(machine, packages, tool):
    assert f"`{tool}`" in PAGE
    machine.type(f"tar xzf {packages['.gz']} --strip-components 1; {tool}")
    machine.delivers("from a checkout")
