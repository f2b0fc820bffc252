"""Owns the names of the events that the ledger keeps: people's scripts match on them."""

from __future__ import annotations

REPORT_ADMITTED = "report.admitted"
REPORT_WARNING = "report.warning"
REPORT_DUPLICATE = "report.duplicate"
REPORT_ID_CONFLICT = "report.id_conflict"
REPORT_REJECTED = "report.rejected"
REPORT_WITHDRAWN = "report.withdrawn"
PART_SENDING = "part.sending"
PART_CONFIRMED = "part.confirmed"
PART_FAILED = "part.failed"
PART_RESOLVED = "part.resolved"
REPORT_SENT = "report.sent"
REPORT_HELD = "report.held"
LANE_WAITING = "lane.waiting"
LANE_BLOCKED = "lane.blocked"
LANE_RESUMED = "lane.resumed"
QUEUE_PAUSED = "queue.paused"
QUEUE_RESUMED = "queue.resumed"
GATE_DECIDED = "gate.decided"
RECEIPT_WRITTEN = "receipt.written"
CONFIG_RELOADED = "config.reloaded"
DAEMON_STARTED = "daemon.started"
DAEMON_STOPPING = "daemon.stopping"

KINDS = frozenset(
    value for name, value in tuple(globals().items()) if name.isupper() and isinstance(value, str)
)
