#!/usr/bin/env python3
"""Hand over one checkpoint report: this is `ownerreportd submit`, under its old name and flags."""

from __future__ import annotations

from owner_report_program import Flags, become

FIELDS = {
    "team": "the team that works",
    "worker": "who works",
    "task-id": "what is worked on",
    "progress": "how far it is, as 50%%",
    "done": "what is done",
    "next": "what comes next",
    "status": "normal, attention, blocked, failed, done, or any word",
    "source": "what made the report",
}


def main() -> None:
    """Become `ownerreportd submit` with the same fields; it prints the report's id."""
    about = "Hand over one report, durably, and print its id: this is `ownerreportd submit`."
    flags = Flags(prog="owner_report_producer.py", description=about)
    for name, meaning in FIELDS.items():
        flags.add_argument(f"--{name}", metavar="TEXT", help=meaning)
    given = vars(flags.parse_args())
    said = {name: given[name.replace("-", "_")] for name in FIELDS}
    if not any(said.values()):
        flags.error("there is no report: every field is empty")
    become(["submit", *(f"--{name}={text}" for name, text in said.items() if text is not None)])


if __name__ == "__main__":
    main()
