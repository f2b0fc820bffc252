"""Wheel and sdist contain what they should, nothing else, and run with the source gone."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

from packed import JUNK, ROOT, built, tracked

from ownerreportd import __version__

TOP = f"ownerreportd-{__version__}"
DATA = f"{TOP}.data/data/share/"
SHARED = {
    "bash-completion/completions/ownerreportd": "completion/ownerreportd.bash",
    "zsh/site-functions/_ownerreportd": "completion/_ownerreportd",
    "fish/vendor_completions.d/ownerreportd.fish": "completion/ownerreportd.fish",
}


def in_wheel(path):
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def in_sdist(path):
    with tarfile.open(path) as sdist:
        return {member.name.removeprefix(f"{TOP}/"): member for member in sdist}


def of_the_package():
    return {name for name in tracked() if name.startswith("ownerreportd/")}


def test_the_wheel_has_every_file_of_the_package_as_it_is(packages):
    wheel = in_wheel(packages[".whl"])
    assert [n for n in of_the_package() if wheel.get(n) != (ROOT / n).read_bytes()] == []
    assert "ownerreportd/py.typed" in wheel


def test_the_wheel_has_nothing_else(packages):
    wheel = in_wheel(packages[".whl"])
    deployed = [(ROOT / n).read_bytes() for n in tracked() if n.startswith("deploy/")]
    known = (*of_the_package(), f"{TOP}.dist-info/", DATA)
    extra = [name for name in wheel if not name.startswith(known)]
    assert [name for name in extra if wheel[name] not in deployed] == []
    assert {name.partition("/")[0] for name in wheel} == {
        "ownerreportd", f"{TOP}.data", f"{TOP}.dist-info",
    }  # fmt: skip


def test_the_wheel_brings_the_manual_pages_and_the_completions(packages):
    pages = {f"man/{p.parent.name}/{p.name}": p for p in (ROOT / "deploy/man").glob("man?/*")}
    shared = {name: ROOT / "deploy" / source for name, source in SHARED.items()}
    wheel = in_wheel(packages[".whl"])
    found = {n.removeprefix(DATA): data for n, data in wheel.items() if n.startswith(DATA)}
    assert found == {name: path.read_bytes() for name, path in {**pages, **shared}.items()}


def test_the_wheel_says_what_it_is(packages):
    wheel = in_wheel(packages[".whl"])
    assert wheel[f"{TOP}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    told = wheel[f"{TOP}.dist-info/METADATA"].decode()
    assert re.findall(r"(?m)^Classifier: .*:: (3\.\d+)$", told) == ["3.11", "3.12", "3.13"]
    assert "Requires-Python: >=3.11\n" in told
    assert re.findall(r"(?m)^Root-Is-Purelib: (.*)$", wheel[f"{TOP}.dist-info/WHEEL"].decode()) == [
        "true"
    ]


def test_the_sdist_is_what_is_tracked_and_nothing_that_lies_about(packages):
    sdist = set(in_sdist(packages[".gz"]))
    assert sdist == {*tracked(), "PKG-INFO"}
    assert sdist.isdisjoint(JUNK)


def test_nothing_in_the_sdist_leads_out_of_it(packages):
    for name, member in in_sdist(packages[".gz"]).items():
        inside = (ROOT / name).parent / member.linkname if member.issym() else ROOT / name
        assert inside.resolve().is_relative_to(ROOT), name
        assert member.isfile() or member.issym(), name


def test_the_sdist_builds_the_same_wheel(packages, tmp_path):
    with tarfile.open(packages[".gz"]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    again = built(tmp_path / TOP, tmp_path / "out", "wheel")
    assert again[".whl"].read_bytes() == packages[".whl"].read_bytes()


def test_the_wheel_runs_with_the_source_gone(installed, home):
    user = home(installed / "bin/ownerreportd")
    assert user.run("--version") == f"ownerreportd {__version__}\n"
    assert "Verbs, in the order of a first day" in user.run("help")
    shown = user.run("channels")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(points["ownerreportd.channels"]) <= set(re.findall(r"(?m)^\S+$", shown))
    assert "\n  cannot be used" not in shown
    user.delivers("without a daemon")
    with user.daemon():
        user.run("submit", "-", "--wait", given="with a daemon")
    assert "with a daemon" in user.inbox()


def test_what_is_imported_is_the_wheel(installed):
    code = "import ownerreportd; print(ownerreportd.__file__)"
    done = subprocess.run(
        [installed / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(installed))
    assert sys.prefix not in done.stdout


def test_the_pages_are_where_man_looks(installed):
    for name in ("man1/ownerreportd.1", "man1/ownerreportd-submit.1", "man5/ownerreportd.toml.5"):
        assert (installed / "share/man" / name).is_file()
