#!/usr/bin/env python3
"""Send one report now, past the queue: this is `ownerreportd send`, under its old name."""

from __future__ import annotations

import os

from owner_report_program import CHANNEL, TARGET, Flags, become, destination


def main() -> None:
    """Become `ownerreportd send` with the same file and destination."""
    about = "Send one report now, past the queue: this is `ownerreportd send`."
    flags = Flags(prog="owner_report_driver.py", description=about)
    flags.add_argument("file", metavar="FILE", help="in pending/, or from outside")
    flags.add_argument("--channel", metavar="TYPE", help="as discord; else OWNER_REPORT_CHANNEL")
    flags.add_argument("--target", metavar="TARGET", help="as channel:1; else OWNER_REPORT_TARGET")
    flags.add_argument("--dry-run", action="store_true", help="say what would be sent, and where")
    given = flags.parse_args()
    words = ["send", *destination(given.channel, given.target)]
    for name in (CHANNEL, TARGET):
        os.environ.pop(name, None)  # the flags say it now
    become([*words, *(["--dry-run"] if given.dry_run else []), "--", given.file])


if __name__ == "__main__":
    main()
