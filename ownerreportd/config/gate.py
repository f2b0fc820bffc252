"""Owns the keys of the continuity gate; their names on the wire are the same in camelCase."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from ownerreportd.config.section import DAYS_MAX, Section, Text, Texts
from ownerreportd.core.errors import ConfigError
from ownerreportd.gate import GateConfig, camelized, validate_config
from ownerreportd.locate import HINT

Label = Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,64}$", description="1 to 64 of A-Z, 0-9, _")]


class ForceRecall(Section):
    """One of the gate's adapters."""

    enabled: bool = True
    inject_block_label: Label = "APPROVED_PLAN_CONTINUITY_GATE"


class GenericPreflight(ForceRecall):
    """The other one, with the same keys."""


class Adapter(Section):
    """The gate's adapters."""

    force_recall: ForceRecall = ForceRecall()
    generic_preflight: GenericPreflight = GenericPreflight()


class Gate(Section):
    """The continuity gate."""

    enabled: bool = True
    plan_matchers: Texts = ("approved-plan",)
    legal_terminal_states: Texts = ("waiting_user", "blocked", "pending_verification")
    receipt_dir: Text = "state/approved-plan-continuity"
    require_real_dispatch_receipt: bool = True
    allow_reply_closure_without_dispatch: bool = False
    debug: bool = False
    retention_days: float = Field(
        default=90.0, ge=0, le=DAYS_MAX, description="days; 0 keeps receipts for ever"
    )
    adapter: Adapter = Adapter()

    def checked(self) -> GateConfig:
        """The same as the gate itself takes it.

        Raises:
            ConfigError: with every mistake.
        """
        found = validate_config(camelized(self.model_dump(exclude={"retention_days"})))
        if found.config is not None:
            return found.config
        mistakes = tuple(
            f"[gate] {_snake(each['path'])}: {each['message']}" for each in found.errors
        )
        raise ConfigError("; ".join(mistakes), hint=HINT, mistakes=mistakes)


def _snake(path: str) -> str:
    """The path with the names of the TOML file."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).lower()
