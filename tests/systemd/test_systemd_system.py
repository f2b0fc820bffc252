"""The system's service: its own user, its producers, what it may not do."""

from __future__ import annotations

import json

from e2e.harness import wait_until
from systemd.machine import PYTHON

FOLDER = "/opt/ownerreportd/lib/python3.11/site-packages/ownerreportd/systemd/system"
# A program of somebody's that compiles as it runs: what Node does, in three lines.
COMPILES = """
import json, mmap, sys
asked = json.load(sys.stdin)
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
answer = {"outcome": "confirmed", "id": asked.get("key", "")}
print(json.dumps({"problems": []} if asked["do"] == "check" else answer))
"""


def process(system):
    """What the kernel says of the daemon."""
    text = system.machine.ok("cat", f"/proc/{system.property('MainPID')}/status")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_it_runs_as_its_own_user_without_any_privilege(system):
    found = process(system)
    uid = system.machine.uid("ownerreportd")
    assert found["Uid"].split() == [uid] * 4
    assert uid != "0"
    assert int(found["CapBnd"], 16) == int(found["CapEff"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    group = system.machine.ok("getent", "group", "ownerreports").split(":")[2]
    assert group in found["Groups"].split()


def test_a_producer_of_the_group_drops_a_file_and_submits_over_the_socket(system, double):
    dropped = system.drop("a.md", "dropped by alice")
    assert dropped.status == 0, dropped
    double.until("dropped by alice")
    done = system.submit("submitted by alice")
    assert (done.status, done.err) == (0, "")
    double.until("dropped by alice", "submitted by alice")
    shown = system.machine.enter(
        "/opt/ownerreportd/bin/ownerreportd", "show", done.out.strip(), "--json", user="alice"
    )
    assert json.loads(shown.out)["id"] == done.out.strip()
    system.ctl_ok("stop", "ownerreportd.socket", "ownerreportd.service")
    down = system.submit("while it was down")
    assert down.status == 0
    assert down.err != ""  # it says that it wrote the file itself
    system.ctl_ok("start", "ownerreportd")
    double.until("dropped by alice", "submitted by alice", "while it was down")


def test_root_looks_and_the_services_user_begins_a_new_ledger(system, double):
    assert system.program("config", "check").status == 0, "the token is in /etc/credstore"
    looked = system.program("doctor")
    assert looked.status == 0, looked
    system.ctl_ok("stop", "ownerreportd.socket", "ownerreportd.service")
    refused = system.program("doctor", "--new-ledger")
    assert refused.status == 77, refused
    same = refused.err.rpartition("hint: ")[2].split()
    assert same[:3] == ["sudo", "-u", "ownerreportd"]
    begun = system.machine.enter(*same[3:], user="ownerreportd")
    assert begun.status == 0, begun
    system.ctl_ok("start", "ownerreportd.socket", "ownerreportd.service")
    assert system.submit("by the new ledger").status == 0
    double.until("by the new ledger")


def test_another_user_is_refused_everywhere(system, double):
    assert system.drop("m.md", "let me in", user="mallory").status != 0
    done = system.submit("let me in", user="mallory")
    assert done.status != 0
    assert done.err.splitlines()[-1].startswith("hint: ")
    for path in ("pending", "sent", "state", "state/ledger.sqlite3"):
        assert system.machine.enter("cat", f"{system.spool}/{path}", user="mallory").status != 0
        assert system.machine.enter("ls", f"{system.spool}/{path}", user="mallory").status != 0
    system.machine.ok("chmod", "666", system.socket)
    done = system.submit("let me in", user="mallory")
    assert done.status == 77, done
    assert "group" in done.err
    assert system.submit("after").status == 0
    double.until("after")


def test_a_producer_cannot_take_away_what_another_one_put_there(system):
    system.ctl_ok("stop", "ownerreportd.socket", "ownerreportd.service")
    system.machine.ok("usermod", "--append", "--groups", "ownerreports", "mallory")
    try:
        assert system.drop("a.md", "of alice").status == 0
        path = f"{system.spool}/pending/a.md"
        assert system.machine.enter("rm", "-f", path, user="mallory").status != 0
        assert system.machine.enter("mv", path, f"{path}.gone", user="mallory").status != 0
        assert system.names("pending") == ["a.md"]
    finally:
        system.machine.ok("gpasswd", "--delete", "mallory", "ownerreports")


def test_it_can_write_nowhere_else_and_see_no_home(system):
    pid = system.property("MainPID")
    inside = (
        "nsenter",
        "-t",
        pid,
        "--mount",
        "--",
        "setpriv",
        "--reuid=ownerreportd",
        "--clear-groups",
    )
    for place in ("/etc", "/usr", "/home", "/opt"):
        assert system.machine.enter(*inside, "touch", f"{place}/x").status != 0, place
    assert system.machine.enter(*inside, "ls", "/home/alice").status != 0
    assert system.machine.enter(*inside, "touch", f"{system.spool}/x").status == 0


def test_a_death_that_no_restart_mends_is_reported_by_somebody_else(system):
    machine = system.machine
    machine.ok("cp", f"{FOLDER}/ownerreportd-failed@.service", system.units)
    system.drop_in("[Unit]\nOnFailure=ownerreportd-failed@%n.service\n")
    system.configure("[log]\nlevel = 'loud'\n")
    assert system.ctl("restart", "ownerreportd").status != 0
    read = ("journalctl", "--no-pager", "--output=cat", "-p", "crit", "-t", "ownerreportd-failed")
    wait_until(lambda: machine.enter(*read).out, "it is told")
    assert "ownerreportd.service has failed: reports wait" in machine.ok(*read)


def test_a_program_that_compiles_needs_the_drop_in(system):
    machine = system.machine
    machine.put("/opt/compiles.py", COMPILES)
    own = (
        f'[spool]\nroot = "{system.spool}"\n[destinations.owner]\nchannel = "exec"\n'
        f'target = "{PYTHON}"\narguments = ["/opt/compiles.py"]\n'
    )
    machine.put(system.config, own)
    system.ctl_ok("restart", "ownerreportd")
    assert system.drop("a.md", "through a program").status == 0
    wait_until(lambda: "part.failed" in system.journal("-n", "40"), "it may not")
    assert system.names("sent") == []
    system.drop_in(machine.ok("cat", f"{FOLDER}/programs.conf"), "programs.conf")
    system.ctl_ok("restart", "ownerreportd")
    more = lambda: system.journal("-n", "20")  # noqa: E731
    wait_until(lambda: system.names("sent") == ["a.md"], "it may", more=more)


def test_a_rotated_log_goes_on_in_a_new_file(system, double):
    log = "/var/log/ownerreportd/ownerreportd.log"
    system.configure(f'[log]\nfile = "{log}"\n')
    system.ctl_ok("restart", "ownerreportd")
    assert system.submit("first").status == 0
    double.until("first")
    wait_until(lambda: "report.settled" in system.machine.enter("cat", log).out, "it is told")
    system.machine.ok("logrotate", "--force", "/etc/logrotate.d/ownerreportd")
    assert system.submit("second").status == 0
    double.until("first", "second")
    wait_until(lambda: "report.settled" in system.machine.enter("cat", log).out, "in a new file")
    assert system.machine.ok("cat", f"{log}.1").count("report.settled") == 1
