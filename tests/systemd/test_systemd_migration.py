"""From the cron scripts to the service, by the two commands of docs/migrating.md, as printed."""

import re
import shlex
from pathlib import Path

import pytest
from e2e.harness import wait_until
from systemd.machine import CHANNEL, PORT, PROGRAM, TOKEN, Double

ROOT = Path(__file__).parents[2]
HOME = "/home/mover"
SPOOL = f"{HOME}/.clawteam/owner-reports"
SCRIPTS = f"{HOME}/.openclaw/workspace/owner-reporting-system/scripts"
LINE = f"* * * * * {SCRIPTS}/run_owner_report_watchdog.sh >> {HOME}/watchdog.out 2>&1"
WAITING, SENT = 200, 2_000
# Laid down as the old scripts left it: a backlog whose names are in no order, and the past.
LAY_DOWN = f"""
import os, time
from pathlib import Path
spool, now = Path({SPOOL!r}), time.time()
for name, count in (("pending", {WAITING}), ("sent", {SENT})):
    (spool / name).mkdir(parents=True)
    for number in range(1, count + 1):
        path = spool / name / f"{{number * 2_654_435_761 % 2**32:08x}}-alice.md"
        path.write_text(f"# Task\\n\\n{{name}}-{{number}}\\n")
        at = now - (1_000 if name == "pending" else 1_000_000) + number
        os.utime(path, (at, at))
"""


class Mover:
    """Somebody whose cron ran the old scripts, and what arrives meanwhile."""

    def __init__(self, machine):
        self.machine = machine
        self.count = WAITING
        self.environ = ("PATH=/opt/ownerreportd/bin:/usr/bin:/bin",)

    def types(self, *words):
        return self.machine.ok(*words, user="mover", environ=self.environ)

    def sh(self, script):
        return self.types("sh", "-ec", script)

    def arrive(self):
        self.count += 1
        self.sh(
            f"printf '# Task\\n\\npending-{self.count}\\n' > {SPOOL}/draft;"
            f"mv {SPOOL}/draft {SPOOL}/pending/zz-{self.count}.md"
        )


@pytest.fixture
def mover(machine, installed):
    machine.ok("systemctl", "stop", "cron")  # the table is a real one; what it starts is not
    machine.ok("useradd", "--create-home", "mover")
    machine.ok("loginctl", "enable-linger", "mover")
    wait_until(
        lambda: (
            machine.enter("systemctl", "--user", "is-system-running", user="mover").out.strip()
            in {"running", "degraded"}
        ),
        "the user's manager runs",
    )
    found = Mover(machine)
    folder = str(Path(SCRIPTS).parent)
    found.sh(
        f"mkdir -p -m 700 {folder} {HOME}/.config/ownerreportd;"
        f"cp -r /opt/tests/data/old {SCRIPTS};"
        f"printf '%s\\n' {shlex.quote(LINE)} | crontab -"
    )
    machine.put(f"{HOME}/.config/ownerreportd/discord.token", TOKEN, owner="mover", mode="600")
    base = f"OWNERREPORTD_DESTINATIONS__OWNER__API_BASE=http://127.0.0.1:{PORT}/api/v10"
    found.types("systemctl", "--user", "set-environment", base)
    found.environ += (base,)
    found.types("python3", "-c", LAY_DOWN)
    kept = "/etc/ownerreportd/config.toml"  # without one of their own, it would count for them too
    machine.ok("mv", kept, f"{kept}.kept")
    yield found
    machine.ok("mv", f"{kept}.kept", kept)
    found.types("systemctl", "--user", "stop", "ownerreportd.socket", "ownerreportd.service")


def test_the_two_commands_lead_over_with_a_report_between_every_two_steps(machine, mover):
    double = Double(machine)
    text = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]
    commands = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [words[:2] for words in commands] == [
        ["ownerreportd", "migrate"], ["ownerreportd", "service"],
    ]  # fmt: skip
    for words in commands:
        mover.arrive()
        mover.types(*words)
    mover.arrive()

    def delivered():
        return [int(n) for text in double.contents for n in re.findall(r"pending-(\d+)", text)]

    wait_until(lambda: len(delivered()) >= mover.count, "all are there", timeout_s=240)
    assert delivered() == list(range(1, mover.count + 1))
    assert f"channel:{CHANNEL}" in mover.sh("cat ~/.config/ownerreportd/config.toml")
    assert f"disabled by ownerreportd migrate: {LINE}" in mover.types("crontab", "-l")
    assert mover.sh(f"ls {SPOOL}/pending") == ""
    assert f'"sent_total": {SENT + mover.count}' in mover.types(PROGRAM, "status", "--json")
    assert "nothing is to be done" in mover.types("ownerreportd", "migrate", "--write")
    assert len(delivered()) == mover.count
