"""Running a program: what is known of every end, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import stat
import sys
import time
from pathlib import Path

import anyio
import pytest

from ownerreportd.channels.program import (
    ERRORS_BYTES_MAX,
    CutOff,
    Ended,
    NeverRan,
    environment,
    run,
    shown,
    status_text,
)
from ownerreportd.channels.program_file import absolute, problem
from ownerreportd.core.errors import ConfigError

LATEST_S = 30.0


async def shell(script, *, timeout_s=LATEST_S, **more):
    return await run(
        ["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, timeout_s=timeout_s, **more
    )


async def python(script, *, timeout_s=LATEST_S, **more):
    return await run([sys.executable, "-ISc", script], {}, timeout_s=timeout_s, **more)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def is_child(pid):
    """Whether it is still a child of ours, be it as a zombie."""
    try:
        return (
            int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        )
    except FileNotFoundError:
        return False


async def until(ready, what):
    with anyio.move_on_after(LATEST_S):
        while not ready():
            await anyio.sleep(0.005)
        return
    raise AssertionError(f"never: {what}")


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


async def test_input_output_errors_and_status_come_through():
    done = await shell("cat; echo oops >&2; exit 3", given="hällo".encode())
    assert done == Ended(3, "hällo".encode(), b"oops\n")


async def test_running_never_blocks_the_loop(no_blocking):
    assert isinstance(await shell("cat", given=b"x" * 200_000), Ended)
    assert isinstance(await shell("sleep 1000", timeout_s=0.05), CutOff)
    assert isinstance(await run(["/no/such/program"], {}, timeout_s=1), NeverRan)
    assert await problem("/no/such/program", "exec", key="target") is not None


async def test_it_sees_the_environment_that_it_was_given_and_nothing_more():
    done = await run(["/usr/bin/env"], {"A": "b"}, timeout_s=LATEST_S)
    assert done == Ended(0, b"A=b\n", b"")


async def test_it_leads_a_session_of_its_own_in_the_root_folder():
    done = await python("import os; print(os.getsid(0) == os.getpid(), os.getcwd(), end='')")
    assert done == Ended(0, b"True /", b"")


async def test_no_shell_reads_the_arguments():
    done = await run(["/bin/echo", "$(id); `id` 'x' *"], {}, timeout_s=LATEST_S)
    assert done == Ended(0, b"$(id); `id` 'x' *\n", b"")


async def test_much_in_both_directions_at_once_is_no_deadlock():
    data = os.urandom(700_000)
    done = await shell("cat", given=data)
    assert isinstance(done, Ended)
    assert done.output == data


async def test_a_program_that_reads_nothing_is_no_error():
    assert await shell("exec <&-; echo yes", given=b"x" * 500_000) == Ended(0, b"yes\n", b"")


async def test_the_output_is_bounded_and_the_errors_keep_their_end():
    with anyio.fail_after(LATEST_S):  # it is ended for that, and not at its deadline
        done = await shell("yes; sleep 1000", timeout_s=1000, output_bytes_max=1000)
    assert done == CutOff("it wrote more than 1000 bytes", b"")
    done = await python("import sys; sys.stderr.write('x' * 999_999 + 'end')")
    assert isinstance(done, Ended)
    assert done.errors == b"x" * (ERRORS_BYTES_MAX - 3) + b"end"


async def test_a_flood_of_errors_does_not_keep_the_loop_from_its_work():
    turns = 0

    async def work():
        nonlocal turns
        while True:
            await anyio.sleep(0)
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        done = await shell("yes >&2", timeout_s=0.3)
        group.cancel_scope.cancel()
    assert isinstance(done, CutOff)
    assert turns > 10


async def test_death_by_a_signal_is_told():
    done = await shell("kill -9 $$")
    assert isinstance(done, Ended)
    assert done.status == -signal.SIGKILL
    assert status_text(done.status) == "it was killed by SIGKILL"
    assert status_text(-99) == "it was killed by signal 99"
    assert status_text(2) == "it ended with status 2"


async def test_at_the_deadline_the_whole_group_is_killed_even_if_it_ignores_the_hint(tmp_path):
    script = "trap '' TERM; sleep 1000 & echo $$ $! > pids; mv pids told; wait; sleep 1000"
    done = await shell(f"cd {tmp_path}; {script}", timeout_s=1.5)
    assert done == CutOff("it had not ended within 1.5 s", b"")
    pids = [int(pid) for pid in (tmp_path / "told").read_text().split()]
    assert len(pids) == 2
    await until(lambda: not any(map(is_alive, pids)), "both are gone")
    assert not is_child(pids[0])


async def test_at_the_deadline_it_is_asked_first(tmp_path):
    done = await shell(
        f"trap 'echo bye > {tmp_path}/said; exit 0' TERM; sleep 1000 & wait", timeout_s=1.5
    )
    assert isinstance(done, CutOff)
    await until((tmp_path / "said").exists, "it had its say")


@pytest.mark.parametrize("how", ["anyio", "asyncio"])
async def test_cancellation_kills_the_group_and_passes_through(tmp_path, how):
    script = "sleep 1000 & echo $$ $! > pids; mv pids told; wait"
    running = asyncio.ensure_future(
        _within_scope(f"cd {tmp_path}; {script}", scope := anyio.CancelScope())
    )
    await until((tmp_path / "told").exists, "it runs")
    scope.cancel() if how == "anyio" else running.cancel()
    await asyncio.wait([running], timeout=LATEST_S)
    assert running.cancelled() if how == "asyncio" else running.result() == "cancelled"
    pids = [int(pid) for pid in (tmp_path / "told").read_text().split()]
    await until(lambda: not any(map(is_alive, pids)), "both are gone")
    assert not is_child(pids[0])


async def _within_scope(script, scope):
    with scope:
        await shell(script)
    return "cancelled" if scope.cancelled_caught else "went on"


async def test_what_it_leaves_running_is_killed_and_not_waited_for(tmp_path):
    started = time.monotonic()
    done = await shell(f"sleep 1000 & echo $! > {tmp_path}/pid; echo done")
    assert done == Ended(0, b"done\n", b"")
    assert time.monotonic() - started < LATEST_S
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not is_alive(pid), "it is gone")


async def test_who_left_the_group_and_holds_the_pipes_holds_up_nobody(tmp_path):
    before = descriptors()
    done = await shell(f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' & "
                       f"until [ -s {tmp_path}/pid ]; do sleep 0.01; done; echo done")  # fmt: skip
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert done == Ended(0, b"done\n", b"")
    assert descriptors() == before


def zombies(names):
    """Our children of these names that ended, and that nobody has waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            state, parent, *_ = rest.split()
            if state == "Z" and int(parent) == os.getpid() and name in names:
                found.append(name)
    return found


async def test_no_descriptor_and_no_zombie_stays_behind():
    await shell("true")
    before = descriptors()
    for script in ("true", "exit 1", "kill -9 $$"):
        await shell(script)
    await shell("sleep 1000", timeout_s=0.05)
    await shell("yes", output_bytes_max=1)
    await run(["/no/such/program"], {}, timeout_s=1)
    assert descriptors() == before
    assert not zombies({"sh", "sleep", "yes", "true"})


async def test_what_was_never_started_is_known_for_it(tmp_path):
    text, script = tmp_path / "text", tmp_path / "script"
    text.write_text("no program")
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    long = ["/bin/echo", "x" * 200_000]
    found = [
        await run(command, {}, timeout_s=1)
        for command in (
            [str(tmp_path / "none")],
            [str(text)],
            [str(script)],
            long,
            ["/bin/echo", "\0"],
        )
    ]
    assert all(isinstance(each, NeverRan) and not each.passing for each in found), found
    assert [each.code for each in found] == ["ENOENT", "EACCES", "ENOENT", "E2BIG", "EINVAL"]
    text.chmod(0o755)
    done = await run([str(text)], {}, timeout_s=1)
    assert (done.code, done.passing) == ("ENOEXEC", False)


async def test_a_program_that_is_just_being_written_is_no_lasting_error(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with program.open("ab"):
        done = await run([str(program)], {}, timeout_s=1)
    assert done == NeverRan(
        "ETXTBSY", f"it cannot be started: {os.strerror(errno.ETXTBSY)}", passing=True
    )


# --- the file -----------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "folder" / "program"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


async def code_of(path):
    found = await problem(str(path), "exec", key="target")
    assert found is None or (found.detail and found.hint)
    return found and found.code


async def test_a_program_of_ours_is_right(program):
    assert await code_of(program) is None
    assert await code_of("/bin/sh") is None


async def test_what_cannot_be_run_is_told(program):
    assert await code_of(program.with_name("none")) == "exec.ENOENT"
    assert await code_of(program.parent) == "exec.no_program"
    assert await code_of(program / "below") == "exec.ENOTDIR"
    program.chmod(0o644)
    assert await code_of(program) == "exec.EACCES"


async def test_what_is_not_there_says_what_to_do(program):
    remedy = "put the program there, or set program to where it is"
    for path in (program.with_name("none"), program / "below", program.parent):
        found = await problem(str(path), "openclaw", key="program")
        assert found.hint == remedy
    assert "is a folder" in found.detail


@pytest.mark.parametrize(
    ("mode", "code"), [(0o757, "exec.writable"), (0o700, None), (0o4755, None)]
)
async def test_a_program_that_others_can_write_is_refused(program, mode, code):
    program.chmod(mode)
    assert await code_of(program) == code


async def test_a_folder_that_others_can_write_is_refused_unless_it_is_sticky(program):
    program.parent.chmod(0o757)
    assert await code_of(program) == "exec.writable"
    program.parent.chmod(0o757 | stat.S_ISVTX)
    assert await code_of(program) is None


async def test_the_folder_of_a_link_counts_as_well_as_that_of_the_file(program, tmp_path):
    link = tmp_path / "links" / "program"
    link.parent.mkdir(mode=0o755)
    link.symlink_to(program)
    assert await code_of(link) is None
    link.parent.chmod(0o777)
    assert await code_of(link) == "exec.writable"
    link.parent.chmod(0o755)
    program.parent.chmod(0o777)
    assert await code_of(link) == "exec.writable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_program_of_another_user_or_group_is_refused(program):
    os.chown(program, 12345, -1)
    assert await code_of(program) == "exec.owner"
    os.chown(program, 0, 12345)
    assert await code_of(program) is None
    program.chmod(0o775)
    assert await code_of(program) == "exec.writable"


def test_only_an_absolute_path_is_a_program():
    assert absolute("/usr/bin/../bin/true") == "/usr/bin/true"
    assert absolute("~/x").startswith("/")
    for path in ("", "true", "./true", "bin/true", "~no-such-user/x", "/x\0y", "/", "/usr/"):
        with pytest.raises(ConfigError) as caught:
            absolute(path)
        assert caught.value.hint


# --- words --------------------------------------------------------------------------------------


def test_the_environment_is_path_language_and_what_is_named(monkeypatch):
    monkeypatch.setenv("WANTED", "1")
    monkeypatch.setenv("OTHER", "2")
    found = environment(["WANTED", "UNSET"], path="/x")
    assert found == {"PATH": "/x", "LANG": "C.UTF-8", "WANTED": "1"}


def test_what_is_shown_is_one_short_line_without_secrets():
    assert shown(b"first\n  the \t last\x1b[31m \xff\n \n") == "the last?[31m �"
    assert shown("a secret-value b", ["secret-value", "a", ""]) == "a [secret] b"
    assert len(shown("x" * 999)) == 200
    assert shown(b"") == ""
