"""The example of somebody else's channel installs, keeps the contract, and delivers.

It is installed as an author would, but without a network: hatchling, which builds it, is among the
tools of development.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from e2e.harness import PATH, Home, LoopThread

from ownerreportd.core.channel import Channel
from ownerreportd.core.outcome import LookResult, Outcome
from ownerreportd.testing import Situation

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "gotify"
PAGE = ROOT / "docs" / "writing-a-channel.md"
TOKEN = "A-made-up.token"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the example, so that nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("author") / "gotify"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return copy


@pytest.fixture(scope="module")
def site(package):
    """Where the example is installed; beside ours, in no environment that others use."""
    target = package.parent / "site"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--no-build-isolation", "--target", target, package],
        capture_output=True, text=True, timeout=50,
        env={"PATH": PATH, "HOME": str(package.parent), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def home(site):
    """A home that sees the package and has the token."""
    made = Home()
    made.environ["PYTHONPATH"] = os.fspath(site)
    token = made.config.parent / "gotify.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    yield made
    made.close()


def configured(home, **owner):
    return home.configure(
        destinations={"owner": {"channel": "gotify", "timeout_s": 1, **owner}}
    )  # fmt: skip


def test_its_own_tests_pass_as_installed(package, site):
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"],
        cwd=package, capture_output=True, text=True, timeout=55,
        env={
            "PATH": PATH, "HOME": str(package.parent), "PYTHONPATH": str(site),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b[3-9]\d passed, 3 skipped\b", ran.stdout), ran.stdout


def test_the_program_lists_and_accepts_it(home):
    configured(home, target="https://gotify.example.org/", priority=7)
    checked = home.run("config", "check")
    assert checked.status == 0, checked
    assert "owner: " in checked.out
    assert TOKEN not in home.run("config", "show").out
    configured(home, channel="gotfy", target="https://gotify.example.org")
    assert re.search(r"installed: .*\bgotify\b", home.run("config", "check").err)


@pytest.mark.parametrize(
    ("owner", "said"),
    [({"target": "nowhere"}, "'nowhere'"), ({"target": "https://x", "priority": 11}, "priority"),
     ({"target": "https://x", "no_such": 1}, "no_such")],
)  # fmt: skip
def test_a_mistake_in_its_configuration_is_named(home, owner, said):
    configured(home, **owner)
    checked = home.run("config", "check")
    assert checked.status == 78
    assert said in checked.err


def test_without_the_token_or_the_package_the_error_says_so(home):
    configured(home, target="https://gotify.example.org")
    (home.config.parent / "gotify.token").unlink()
    assert "token_file" in home.run("config", "check").err
    del home.environ["PYTHONPATH"]
    assert "no such channel" in home.run("config", "check").err


def double_of(package):
    spec = importlib.util.spec_from_file_location(
        "gotify_double", package / "tests" / "gotify_double.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GotifyDouble()


def test_a_daemon_delivers_through_it(home, package):
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        gotify = double_of(package)
        loop.call(gotify.__aenter__())
        stack.callback(lambda: loop.call(gotify.__aexit__(None, None, None)))
        configured(home, target=gotify.address)
        loop.call(gotify.arrange("throttles"))
        home.drop_many({"a.md": "first", "b.md": "second"})
        daemon = home.daemon()
        home.wait_state("waiting")
        loop.call(gotify.arrange("refuses_config"))
        assert "token_file" in home.wait_state("blocked", "config")["hint"]
        loop.call(gotify.arrange("accepts"))
        assert home.run("retry").status == 0
        home.wait_sent("a.md", "b.md")
        assert [made["message"] for made in gotify.messages] == ["first", "second"]
        assert daemon.stop() == 0
        assert TOKEN not in daemon.log


# The page.


def page():
    return PAGE.read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", page(), re.DOTALL)


def test_the_code_on_the_page_is_the_examples_own():
    channel, bench = blocks("python")
    assert channel == (EXAMPLE / "src/ownerreportd_gotify/__init__.py").read_text(encoding="utf-8")
    assert bench in (EXAMPLE / "tests/test_gotify.py").read_text(encoding="utf-8")
    entry, _ = blocks("toml")
    assert entry in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")


def test_the_configuration_on_the_page_is_accepted(home):
    _, text = blocks("toml")
    assert tomllib.loads(text)["destinations"]["owner"]["channel"] == "gotify"
    home.config.write_text(text)
    checked = home.run("config", "check")
    assert checked.status == 0, checked


def test_the_page_tells_every_outcome_situation_and_member():
    names = [kind.__name__ for kind in (*get_args(Outcome), *get_args(LookResult))]
    names += [*get_args(Situation), *(name for name in vars(Channel) if name[0] != "_")]
    text = page()
    assert [name for name in names if not re.search(rf"`{name}\b", text)] == []


def test_its_links_lead_somewhere():
    links = [x for x in re.findall(r"\]\(([^)#]+)\)", page()) if "://" not in x]
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_the_example_is_small_and_needs_us_alone():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == ["ownerreportd"]
    code = (EXAMPLE / "src/ownerreportd_gotify/__init__.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 130
