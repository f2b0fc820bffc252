"""The frame: help, versions, mistyped words, errors, pipes, signals, and which daemon is asked."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from api.fake_daemon import DaemonInThread

from ownerreportd import __version__
from ownerreportd.cli.help import EXIT_CODES
from ownerreportd.cli.verbs import VERBS
from ownerreportd.core import errors


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "ownerreportd", *arguments],
        capture_output=True, text=True, timeout=30, **options,
    )  # fmt: skip


def test_alone_it_prints_the_verbs_in_the_order_of_a_first_day(run):
    ended = run()
    assert (ended.status, ended.err) == (0, "")
    listed = re.findall(r"^  (\w+)  ", ended.out.partition("first day:\n")[2], re.MULTILINE)
    assert listed == list(VERBS)
    assert listed[:3] == ["init", "run", "submit"]


def test_printing_the_verbs_imports_none_of_them():
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ownerreportd"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "ownerreportd.cli.verbs" in ended.stderr
    assert "ownerreportd.cli.reports" not in ended.stderr


def test_the_version(run):
    assert run("--version") == (0, f"ownerreportd {__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(run, verb):
    ended = run(verb, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: ownerreportd {verb} ")
    assert "Example" in ended.out
    assert ended.out == run("help", verb).out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_flag_that_it_has_not(run, verb):
    ended = run(verb, "--no-such-flag")
    assert (ended.status, ended.out) == (64, "")
    assert ended.err.startswith("error: no such option")
    assert len(ended.err.splitlines()) == 2


def test_a_mistyped_verb_gets_the_nearest_one(run):
    assert run("stauts") == (
        64, "", "error: there is no verb 'stauts'\nhint: did you mean status?\n",
    )  # fmt: skip
    assert run("help", "lst").status == 64
    assert run("zzzz").err.endswith("hint: ownerreportd --help\n")


@pytest.mark.parametrize(
    ("words", "path", "nearest"),
    [
        (("service", "instal"), "service instal", "install"),
        (("config", "chek"), "config chek", "check"),
        (("gate", "decision"), "gate decision", "decisions"),
        (("gate", "receipt", "wirte"), "gate receipt wirte", "write"),
    ],
)
def test_a_mistyped_verb_of_a_verb_gets_the_nearest_one(run, words, path, nearest):
    assert run(*words) == (
        64, "", f"error: there is no verb {path!r}\nhint: did you mean {nearest}?\n",
    )  # fmt: skip
    assert run(words[0], "zzzz").err.endswith(f"hint: ownerreportd {words[0]} --help\n")


def test_a_flag_that_is_like_none_is_not_guessed_at(run):
    ended = run("service", "install", "--frob")
    assert ended.err.splitlines()[-1] == "hint: ownerreportd service install --help"


def test_a_mistyped_flag_gets_the_nearest_one(run):
    ended = run("submit", "--taem", "x")
    assert ended.status == 64
    assert ended.err.endswith("hint: did you mean --team?\n")


@pytest.mark.parametrize(
    "command",
    [("show",), ("show", "a", "b"), ("list", "--state", "gone"), ("list", "--limit", "x"),
     ("submit", "--timeout", "-1"), ("skip",), ("--no-such",), ("submit", "a", "b")],
)  # fmt: skip
def test_what_cannot_be_meant_exits_64_in_two_lines(run, command):
    ended = run(*command)
    assert (ended.status, ended.out) == (64, "")
    first, second = ended.err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")


def test_the_exit_codes_are_explained(run):
    out = run("help", "exit-codes").out
    assert " 75  not delivered yet, will be tried again (submit --wait, send, drain)\n" in out
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    statuses = {each.exit_status for each in kinds if issubclass(each, errors.OperatorError)}
    assert statuses <= EXIT_CODES.keys()


def test_a_named_configuration_that_is_missing_exits_78(run, home):
    ended = run("--config", str(home / "no.toml"), "status")
    assert ended.status == 78
    assert "no.toml, which does not exist" in ended.err


def test_an_unexpected_exception_is_two_lines_without_a_traceback(run, monkeypatch):
    def broken(*_):
        raise RuntimeError("surprise\x1b[31m")

    monkeypatch.setattr("ownerreportd.cli.place.Place.client", broken)
    ended = run("pause")
    assert (ended.status, ended.out) == (70, "")
    assert ended.err.startswith("error: RuntimeError: surprise\\x1b[31m\nhint: this is a bug")
    assert len(ended.err.splitlines()) == 2
    monkeypatch.setenv("OWNERREPORTD_DEBUG", "1")
    assert "Traceback" in run("pause").err


def test_a_closed_pipe_is_quiet(home):
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "ownerreportd", "help", "exit-codes"],
        stdout=write, stderr=subprocess.PIPE, timeout=30,
    )  # fmt: skip
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error(home):
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "ownerreportd", "--version"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
        )  # fmt: skip
    assert ended.returncode == 74
    assert ended.stderr.startswith("error: No space left on device\nhint: ")


def test_closed_streams_are_no_error(home):
    command = f"{sys.executable} -m ownerreportd submit --done x <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], timeout=30).returncode == 0


def test_a_terminal_without_chinese_still_gets_its_text(home, daemon):
    daemon.add("r-1", title="報告")
    ended = program("list", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert ended.returncode == 0
    assert "\\u5831\\u544a" in ended.stdout


def test_ctrl_c_exits_130_without_a_word(home, daemon):
    daemon.add("r-1")
    process = subprocess.Popen(
        [sys.executable, "-m", "ownerreportd", "submit", "--id", "a", "--wait", "--done", "x"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "a\n"
    # CPython loses a signal that comes between its last look and a blocking call, and the person
    # presses again.
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            break
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_named_spool_is_never_served_by_another_spools_daemon(run, home, monkeypatch):
    monkeypatch.setattr("ownerreportd.locate.RUN", home / "run")
    with DaemonInThread(home / "run" / "ownerreportd" / "api.sock") as machines:
        monkeypatch.delenv("OWNERREPORTD_SPOOL__ROOT")
        assert run("status").status == 0
        ended = run("--spool", str(home / "other"), "submit", "--done", "x")
        assert ended.status == 0
        assert "pending, and goes out once a daemon runs" in ended.err
        assert machines.store == []
        (home / "other" / "state").mkdir()
        (home / "other" / "state" / "api.path").write_text(f"{home}/run/ownerreportd/api.sock\n")
        assert run("--spool", str(home / "other"), "status").status == 0


def test_a_named_configuration_with_a_spool_is_never_served_by_another_spools_daemon(
    run, home, monkeypatch
):
    monkeypatch.setattr("ownerreportd.locate.RUN", home / "run")
    monkeypatch.delenv("OWNERREPORTD_SPOOL__ROOT")
    second = home / "second.toml"
    second.write_text(f'[spool]\nroot = "{home / "other"}"\n')
    with DaemonInThread(home / "run" / "ownerreportd" / "api.sock") as machines:
        ended = run("--config", str(second), "submit", "--done", "x")
        assert "pending, and goes out once a daemon runs" in ended.err
        monkeypatch.setenv("OWNERREPORTD_CONFIG", str(second))
        assert run("status").status == 69
        assert machines.store == []
    assert len(list((home / "other" / "pending").iterdir())) == 1


def test_a_place_without_permission_is_named(run, spool):
    if os.geteuid() == 0:
        pytest.skip("root may everything")
    with DaemonInThread(spool / "state" / "api.sock"):
        (spool / "state" / "api.sock").chmod(0)
        assert "(permission denied)" in run("pause").err
