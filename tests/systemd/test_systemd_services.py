"""Both services in a real systemd: what each promises, with an end that can fail."""

from __future__ import annotations

import json
import re

from e2e.harness import wait_until
from systemd.machine import PYTHON, TOKEN

# Producers that know the socket alone: no spool to fall back to, no second try.
CROWD = """
import socket, sys, threading, time
path, count = sys.argv[1], int(sys.argv[2])
answers = []
def put(number):
    text = f"report {number:03}".encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(50)
        client.connect(path)
        head = f"PUT /v1/reports/c-{number:04} HTTP/1.1\\r\\nHost: localhost\\r\\n"
        head += "Connection: close\\r\\n"
        head += f"Content-Type: text/markdown\\r\\nContent-Length: {len(text)}\\r\\n\\r\\n"
        client.sendall(head.encode() + text)
        answers.append(client.makefile("rb").readline().decode().split()[1])
threads = []
for number in range(count):
    threads.append(threading.Thread(target=put, args=(number,)))
    threads[-1].start()
    if number == 0:
        threads[0].join()
        print("begun", flush=True)
    time.sleep(0.05)
for thread in threads:
    thread.join()
print(" ".join(answers))
"""


BEGUN = "until grep -q begun /tmp/crowd 2>/dev/null; do sleep 0.1; done;"


def test_install_says_that_it_runs_and_a_second_time_there_is_nothing_to_do(service):
    done = service.program("service", "install", *service.flags or ("--system",))
    assert (done.status, done.out) == (0, "nothing to do: it is installed, and runs\n")
    shown = service.program("service", "status", *service.flags or ("--system",))
    assert shown.status == 0
    assert "service: active (running)" in shown.out
    assert "queue: idle" in shown.out


def test_systemctl_status_shows_the_state_of_the_queue(service, double):
    assert 'Status: "idle"' in service.ctl_ok("status", "--no-pager", "ownerreportd")
    double.meets("403")
    assert service.submit("refused").status == 0
    first = re.sub(r" \([^()]* ago\)$", "", service.until_state("blocked"))
    assert f'Status: "{first}"' in service.ctl_ok("status", "--no-pager", "ownerreportd")
    assert service.program("retry").status == 0
    double.until("refused")
    wait_until(lambda: service.property("StatusText") == "idle", "systemd hears of it")


def test_reload_takes_a_new_configuration_and_refuses_a_wrong_one_aloud(service, double):
    pid = service.property("MainPID")
    service.configure("[log]\nlevel = 'debug'\n")
    service.ctl_ok("reload", "ownerreportd")
    (event,) = events(service, "config.reloaded")
    assert [each["key"] for each in event["changed"]] == ["log.level"]
    service.configure("[log]\nlevel = 'loud'\n")
    assert service.ctl("reload", "ownerreportd").status != 0
    assert "log.level" in service.journal("-n", "30")
    assert service.property("MainPID") == pid
    assert service.submit("by the earlier one").status == 0
    double.until("by the earlier one")
    service.configure()
    service.ctl_ok("kill", "--signal=HUP", "--kill-who=main", "ownerreportd")
    wait_until(lambda: len(events(service, "config.reloaded")) == 2, "a signal does the same")
    wait_until(lambda: service.property("ActiveState") == "active", "and it is said when it ends")


def events(service, kind):
    text = service.program("tail", "--kind", kind, "--json").out
    return [json.loads(line) for line in text.splitlines()]


def test_a_stopped_process_is_noticed_and_nothing_is_lost(service, double):
    service.drop_in("[Service]\nWatchdogSec=2\nTimeoutStopSec=5\n")
    service.ctl_ok("restart", "ownerreportd")
    assert service.submit("before").status == 0
    double.until("before")
    pid = service.property("MainPID")
    service.ctl_ok("kill", "--signal=STOP", "--kill-who=main", "ownerreportd")
    assert service.drop("while.md", "while it stood still").status == 0
    wait_until(lambda: service.property("NRestarts") == "1", "systemd noticed")
    assert "ownerreportd.service: Watchdog timeout" in service.machine.ok(
        "journalctl", "--no-pager", "-n", "200"
    )
    double.until("before", "while it stood still")
    assert service.submit("after").status == 0
    double.until("before", "while it stood still", "after")
    assert service.property("MainPID") != pid


def test_a_stop_during_a_send_ends_cleanly_however_short_systemds_own_patience(service, double):
    service.drop_in("[Service]\nTimeoutStopSec=2\n")
    service.configure(grace_s=30, timeout_s=30)
    service.ctl_ok("restart", "ownerreportd")
    double.meets({"act": "drip", "accept": True, "pause_s": 0.008})  # an answer of several seconds
    assert service.submit("slow").status == 0
    wait_until(lambda: double.attempts, "it is on its way")
    began = float(service.since())
    service.ctl_ok("stop", "ownerreportd")
    assert float(service.since()) - began > 2.5
    assert service.property("Result") == "success"
    assert service.property("ExecMainStatus") == "0"
    assert len(service.names("sent")) == 1
    service.ctl_ok("start", "ownerreportd")
    service.until_state("idle")
    double.until("slow")


def test_no_submit_is_refused_or_lost_over_a_restart(service, double):
    begin = 'rm -f /tmp/crowd; ("$@" > /tmp/crowd 2>&1) &'
    steps = f"{begin} {BEGUN} {restart(service)}; wait; cat /tmp/crowd"
    producers = (*as_user(service), PYTHON, "-c", CROWD, service.socket, "60")
    script = service.machine.enter("sh", "-c", steps, "sh", *producers)
    lines = script.out.splitlines()
    assert lines[0] == "begun"
    assert lines[-1].split() == ["201"] * 60, script
    assert len(events(service, "daemon.started")) >= 2
    wait_until(lambda: len(service.names("sent")) == 60, "all are sent")
    assert sorted(double.contents) == [f"report {number:03}" for number in range(60)]


def as_user(service):
    return ("runuser", "-u", service.producer, "--")


def restart(service):
    if not service.user:
        return "systemctl restart ownerreportd"
    runtime = f"XDG_RUNTIME_DIR=/run/user/{service.machine.uid('agent')}"
    return f"runuser -u agent -- env {runtime} systemctl --user restart ownerreportd"


def test_a_submit_starts_a_daemon_that_was_not_there(service, double):
    service.ctl_ok("stop", "ownerreportd.service")
    assert service.property("ActiveState") == "inactive"
    done = service.submit("wake up")
    assert done.status == 0
    assert done.err == ""  # through the socket, not by way of the folder
    double.until("wake up")
    assert service.property("ActiveState") == "active"


def test_the_journal_has_json_and_no_secret(service, double):
    double.meets("403")
    assert service.submit("told").status == 0
    service.until_state("blocked")
    assert service.program("retry").status == 0
    double.until("told")
    pid = service.property("MainPID")
    lines = [json.loads(line) for line in service.journal(f"_PID={pid}").splitlines()]
    assert {"daemon.ready", "part.failed", "lane.blocked", "part.confirmed"} <= {
        line["event"] for line in lines
    }
    assert all(line["at"] and line["level"] for line in lines)
    whole = service.machine.ok("journalctl", "--no-pager", "--output=export", "--all")
    assert TOKEN not in whole.replace(f"--token {TOKEN}", "")  # the double is told it


def test_a_mistake_in_the_configuration_is_not_tried_again(service):
    service.configure("[log]\nlevel = 'loud'\n")
    assert service.ctl("restart", "ownerreportd").status != 0
    assert service.property("Result") == "exit-code"
    assert service.property("ExecMainStatus") == "78"
    assert service.property("NRestarts") == "0"
    assert "log.level" in service.journal("-n", "30")


def test_after_that_a_submit_starts_it_again_and_a_person_after_reset_failed(service, double):
    service.configure("[log]\nlevel = 'loud'\n")
    assert service.ctl("restart", "ownerreportd").status != 0
    refusals = service.journal().count("log.level")
    assert service.submit("it waits").status == 0
    wait_until(lambda: service.journal().count("log.level") > refusals, "it was started again")
    for _ in range(5):
        service.ctl("start", "ownerreportd")
    service.configure()
    assert service.ctl("start", "ownerreportd").status != 0, "every start counts"
    service.ctl_ok("reset-failed", "ownerreportd.socket", "ownerreportd.service")
    service.ctl_ok("start", "ownerreportd.socket", "ownerreportd.service")
    double.until("it waits")


def test_where_both_units_are_stopped_status_names_what_starts_them(service, double):
    service.ctl_ok("stop", "ownerreportd.socket", "ownerreportd.service")
    down = service.program("status")
    assert down.status == 69
    start = " ".join(["systemctl", *service.flags, "start", "ownerreportd"])
    assert f"  hint: start the daemon: {start}\n" in down.out
    service.ctl_ok("start", "ownerreportd")
    assert service.program("status").status == 0


def test_uninstall_leaves_spool_and_configuration_and_install_finds_them_again(service, double):
    assert service.submit("kept").status == 0
    double.until("kept")
    service.until_state("idle")
    flags = service.flags or ("--system",)
    done = service.program("service", "uninstall", *flags)
    assert done.status == 0, done
    assert service.ctl("cat", "ownerreportd").status != 0
    assert len(service.names("sent")) == 1
    assert "discord" in service.machine.ok("cat", service.config)
    done = service.program("service", "install", *flags)
    assert done.status == 0, done
    assert service.submit("and again").status == 0
    double.until("kept", "and again")
