"""`submit`: from fields, files and stdin, with and without a daemon."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from ownerreportd.core.errors import InvalidReportError

FIELDS = ("--team", "general-task", "--worker", "alice", "--task-id", "007", "--progress", "50%")


def front_matter(text):
    return yaml.load(text.split("---\n")[1], Loader=yaml.BaseLoader)


def files(spool):
    return sorted((spool / "pending").iterdir())


def test_fields_become_a_report_and_its_id_is_printed(run, daemon):
    ended = run("submit", *FIELDS, "--done", "讀完了", "--next", "寫", "--status", "normal")
    [(report_id, data)] = daemon.bodies.items()
    assert ended == (0, f"{report_id}\n", "")
    text = data.decode()
    values = front_matter(text)
    created = values.pop("created")
    assert created.endswith("+08:00")
    assert values == {
        "team": "general-task", "worker": "alice", "task_id": "007", "progress": "50%",
        "status": "normal",
    }  # fmt: skip
    assert text.endswith("---\n**Done** 讀完了\n\n**Next** 寫\n")


def test_the_configured_language_is_spoken(run, daemon, home):
    config = home / "c.toml"
    config.write_text('[delivery]\nlanguage = "zh-TW"\n')
    assert run("--config", str(config), "submit", "--done", "好").status == 0
    [data] = daemon.bodies.values()
    assert "**完成** 好" in data.decode()


def test_a_file_is_handed_over_byte_for_byte(run, daemon, home):
    data = b"\xef\xbb\xbf---\r\nteam: t\r\n---\r\nbody \r\n"
    (home / "r.md").write_bytes(data)
    assert run("submit", "r.md", "--id", "my-1") == (0, "my-1\n", "")
    assert daemon.bodies == {"my-1": data}


def test_stdin_is_taken_with_a_dash_or_without(run, daemon):
    assert run("submit", "-", "--id", "a", stdin="報告".encode()).status == 0
    assert run("submit", "--id", "b", stdin=b"two").status == 0
    assert daemon.bodies == {"a": "報告".encode(), "b": b"two"}


def test_title_and_destinations_go_into_a_files_front_matter(run, daemon):
    stdin = b"---\nteam: [t\n---\nbody\n"
    run("submit", "-", "--id", "a", "--title", "甲: 乙", "--to", "phone", stdin=stdin)
    assert daemon.bodies["a"] == '---\ntitle: "甲: 乙"\nto: [phone]\n---\n'.encode() + stdin
    stdin = b"---\ntags: [a, b]\n---\nbody\n"
    run("submit", "-", "--id", "b", "--title", "T", stdin=stdin)
    assert daemon.bodies["b"] == b"---\ntags: [a, b]\ntitle: T\n---\nbody\n"


def test_the_same_id_with_the_same_bytes_is_no_error(run, daemon):
    for _ in range(2):
        assert run("submit", "--id", "a", stdin=b"one") == (0, "a\n", "")
    assert run("submit", "--id", "a", stdin=b"two") == (
        65,
        "",
        "error: a was other bytes before\nhint: use another --id\n",
    )


def test_json_tells_what_became_of_it(run, daemon):
    ended = run("submit", "--id", "a", "--json", stdin=b"one")
    told = json.loads(ended.out)
    assert (told["id"], told["state"], told["via"], told["created"]) == (
        "a", "waiting", "daemon", True,
    )  # fmt: skip


def test_without_a_daemon_the_file_lies_in_pending_and_it_says_so(run, spool):
    ended = run("submit", *FIELDS, "--done", "x", "--id", "my-1")
    [file] = files(spool)
    assert file.name.endswith("-general-task-007-my-1.md")
    assert ended.status == 0
    assert ended.out == "my-1\n"
    assert ended.err == (
        f"note: no daemon answers; the report is in {spool}/pending, "
        "and goes out once a daemon runs\n"
    )


def test_without_a_daemon_an_id_is_no_second_report_and_never_other_bytes(run, spool):
    first = run("submit", "--id", "a-b", stdin=b"one")
    assert run("submit", "--id", "a-b", stdin=b"one") == (0, "a-b\n", "")
    assert first.out == "a-b\n"
    assert len(files(spool)) == 1
    ended = run("submit", "--id", "a-b", stdin=b"two")
    assert (ended.status, ended.out) == (65, "")
    assert ended.err == (
        "error: the id 'a-b' belongs to a report with other bytes (waiting)\n"
        "hint: use another --id\n"
    )


@pytest.mark.parametrize("stdin", [b"x", b"---\nto: [bob]\n---\nx"])
def test_without_a_daemon_an_unknown_destination_is_refused(run, home, spool, stdin):
    (home / "config.toml").write_text('[destinations.alice]\nchannel = "inbox"\n')
    flags = ["--config", str(home / "config.toml")]
    to = [] if b"to" in stdin else ["--to", "bob"]
    ended = run(*flags, "submit", *to, stdin=stdin)
    assert (ended.status, ended.out) == (65, "")
    assert ended.err == "error: unknown destination 'bob'\nhint: configured are: alice\n"
    assert run(*flags, "submit", "--to", "alice", stdin=b"x").status == 0


def test_without_a_daemon_a_files_own_team_and_task_name_it(run, spool):
    stdin = "---\nteam: 團隊\ntask_id: 007\n---\nbody\n".encode()
    run("submit", "--id", "my-1", stdin=stdin)
    [file] = files(spool)
    assert file.name.endswith("-團隊-007-my-1.md")
    assert file.read_bytes() == stdin


def test_a_daemon_that_gives_no_answer_leaves_the_report_in_pending_under_its_id(run, spool):
    (spool / "state").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(spool / "state" / "api.sock"))
        listening.listen()

        def hang_up():
            connection, _ = listening.accept()
            connection.recv(10)
            connection.close()

        peer = threading.Thread(target=hang_up)
        peer.start()
        ended = run("submit", "--done", "x")
        peer.join()
    assert ended.status == 0
    [file] = files(spool)
    assert file.name.endswith(f"-{ended.out.strip()}.md")
    assert "gave no whole answer" in ended.err


def test_the_daemons_refusal_is_told_with_its_hint(run, daemon, spool):
    daemon.broken = InvalidReportError("there is no destination 'x'", hint="use owner or phone")
    assert run("submit", "--to", "x", stdin=b"body") == (
        65,
        "",
        "error: there is no destination 'x'\nhint: use owner or phone\n",
    )
    assert not (spool / "pending").exists()


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "the report is empty"),
        (b" \n\t", "the report is empty"),
        (b"a\0b", "the report holds a NUL byte, at byte 1"),
        (b"x" * 1_048_577, "the report is over 1,048,576 bytes"),
    ],
)
def test_what_is_no_report_exits_65(run, spool, stdin, message):
    ended = run("submit", stdin=stdin)
    assert (ended.status, ended.out) == (65, "")
    assert ended.err.startswith(f"error: {message}\nhint: ")
    assert not spool.exists()


def test_text_that_is_not_utf_8_exits_65(run):
    ended = run("submit", stdin=b"\xff\xfe")
    assert ended.status == 65
    assert ended.err.startswith("error: the report is not UTF-8: ")


def test_a_missing_file_exits_66(run):
    assert run("submit", "no.md") == (
        66,
        "",
        "error: cannot read no.md: No such file or directory\nhint: ls -l no.md\n",
    )


def test_fields_together_with_a_file_are_a_usage_error(run, home):
    (home / "r.md").write_text("x")
    assert run("submit", "r.md", "--task-id", "t", "--done", "x") == (
        64,
        "",
        (
            "error: r.md is a finished report, so --task-id, --done cannot be given too\n"
            "hint: give a file, or fields; --title and --to go with both\n"
        ),
    )


def test_neither_on_a_terminal_is_a_usage_error(home):
    leader, follower = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "ownerreportd", "submit"],
        stdin=follower, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert (ended.returncode, ended.stdout) == (64, "")
    assert ended.stderr == "error: there is no report\nhint: ownerreportd submit --help\n"


@pytest.mark.parametrize("report_id", ["", "a b", "a" * 65, "../x", "報告"])
def test_an_id_that_cannot_be_one_is_a_usage_error(run, report_id):
    ended = run("submit", "--id", report_id, stdin=b"x")
    assert ended.status == 64
    assert ended.err == (
        f"error: --id {report_id!r} cannot be an id\nhint: use 1 to 64 of A-Z a-z 0-9 . _ -\n"
    )


def test_empty_fields_are_a_usage_error(run):
    assert run("submit", "--done", "").status == 64


def test_bytes_that_are_no_text_on_the_command_line_are_replaced(run, daemon):
    assert run("submit", "--done", "a\udcffb").status == 0
    [data] = daemon.bodies.values()
    assert "a\ufffdb" in data.decode()


def test_wait_exits_0_when_it_was_sent(run, daemon):
    daemon.deliver_at_once = True
    assert run("submit", "--id", "a", "--wait", stdin=b"x") == (0, "a\n", "")


def test_wait_exits_75_at_its_timeout(run, daemon):
    assert run("submit", "--id", "a", "--wait", "--timeout", "0.01", stdin=b"x") == (
        75,
        "a\n",
        "note: the report is waiting\nhint: ownerreportd show a\n",
    )


@pytest.mark.parametrize(("state", "status"), [("blocked", 76), ("held", 76), ("sending", 75)])
def test_wait_exits_by_what_became_of_it(run, daemon, state, status):
    daemon.bodies["a"] = b"x"
    daemon.add("a", state, reason="no permission")
    ended = run("submit", "--id", "a", "--wait", "--timeout", "0", "--json", stdin=b"x")
    assert ended.status == status
    assert json.loads(ended.out)["state"] == state
    assert f"note: the report is {state}: no permission\n" in ended.err


def test_wait_without_a_daemon_exits_69_with_the_report_in_pending(run, spool):
    ended = run("submit", "--id", "a", "--wait", stdin=b"x")
    assert (ended.status, ended.out) == (69, "a\n")
    assert len(files(spool)) == 1
    assert ended.err.endswith("hint: start the daemon: ownerreportd run\n")


def test_a_spool_that_cannot_be_written_exits_74(run, home):
    (home / "spool").write_text("a file")
    ended = run("submit", stdin=b"x")
    assert (ended.status, ended.out) == (74, "")
    assert "cannot write to the spool" in ended.err


@pytest.mark.parametrize("verb", ["submit", "status"])
def test_the_fast_verbs_import_nothing_heavy(verb, home, daemon):
    options = ["--done", "x"] if verb == "submit" else ["--json"]
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ownerreportd", verb, *options],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "ownerreportd.client" in imported
    heavy = {"httpx", "pydantic", "structlog", "asyncio", "http.client", "yaml", "rich", "anyio"}
    assert not heavy & imported


def test_without_a_daemon_submit_imports_nothing_heavy_either(home):
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ownerreportd", "submit", "--done", "x"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert not {"httpx", "pydantic", "structlog", "asyncio", "http.client", "yaml"} & imported
