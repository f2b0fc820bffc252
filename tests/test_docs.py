"""The documents say what the program does: words, verbs, exit codes, events, commands."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ownerreportd import channels, gate
from ownerreportd.api.models import ReportState
from ownerreportd.cli import program
from ownerreportd.cli.verbs import VERBS
from ownerreportd.config.schema import names_at
from ownerreportd.core import errors, events
from ownerreportd.core.lane_words import BlockCode

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("ownerreportd")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def glossary():
    return dict(
        re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", read("docs/glossary.md"), re.MULTILINE)
    )


def test_the_glossary_is_in_order_and_each_word_is_used():
    words = list(glossary())
    assert words == sorted(words)
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "ownerreportd").rglob("*.py"))
    stems = {word: word.split()[-1].removesuffix("d").removesuffix("e") for word in words}
    assert [word for word, stem in stems.items() if stem.lower() not in code.lower()] == []


def test_every_blocked_reason_is_explained():
    told = read("docs/a-reports-life.md")
    assert [code for code in BlockCode.__args__ if f"`{code}`" not in told] == []


def test_every_state_reason_and_event_is_in_the_operators_page():
    told = read("docs/operating.md")
    states = ("idle", "sending", "waiting", "paused", "blocked", "down")
    names = {*states, *ReportState.__args__, *BlockCode.__args__, *events.KINDS, "gap"}
    assert [name for name in sorted(names) if f"`{name}`" not in told] == []


def test_every_verb_has_help_and_is_in_the_list():
    shown = subprocess.run([PROGRAM], capture_output=True, text=True).stdout
    listed = re.findall(r"^  (\w+) +\w", shown.partition("Verbs")[2], re.MULTILINE)
    assert set(VERBS) <= set(listed)


def test_every_exit_code_is_told():
    told = subprocess.run([PROGRAM, "help", "exit-codes"], capture_output=True, text=True).stdout
    codes = {e.exit_status for e in vars(errors).values() if isinstance(e, type) and
             issubclass(e, errors.OperatorError)}  # fmt: skip
    assert [
        code for code in {0, 3, *codes} if not re.search(rf"^ *{code}\b", told, re.MULTILINE)
    ] == []


def test_every_block_of_the_manual_is_typed_in_the_tests_or_says_why_not():
    sections = re.split(r"(?m)^#+ (.+)\n", read("docs/operating.md"))
    with_shell = {
        heading
        for heading, text in zip(sections[1::2], sections[2::2], strict=True)
        if "```sh" in text
    }
    played = set(re.findall(r'blocks\("([^"]+)"', read("tests/e2e/test_e2e_manual.py")))
    failing = "Several destinations"  # needs two failing ones; see below
    of_the_system = "Backup and restore"  # types as root and as the service's user
    assert with_shell == played | {failing, of_the_system}


DOCUMENTS = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_the_documents_is_one_of_the_programs(document):
    """Its verb and its flags, also of a command that no test types."""
    shell = "\n".join(re.findall(r"(?ms)^```(?:sh|console)\n(.*?)^```", read(document)))
    begin = r"(?:^|&& |\| |\$ |=\S+ |sudo )(?:/opt/ownerreportd/bin/)?ownerreportd"
    lines = re.findall(rf"(?m){begin} (.+?)(?:  +#.*)?(?: (?:&&|\||>) .*)?$", shell)
    assert len(lines) > 5 or document not in {"README.md", "docs/operating.md"}
    assert [line for line in lines if not is_a_command(shlex.split(line, comments=True))] == []


def is_a_command(words):
    command = program.cli
    for word in words:
        flags = {"--help"} | {
            opt for each in command.params for opt in (*each.opts, *each.secondary_opts)
        }
        if word.startswith("-"):
            if word.partition("=")[0] not in flags:
                return False
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            command = found or command
    return not isinstance(command, click.Group) or words in ([], ["--version"])


KINDS = """
report.admitted report.warning report.duplicate report.id_conflict report.rejected
report.withdrawn part.sending part.confirmed part.failed part.resolved report.sent
report.held lane.waiting lane.blocked lane.resumed queue.paused queue.resumed
gate.decided receipt.written config.reloaded daemon.started daemon.stopping
"""


def test_event_kinds_are_those_of_the_contract():
    assert set(KINDS.split()) == events.KINDS


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if "decisions" not in name])
def test_links_lead_somewhere(document):
    base = (ROOT / document).parent
    links = {x for x in re.findall(r"\]\(([^)#]+)", read(document)) if "://" not in x}
    assert links or document == "docs/glossary.md"
    assert [link for link in links if not (base / link).exists()] == []
    headings = {anchor(title) for title in re.findall(r"(?m)^#+ (.+)", read(document))}
    assert set(re.findall(r"\]\(#(.+?)\)", read(document))) <= headings
    for page, part in re.findall(r"\]\(([^)#:]+\.md)#(.+?)\)", read(document)):
        other = (base / page).read_text(encoding="utf-8")
        assert part in {anchor(title) for title in re.findall(r"(?m)^#+ (.+)", other)}, page


def anchor(title):
    """The address of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_readme_is_one_screen_and_its_two_commands_are_targets():
    readme, makefile = read("README.md"), read("Makefile")
    assert len(readme.splitlines()) < 90
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_decision_has_its_four_paragraphs_and_one_screen():
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert re.match(r"# \d+\. .+", text), path.name
        assert "**Context.**" in text, path.name
        assert "**Choice.**" in text, path.name
        assert "**What would change our mind.**" in text, path.name
        assert len(text.splitlines()) < 40, path.name


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an unpacked sdist has no history")
def test_no_setting_of_this_machine_is_in_the_tree():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    wanted = re.compile(rf"/(?:{'work'}|{'root'})/[a-z.]")
    assert listed
    found = [
        name for name in listed if (ROOT / name).is_file() and wanted.search(read_any(ROOT / name))
    ]
    assert found == []


def read_any(path):
    return path.read_bytes().decode("utf-8", "replace")


def test_the_gates_page_tells_every_reason_and_names_what_is_there():
    text = read("docs/gate.md")
    meanings = text.partition("## What each reason means")[2].partition("## Write receipts")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", meanings, re.MULTILINE)) == set(gate.REASONS)
    names = set(re.findall(r"`gate\.(\w+)", text))
    assert names <= set(gate.__all__)
    assert len(names) >= 12
    rows = re.findall(r"^\| (\d+) \|.*\| (\w+) \| `(\w+)` \|$", text, re.MULTILINE)
    assert [(int(n), *rest) for n, *rest in rows] == [
        (row.number, row.status, row.reason) for row in gate.ROWS
    ]


def test_the_gates_page_has_every_function_of_the_plugin_that_it_replaces():
    table = read("docs/gate.md").partition("## Coming from the JavaScript plugin")[2]
    for name in PLUGIN.split():
        assert f"`{name}" in table, name


def test_the_refusal_on_the_gates_page_is_the_programs_own():
    given = json.loads(read("examples/gate/manual.json"))
    assert gate.evaluate("manual", given)["block"] in read("docs/gate.md")


def test_the_python_on_the_gates_page_runs(tmp_path):
    code = re.search(r"```python\n(.*?)```", read("docs/gate.md"), re.DOTALL)[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_shell_on_the_gates_page_prints_the_block_and_nothing_else(tmp_path):
    line = re.search(r"^block=.*$", read("docs/gate.md"), re.MULTILINE)[0]
    shutil.copy(ROOT / "examples/gate/manual.json", tmp_path / "turn.json")
    line = line.replace("ownerreportd gate check", f"{PROGRAM} gate check --local")
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        env={"HOME": str(tmp_path)},
    )  # fmt: skip
    given = json.loads(read("examples/gate/manual.json"))
    assert (done.stdout.strip(), done.stderr) == (gate.evaluate("manual", given)["block"], "")


PLUGIN = """
defaultConfig cloneDefaultConfig validateContinuityConfig normalizeContinuityConfig
normalizeContinuityEngineInput createContinuityEngineResult createContinuityEngineContract
evaluateContinuity buildContinuityGateBlock validateReceipt isValidReceipt slugifyReceiptSegment
buildReceiptFilename writeReceipt buildApprovedPlanContinuityInput
createForceRecallContinuityAdapter runForceRecallContinuityAdapter buildGenericContinuityInput
createGenericPreflightContinuityAdapter runGenericPreflightContinuityAdapter
runManualContinuityPreflight
"""


def test_every_installed_channel_is_explained_with_its_keys_and_limits():
    told = read("docs/channels.md")
    for name in channels.installed():
        kind = channels.load(name)
        assert f"## {name}\n" in told
        assert [key for key in names_at((), kind.Options) if f"`{key}`" not in told] == []
        (row,) = re.findall(rf"(?m)^\| `{name}` \|.*$", told)
        most = kind.capabilities.text_max
        assert ("no limit" if most is None else f"{most:,} ") in row


def test_every_script_that_replaces_an_old_one_is_on_the_migration_page():
    text = read("docs/migrating.md")
    names = [path.name for path in (ROOT / "deploy/compat").iterdir() if path.is_file()]
    assert len(names) == 6
    assert [name for name in names if f"`{name}" not in text] == []
    linked = ROOT / "ownerreportd/compat_files"
    assert {path.name for path in linked.iterdir() if path.is_file()} == set(names)
