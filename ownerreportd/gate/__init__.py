"""The continuity gate for those who embed it: JSON in, contract out; no disk, no network.

May this agent end its turn, or must it first dispatch the next step of the approved plan?

    from ownerreportd import gate

    contract = gate.evaluate("manual", {"planId": "approved-plan-1", "taskState": "done", ...})
    if contract["block"]:
        prompt = contract["block"] + prompt

Names are camelCase in JSON (requests, receipts, configurations, contracts) and snake_case in
Python values. Times are aware `datetime`s, or RFC 3339 text with an offset.
"""

from ownerreportd.core.gate_rules import REASONS, ROWS, Decision, Facts, Row, decide
from ownerreportd.core.report import slug
from ownerreportd.gate.adapters import ADAPTERS
from ownerreportd.gate.block import BLOCK_CHARS_MAX, build_block
from ownerreportd.gate.config import (
    AdapterConfig,
    ConfigCheck,
    GateConfig,
    default_config,
    validate_config,
)
from ownerreportd.gate.contract import Asked, LookUp, answer, evaluate, read_request
from ownerreportd.gate.inputs import GateInput, GateInputError, normalize_input
from ownerreportd.gate.receipt import (
    ReceiptCheck,
    canonical,
    is_valid_receipt,
    parse_time,
    receipt_name,
    validate_receipt,
)
from ownerreportd.gate.values import camelized, in_words
from ownerreportd.gate.words import normalize_word, plan_matches

__all__ = [
    "ADAPTERS",
    "BLOCK_CHARS_MAX",
    "REASONS",
    "ROWS",
    "AdapterConfig",
    "Asked",
    "ConfigCheck",
    "Decision",
    "Facts",
    "GateConfig",
    "GateInput",
    "GateInputError",
    "LookUp",
    "ReceiptCheck",
    "Row",
    "answer",
    "build_block",
    "camelized",
    "canonical",
    "decide",
    "default_config",
    "evaluate",
    "in_words",
    "is_valid_receipt",
    "normalize_input",
    "normalize_word",
    "parse_time",
    "plan_matches",
    "read_request",
    "receipt_name",
    "slug",
    "validate_config",
    "validate_receipt",
]
