"""What real shells propose, with the files of `deploy/completion`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "completion"
FILES = {"bash": "ownerreportd.bash", "zsh": "_ownerreportd", "fish": "ownerreportd.fish"}
PROGRAM = Path(sys.executable).with_name("ownerreportd")
BASH = """
source {file}
COMP_WORDS=({words} ''); COMP_CWORD={count}
[ -n {last} ] && {{ COMP_WORDS[$COMP_CWORD]={last}; }}
_ownerreportd_completion ownerreportd
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# zsh's completion needs its line editor: a terminal is typed at, and what it shows is read.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT='' ; fpath=({folder} \\$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w shell "bindkey '^I' complete-word; zstyle ':completion:*' list-rows-first yes"
zpty -w shell "print READY"
zpty -r -m shell line '*READY*READY*'
zpty -n -w shell {typed}$'\\t'
for turn in {{1..100}}; do
  while zpty -r -t shell piece; do all+=$piece; done
  [[ $all == *{word}* ]] && break
  sleep 0.1
done
print -r -- $all
zpty -d shell
"""


@pytest.fixture
def environ(home):
    return {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "TERM": "xterm"}


def proposed(shell, typed, environ, word=""):
    """What the shell proposes for what was typed."""
    *words, last = typed.split(" ")
    path = FOLDER / FILES[shell]
    if shell == "fish":
        script = f"source {path}; complete -C {shlex.quote(typed)}"
    elif shell == "zsh":
        script = ZSH.format(folder=FOLDER, typed=shlex.quote(typed), word=word)
    else:
        script = BASH.format(
            file=path, words=" ".join(words), count=len(words), last=shlex.quote(last)
        )
    command = [shell, "--no-config", "-c", script] if shell == "fish" else [shell, "-c", script]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


@pytest.mark.parametrize("shell", FILES)
def test_the_files_are_fresh(shell):
    environ = {**os.environ, "_OWNERREPORTD_COMPLETE": f"{shell}_source"}
    told = subprocess.run([PROGRAM], env=environ, capture_output=True, text=True, check=True)
    remedy = f"_OWNERREPORTD_COMPLETE={shell}_source ownerreportd > deploy/completion/..."
    assert (FOLDER / FILES[shell]).read_text() == told.stdout, remedy


@pytest.mark.parametrize("shell", FILES)
def test_a_shell_proposes_verbs_flags_words_and_reports(shell, environ, daemon):
    daemon.add("build-17")
    for typed, word in (
        ("ownerreportd rel", "reload"),
        ("ownerreportd gate receipt wr", "write"),
        ("ownerreportd list --sta", "--state"),
        ("ownerreportd list --state hel", "held"),
        ("ownerreportd skip buil", "build-17"),
    ):
        assert word in proposed(shell, typed, environ, word), typed


def test_without_a_daemon_nothing_is_proposed_and_nothing_is_said(environ):
    assert proposed("bash", "ownerreportd skip he", environ).strip() == ""
