"""`docs/http-api.md`: every command and program in it is run, and every route is in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from e2e.fleet import Abreast

abreast = Abreast()
launch = abreast.launch

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "http-api.md").read_text(encoding="utf-8")
ROOT = ".clawteam/owner-reports"


def blocks(language):
    return re.findall(rf"(?m)^```{language}\n((?:.*\n)*?)```$", PAGE)


def at_home(home, discord):
    """A daemon whose spool is where the page says."""
    home.configure(
        discord.base, spool={"root": str(home.path / ROOT)}, socket={"path": str(home.socket)}
    )
    return home.daemon()


@abreast
def test_every_command_of_the_page_does_what_it_says(home, discord):
    at_home(home, discord)
    script = "set -eu -o pipefail\n" + "\n".join(blocks("sh"))
    done = subprocess.run(
        ["bash", "-c", script], env=home.environ, capture_output=True, text=True, timeout=120,
        check=False, cwd=home.path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    states = {each["id"]: each["state"] for each in home.client.reports()["reports"]}
    assert states["build-17"] == states["now-1"] == "sent"
    assert states["waits-1"] == "held"
    assert any("17 of 20" in text for text in discord.contents)


@abreast
def test_every_program_of_the_page_runs(home, discord):
    at_home(home, discord)
    programs = blocks("python")
    assert len(programs) == 2
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], env=home.environ, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("sent "), done.stdout
    assert len(discord.contents) == 2


def test_every_route_is_on_the_page():
    told = re.sub(r"(build-17|now-1|waits-1|waits-2|ID)", "{ref}", PAGE).replace(
        "decisions/17", "decisions/{number}"
    )
    paths = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))["paths"]
    told = told.replace("$base", "/v1").replace("http://localhost/", "/")
    assert [path for path in paths if not re.search(re.escape(path) + r"[\"? \n]", told)] == []
