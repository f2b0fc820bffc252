"""Which lines of a crontab are old ones, and what they say; and a real crontab(1)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ownerreportd.app.migration import crontab
from ownerreportd.app.migration.crontab import MARK, disabled, old_lines
from ownerreportd.core.errors import NotAllowedError, StorageError

HOME = Path("/home/alice")
NAME = "run_owner_report_watchdog.sh"
RUN = f"/opt/old/{NAME}"


def only(text):
    (line,) = old_lines(text, HOME)
    return line


def values(line):
    return {name: value for name, (value, _) in line.variables.items() if "REPORT" in name}


@pytest.mark.parametrize(
    ("line", "script", "log"),
    [
        (f"* * * * * {RUN}", RUN, None),
        (f"@hourly {RUN} >> /var/log/o.out 2>&1", RUN, "/var/log/o.out"),
        (f"*/1 * * * * {RUN} >/dev/null 2>&1", RUN, None),
        (f"* * * * * {RUN} 2>/tmp/err >>o.out", RUN, "/home/alice/o.out"),
        (f"* * * * * {RUN} &> '/var/log/o p.out'", RUN, "/var/log/o p.out"),
        (f"* * * * * bash -lc '{RUN} >> $HOME/o.out 2>&1'", RUN, "/home/alice/o.out"),
        (f"* * * * * flock -n /tmp/l {RUN} --dry-run", RUN, None),
        (f"* * * * * ~/s/{NAME}", f"/home/alice/s/{NAME}", None),
        (f"* * * * * cd ~/s && ./{NAME}", f"/home/alice/s/{NAME}", None),
        (f"* * * * * cd s/x; sh ../{NAME}", f"/home/alice/s/{NAME}", None),
        (f"* * * * * ${{HOME}}/{NAME}%input", f"/home/alice/{NAME}", None),
        ("* * * * * uv run /o/owner_report_watchdog.py", "/o/owner_report_watchdog.py", None),
        (f"* * * * * echo it's; {RUN}", RUN, None),
    ],
)  # fmt: skip
def test_a_line_that_runs_it_is_found(line, script, log):
    found = only(line + "\n")
    assert (str(found.script), found.log, found.disabled) == (script, log, False)


@pytest.mark.parametrize(
    "line",
    [
        f"# * * * * * {RUN}", f"  # {RUN}", f"A={RUN}", "* * * * * true", RUN, "",
        f"* * * * * vi {RUN}.bak", "* * * * * /x/owner_report_producer.py --done x",
    ],
)  # fmt: skip
def test_a_line_that_does_not_run_it_is_left_alone(line):
    assert old_lines(line + "\n", HOME) == []
    assert disabled(line + "\n", HOME) == line + "\n"


def test_settings_come_from_the_line_and_from_above_it_not_from_below():
    text = (
        'OWNER_REPORT_MAX_COUNT = "20"\nOWNER_REPORT_TARGET=channel:1\n'
        f"* * * * * OWNER_REPORT_TARGET='channel:2' {RUN}\nOWNER_REPORT_MAX_COUNT=30\n"
        f"0 * * * * env OWNER_REPORT_CHANNEL=telegram {RUN}\n"
    )
    first, second = old_lines(text, HOME)
    assert values(first) == {"OWNER_REPORT_MAX_COUNT": "20", "OWNER_REPORT_TARGET": "channel:2"}
    assert first.variables["OWNER_REPORT_TARGET"][1] == "crontab line 3"
    assert values(second) == {
        "OWNER_REPORT_MAX_COUNT": "30", "OWNER_REPORT_TARGET": "channel:1",
        "OWNER_REPORT_CHANNEL": "telegram",
    }  # fmt: skip


def test_a_home_of_the_crontabs_own_counts():
    found = only("HOME=/srv/bot\n* * * * * ~/run_owner_report_watchdog.sh\n")
    assert str(found.script) == "/srv/bot/run_owner_report_watchdog.sh"


def test_disabling_changes_nothing_else_and_once_is_enough():
    text = f"# a\n\n* * * * * {RUN}\n0 0 * * * true \xe9\n@daily {RUN}"
    once = disabled(text, HOME)
    assert once == f"# a\n\n{MARK}* * * * * {RUN}\n0 0 * * * true \xe9\n{MARK}@daily {RUN}"
    assert disabled(once, HOME) == once
    assert [line.disabled for line in old_lines(once, HOME)] == [True, True]
    assert [line.text for line in old_lines(once, HOME)] == [f"* * * * * {RUN}", f"@daily {RUN}"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The double of crontab(1), with its table in a home of its own."""
    double = Path(__file__).parents[1] / "doubles" / "crontab.py"
    (tmp_path / "crontab-bin").mkdir()
    (tmp_path / "crontab-bin" / "crontab").symlink_to(double)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'crontab-bin'}:{os.environ['PATH']}")
    return tmp_path


def says(program, text):
    double = program / "crontab-bin" / "crontab"
    double.unlink()
    double.write_text(f'#!/bin/sh\necho "{text}" >&2; exit 1\n')
    double.chmod(0o755)


def test_it_is_read_and_written_byte_for_byte(program):
    assert crontab.read() == ""
    data = b"# caf\xe9\n* * * * * true\n"
    (program / "crontab").write_bytes(data)
    text = crontab.read()
    crontab.write(text + "# more\n", program / "new")
    assert (program / "crontab").read_bytes() == data + b"# more\n"
    assert not (program / "new").exists()


def test_what_crontab_refuses_is_told_in_its_own_words(program):
    with pytest.raises(StorageError, match="bad minute"):
        crontab.write("nonsense\n", program / "new")
    assert not (program / "new").exists()
    says(program, "cannot chdir")
    with pytest.raises(NotAllowedError, match="cannot chdir"):
        crontab.read()


def test_who_may_not_use_cron_has_no_crontab(program):
    says(program, "You (tester) are not allowed to use this program (crontab)")
    assert crontab.read() is None
    says(program, "crontab: can't open 'tester': No such file or directory")
    assert crontab.read() == ""


def test_without_cron_there_is_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert crontab.read() is None


NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
SCRIPT = """
import sys
from pathlib import Path
from ownerreportd.app.migration import crontab
text = crontab.read()
assert text == "", text
lines = "# caf\\u00e9\\nA=1\\n* * * * * /x/run_owner_report_watchdog.sh >> /y 2>&1\\n"
new = Path(sys.argv[1])
crontab.write(lines, new)
assert crontab.read() == lines
crontab.write(crontab.disabled(lines, Path("/h")), new)
assert crontab.read().splitlines()[2].startswith(crontab.MARK)
"""


def has_a_real_crontab():
    """Only as a user who has none, and who can reach this program."""
    if os.geteuid() or not shutil.which("crontab") or not shutil.which("setpriv"):
        return False
    asked = subprocess.run([*NOBODY, "crontab", "-l"], capture_output=True, text=True)
    reaches = subprocess.run(
        [*NOBODY, sys.executable, "-c", "import ownerreportd.app"], capture_output=True, cwd="/"
    )
    return "no crontab" in asked.stderr and reaches.returncode == 0


def test_a_real_crontab_takes_it():
    if not has_a_real_crontab():
        pytest.skip("needs root, cron, and that nobody, who has no crontab, reaches this program")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        command = [*NOBODY, sys.executable, "-c", SCRIPT, f"{folder}/new"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/")
            assert (done.returncode, done.stderr) == (0, "")
        finally:
            subprocess.run([*NOBODY, "crontab", "-r"], capture_output=True)
