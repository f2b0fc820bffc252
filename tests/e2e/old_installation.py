"""A made-up old installation in a home: crontab, environment, scripts, and what they left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from e2e.harness import DEADLINE_S, TOKEN

TESTS = Path(__file__).parent.parent
OLD = TESTS / "data" / "old"
WRAPPER = "run_owner_report_watchdog.sh"
MARK = re.compile(r"report-(\d+)")


class OldInstallation:
    """The scripts in their usual folder, and a crontab that runs them once a minute.

    Reports are numbered in the order in which they come: `report-1`, `report-2`.
    """

    def __init__(self, home, discord, *, crontab=None):
        self.home, self.discord = home, discord
        self.scripts = home.path / ".openclaw/workspace/owner-reporting-system/scripts"
        shutil.copytree(OLD, self.scripts, ignore=shutil.ignore_patterns("*.md"))
        home.spool = home.path / ".clawteam" / "owner-reports"
        home.config.unlink(missing_ok=True)
        for name in ("pending", "sent"):
            (home.spool / name).mkdir(parents=True)
        self.log = home.path / "logs" / "owner_report_watchdog_cron.out"
        self.log.parent.mkdir()
        self.table = home.path / "crontab"
        self.line = (
            f"* * * * * ~/{self.scripts.relative_to(home.path)}/{WRAPPER} >> {self.log} 2>&1"
        )
        text = f"# what the agents do\n0 3 * * * true\nOWNER_REPORT_MAX_COUNT=20\n{self.line}\n"
        self.table.write_text(text if crontab is None else crontab)
        self.crontab = self.table.read_text()
        bin_dir = home.path / "bin"
        bin_dir.mkdir()
        (bin_dir / "crontab").symlink_to(TESTS / "doubles" / "crontab.py")
        home.environ["PATH"] = f"{bin_dir}:{home.environ['PATH']}"
        home.environ["OWNERREPORTD_DESTINATIONS__OWNER__API_BASE"] = discord.base
        self.count = 0

    @property
    def old_environ(self):
        return {**self.home.environ, "OLD_API": self.discord.base, "OLD_TOKEN": TOKEN}

    def arrive(self, *, age_s=0.0):
        """One more report is moved into pending/."""
        self.count += 1
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{self.count:06}-alice-task.md"
        self.home.drop(name, f"# Task\n\nreport-{self.count}\n", age_s=age_s)
        return name

    def backlog(self, count):
        """Reports that have waited, a second apart, their names in no order."""
        for left in range(count, 0, -1):
            self.count += 1
            name = f"{hash_of(self.count)}-alice.md"
            self.home.drop(name, f"# Task\n\nreport-{self.count}\n", age_s=60 + left)

    def past(self, count):
        """Reports that were sent long ago."""
        then = time.time() - 1_000_000
        for number in range(count):
            path = self.home.spool / "sent" / f"past-{hash_of(number)}.md"
            path.write_text(f"---\nteam: old\ntask_id: task-{number}\n---\nIt is past: {number}\n")
            os.utime(path, (then + number, then + number))

    def cron(self, **environ):
        """What cron does each minute: every active line of the table."""
        variables = {}
        for line in self.table.read_text().splitlines():
            if found := re.fullmatch(r"(\w+)=(.*)", line):
                variables[found[1]] = found[2]
            elif line.startswith("* * * * * "):
                subprocess.run(
                    ["/bin/sh", "-c", line.removeprefix("* * * * * ")], cwd=self.home.path,
                    env={**self.old_environ, **variables, **environ}, timeout=DEADLINE_S,
                )  # fmt: skip

    def delivered(self):
        """The numbers of the reports as the owner has got them."""
        return [int(n) for text in self.discord.contents for n in MARK.findall(text)]

    def snapshot(self):
        """Everything in the home but what a program that only reads leaves."""
        paths = [p for p in sorted(self.home.path.rglob("*")) if "__pycache__" not in p.parts]
        return {str(p): (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
                for p in paths for s in [p.lstat()] if not p.is_dir()}  # fmt: skip


def hash_of(number):
    return f"{number * 2_654_435_761 % 2**32:08x}"
