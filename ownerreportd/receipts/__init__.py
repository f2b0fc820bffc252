"""The gate's stored receipts, one file each."""

from ownerreportd.receipts.files import Filter
from ownerreportd.receipts.store import ReceiptStore, Written

__all__ = ["Filter", "ReceiptStore", "Written"]
