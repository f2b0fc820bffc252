"""The manual pages of `deploy/man` say what the program says, and are pages that tools accept."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ownerreportd.cli.verbs import VERBS
from ownerreportd.config.schema import keys_below

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/man"
PAGES = sorted(FOLDER.glob("man?/*"))
BY_THE_OPERATOR = {("destinations",), ("routes",)}
ON_ONE_LINE = ("queue", "backoff")


def shown(name):
    """The page as a reader sees it."""
    path = FOLDER / f"man{name[-1]}" / name
    done = subprocess.run(
        ["groff", "-man", "-T", "utf8", "-P", "-cbou", "-r", "LL=500n", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")


def test_the_pages_are_current(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts/man.py", tmp_path], check=True)
    fresh = {path.name: path.read_bytes() for path in tmp_path.glob("man?/*")}
    checked_in = {path.name: path.read_bytes() for path in PAGES}
    stale = [n for n in sorted({*fresh, *checked_in}) if fresh.get(n) != checked_in.get(n)]
    assert stale == [], "make man"


def test_each_verb_has_a_page():
    pages = {"ownerreportd.1", "ownerreportd.toml.5", *(f"ownerreportd-{v}.1" for v in VERBS)}
    assert {path.name for path in PAGES} == pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "check", [["groff", "-man", "-ww", "-z"], ["mandoc", "-T", "lint"]], ids=["groff", "mandoc"]
)
def test_a_page_is_without_complaint(check, path):
    needs(check[0])
    done = subprocess.run([*check, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_man_shows_a_page_without_complaint(path):
    needs("man")
    done = subprocess.run(
        ["man", "--warnings", "-l", path], capture_output=True, text=True,
        env={"MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "NAME" in done.stdout


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_a_name_that_whatis_finds(path):
    needs("lexgrog")
    done = subprocess.run(["lexgrog", path], capture_output=True, text=True)
    assert done.stdout.startswith(f'{path}: "{path.stem} - '), done.stdout + done.stderr


def test_every_setting_is_in_the_page_of_the_configuration():
    needs("groff")
    lines = [line.split() for line in shown("ownerreportd.toml.5").splitlines()]
    keys = {words[0] for words in lines if words[1:2] == ["="]}
    settings = [key for key in keys_below() if key not in BY_THE_OPERATOR]
    assert [k for k in settings if k[-1] not in keys and k[:-1] != ON_ONE_LINE] == []
    assert "backoff" in keys


def test_every_variable_of_the_environment_is_in_the_programs_page():
    needs("groff")
    words = re.compile(r'"(OWNER[A-Z_]+|NO_COLOR|[A-Z]+_DIRECTORY|XDG_[A-Z_]+|[A-Z]+_SOCKET)"')
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "ownerreportd").rglob("*.py"))
    told = shown("ownerreportd.1")
    named = {name for name in words.findall(code) if "__" not in name and not name.endswith("_")}
    assert named
    assert [name for name in sorted(named) if f" {name}\n" not in told] == []


def test_what_is_to_be_copied_is_plain_ascii():
    needs("groff")
    assert "ownerreportd submit --team t --worker alice" in shown("ownerreportd-submit.1")
