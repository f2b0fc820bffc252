"""What of deploy/Containerfile can be tried without an image: files, commands, health."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
from packed import ROOT, tracked

TEXT = (ROOT / "deploy/Containerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n", "", re.sub(r"(?m)^\s*#.*\n", "", TEXT)).splitlines()
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]
PAGE = (ROOT / "docs/installing.md").read_text(encoding="utf-8").partition("## In a container")[2]
MOUNTED = """
mount --bind {etc} /etc && mount --bind {spool} /var/spool && {{ {command}; }} &&
id -u ownerreportd && id -g ownerreportd && stat -c '%u:%g %a' /var/spool/ownerreportd
"""


def values(word):
    return [rest for step, rest in STEPS if step == word]


def copied():
    """What comes from the tree."""
    return [name for rest in values("COPY") if "--from" not in rest for name in rest.split()[:-1]]


def test_what_is_copied_is_there_and_let_through():
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert "*" in allowed
    assert [name for name in copied() if f"!{name}" not in allowed] == []
    names = tracked()
    assert [
        n for n in copied() if n not in names and not any(x.startswith(f"{n}/") for x in names)
    ] == []


@pytest.mark.packaging
@pytest.mark.timeout(300)
def test_its_commands_install_the_program_from_what_is_copied(tmp_path):
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    command = values("RUN")[0].replace("/opt/", f"{tmp_path}/opt/")
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, capture_output=True)
    shutil.rmtree(tmp_path / "ownerreportd")
    program = tmp_path / "opt/ownerreportd/bin/ownerreportd"
    told = subprocess.run([program, "--version"], cwd="/", capture_output=True, text=True)
    assert told.stdout.startswith("ownerreportd ")


@pytest.mark.parametrize("gid", [7341, 100])
def test_it_makes_its_user_also_where_the_group_is_taken(tmp_path, gid):
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("needs root, and namespaces")
    etc, spool = tmp_path / "etc", tmp_path / "spool"
    etc.mkdir()
    spool.mkdir()
    for name in ("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf"):
        if os.path.exists(f"/etc/{name}"):
            shutil.copy(f"/etc/{name}", etc)
    command = MOUNTED.format(etc=etc, spool=spool, command=values("RUN")[1])
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", command], capture_output=True, text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "UID": "7340", "GID": str(gid)},
    )  # fmt: skip
    assert done.stdout.split() == ["7340", str(gid), f"7340:{gid}", "750"], done.stderr
    assert not os.path.exists("/var/spool/ownerreportd")


def test_it_does_not_run_as_root_and_runs_the_daemon():
    assert values("USER") == ["${UID}:${GID}"]
    assert [rest for rest in values("ARG") if "ID=" in rest] == ["UID=1000", "GID=1000"]
    assert values("ENTRYPOINT") + values("CMD") == ['["ownerreportd"]', '["run"]']


def test_its_health_is_the_daemons(installed, home):
    user = home(installed / "bin/ownerreportd")
    [health] = values("HEALTHCHECK")
    command = health.partition("CMD ")[2]
    environ = {**user.environ, "PATH": f"{installed / 'bin'}:/usr/bin:/bin"}

    def asked():
        return subprocess.run(["sh", "-c", command], env=environ, capture_output=True).returncode

    assert asked() == 1
    with user.daemon():
        assert asked() == 0
        user.run("pause")
        assert asked() == 1


def test_its_environment_is_a_configuration(installed, home):
    user = home(installed / "bin/ownerreportd")
    user.environ |= dict(rest.split("=", 1) for rest in values("ENV") if "PATH" not in rest)
    assert "/var/spool/ownerreportd" in user.run("config", "show")


def test_the_pages_commands_name_what_is_there():
    block = " ".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    words = shlex.split(block, comments=True)
    arguments = {words[n + 1].partition("=")[0] for n, w in enumerate(words) if w == "--build-arg"}
    assert {"UID", "GID"} <= arguments <= {rest.partition("=")[0] for rest in values("ARG")}
    assert words[words.index("-f") + 1] == "deploy/Containerfile"
    for flag in ("--read-only", "--cap-drop", "--init", "--stop-timeout"):
        assert flag in words
