#!/usr/bin/env python3
"""A strict double of crontab(1), which keeps its table in $HOME/crontab.

It takes what Debian's takes (`-l`, FILE, `-`) and refuses what it refuses. Around every call it
runs $HOME/on-crontab, where there is one: for what happens between two steps of its caller.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TABLE = Path(os.environ["HOME"]) / "crontab"
HOOK = TABLE.with_name("on-crontab")
LINE = re.compile(
    rb"\s*(?:#.*|[\"']?[A-Za-z_]\w*[\"']?\s*=.*|@(?:reboot|hourly|daily|weekly|monthly|yearly)\s+\S.*"
    rb"|(?:[\d*/,A-Za-z-]+\s+){5}\S.*)?"
)


def refuse(message):
    sys.stderr.write(f"{message}\n")
    sys.exit(1)


def show():
    if not TABLE.exists():
        refuse("no crontab for tester")
    sys.stdout.buffer.write(TABLE.read_bytes())


def take(data):
    if data and not data.endswith(b"\n"):
        refuse("new crontab file is missing newline before EOF, can't install.")
    for number, line in enumerate(data.splitlines(), 1):
        if not LINE.fullmatch(line):
            refuse(f'"-":{number}: bad minute\nerrors in crontab file, can\'t install.')
    draft = TABLE.with_name("crontab.draft")
    draft.write_bytes(data)
    draft.rename(TABLE)


def main():
    words = sys.argv[1:]
    if len(words) != 1 or (words[0].startswith("-") and words[0] not in {"-", "-l"}):
        refuse("crontab: usage error")
    if words == ["-l"]:
        show()
    else:
        take(sys.stdin.buffer.read() if words == ["-"] else Path(words[0]).read_bytes())


def happen(when):
    if HOOK.exists():
        subprocess.run([HOOK, when], check=True)


if __name__ == "__main__":
    happen("before")
    main()
    happen("after")
