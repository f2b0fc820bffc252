"""Sends what waits, oldest first, and stops at the first failure."""

import os
from pathlib import Path

from owner_report_driver import send

root = Path.home() / ".clawteam/owner-reports"
waiting = sorted((root / "pending").glob("*.md"), key=lambda p: (p.stat().st_mtime_ns, p.name))
for path in waiting[: int(os.environ["OWNER_REPORT_MAX_COUNT"])]:
    print(path.name, send(path), flush=True)
    if hold := os.environ.get("OLD_HOLD"):  # a run that is slow between the two
        Path(hold).read_bytes()
    path.rename(root / "sent" / path.name)
