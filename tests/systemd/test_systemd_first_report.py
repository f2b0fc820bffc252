"""The README's five commands, typed in a real systemd by somebody who has nothing yet.

pipx is Debian's, each command has a new login shell, and `init` asks on a terminal.
"""

import re
import shlex
from pathlib import Path

import pytest
from e2e.harness import wait_until

ROOT = Path(__file__).parents[2]
HOME = "/home/novice"
TERMINAL = ("script", "--quiet", "--return", "/dev/null", "--command")


@pytest.fixture
def novice(machine, installed):
    """Types a command; the machine has no configuration of its own meanwhile."""
    kept = "/etc/ownerreportd/config.toml"
    machine.ok("useradd", "--create-home", "novice")
    machine.ok("loginctl", "enable-linger", "novice")
    machine.ok("mv", kept, f"{kept}.kept")
    machine.ok("cp", "-r", "/opt/source", f"{HOME}/project")
    machine.ok("chown", "-R", "novice:", f"{HOME}/project")
    # There is no network in there; the wheels stand for the package index.
    environ = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/opt/wheels", "TERM=xterm")
    wait_until(
        lambda: (
            machine.enter("systemctl", "--user", "is-system-running", user="novice").out.strip()
            in {"running", "degraded"}
        ),
        "the user's manager runs",
    )

    def types(command, answers=""):
        words = ("bash", "-lc", f"cd ~/project && {command}")
        if answers:
            words = (*TERMINAL, shlex.join(words))
        return machine.ok(*words, user="novice", environ=environ, stdin=answers)

    yield types
    types("systemctl --user stop ownerreportd.socket ownerreportd.service")
    machine.ok("mv", f"{kept}.kept", kept)


def test_five_commands_lead_to_a_delivered_report(novice):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Use it\n.*?```sh\n(.*?)```", text, re.DOTALL)[1]
    install, init, service, submit, status = (
        line.partition("#")[0].strip() for line in block.splitlines()
    )
    assert install == "pipx install ."
    novice(install)
    assert novice("command -v ownerreportd").strip() == f"{HOME}/.local/bin/ownerreportd"
    asked = novice(init, answers="\n\n\n\n")
    assert "inbox" in asked
    novice(service)
    report = novice(submit).strip()
    inbox = f"{HOME}/.clawteam/owner-reports/inbox/new"
    wait_until(lambda: novice(f"ls {inbox} 2>/dev/null || true"), "the report is there")
    assert "hello" in novice(f"cat {inbox}/*")
    told = novice(status)
    assert told.startswith("idle")
    assert "last delivery" in told
    assert report in novice("ownerreportd list --state sent")
    assert "active (running)" in novice("systemctl --user status ownerreportd.service")
