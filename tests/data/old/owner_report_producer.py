"""Writes a report into pending/, named by its time."""

import argparse
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("team", "worker", "task-id", "progress", "done", "next", "status", "source"):
    parser.add_argument(f"--{name}", default="")
given = parser.parse_args()
pending = Path.home() / ".clawteam/owner-reports/pending"
pending.mkdir(parents=True, exist_ok=True)
path = pending / f"{time.time_ns()}-{given.worker}-{given.task_id}.md"
path.write_text(f"# {given.task_id}\n\n{given.done}\n\n{given.next}\n")
print(path)
