"""The gate's stored receipts, one file each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ownerreportd.gate import GateInputError, validate_receipt
from ownerreportd.receipts.files import Filter
from ownerreportd.receipts.store import ReceiptStore, Written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Filter", "ReceiptStore", "Written", "write_receipt"]


def write_receipt(
    receipt: Mapping[str, Any], receipt_dir: Path, *, now: datetime | None = None
) -> Written:
    """Put a receipt into its file in that folder, durably: `(path, created)`.

    The same receipt again is the same file and no error. Raises:
        GateInputError: if it is not valid. StorageError: if the disk does not take it.
    """
    found = validate_receipt(receipt, now or datetime.now(UTC))
    if not found.valid:
        raise GateInputError(found.problems())
    return ReceiptStore(receipt_dir).write(found.receipt)
