"""The directories on disk: submit, scan, read, archive, set aside.

Rule: `sent/` and `held/` are reached only through `folders.move_report`; nothing is overwritten.
"""

from __future__ import annotations

from ownerreportd.spool.folders import Spool, SpoolReplacedError, open_spool
from ownerreportd.spool.submit import SubmittedFile, submit

__all__ = ["Spool", "SpoolReplacedError", "SubmittedFile", "open_spool", "submit"]
