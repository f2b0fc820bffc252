"""The composition root: builds the parts from the settings, runs them, takes them apart.

Each function here is one way to use the program; the parts never see the settings themselves.
"""

from __future__ import annotations

from ownerreportd.app.offline import act, drain, look, new_ledger, rehearse_send, restore, send
from ownerreportd.app.serve import run

__all__ = ["act", "drain", "look", "new_ledger", "rehearse_send", "restore", "run", "send"]
