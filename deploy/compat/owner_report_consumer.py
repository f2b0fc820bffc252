#!/usr/bin/env python3
"""Make one pass over the queue: this is `ownerreportd drain`, under an old name."""

from __future__ import annotations

from owner_report_program import drain

if __name__ == "__main__":
    drain("owner_report_consumer.py")
