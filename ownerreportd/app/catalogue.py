"""Owns the list of installed channels: what each can prove, needs and offers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import PydanticUndefined

from ownerreportd import channels
from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from ownerreportd.channels import ChannelType

Json: TypeAlias = dict[str, Any]
SCHEMA: Final = "ownerreportd.channels/1"
_NO_TARGET: Final = "\0"  # no channel takes it, so that each says what it takes


def catalogue(name: str | None = None) -> list[Json]:
    """Every installed channel, or the one of that name; one that cannot be loaded says why.

    Raises:
        ConfigError: if there is none of that name; the hint has the nearest.
    """
    if name is not None and name not in channels.installed():
        channels.load(name)
    return [_entry(each) for each in channels.installed() if name in (None, each)]


def _entry(name: str) -> Json:
    shown: Json = {"name": name, "source": channels.installed()[name].value}
    try:
        kind = channels.load(name)
    except ConfigError as error:
        return {**shown, "problem": str(error), "hint": error.hint}
    can = kind.capabilities
    optional: tuple[str, ...] = getattr(kind, "optional_secret_names", ())
    return {
        **shown,
        "proof": can.proof, "text_max": can.text_max, "text_unit": can.text_unit,
        "dedup_window_s": None if math.isinf(can.dedup_window_s) else can.dedup_window_s,
        "dedup_for_ever": math.isinf(can.dedup_window_s), "read_back": can.read_back,
        "in_doubt": kind.default_in_doubt, "target": _target(kind),
        "secrets": [
            {"name": secret, "needed": secret in kind.secret_names}
            for secret in (*kind.secret_names, *optional)
        ],
        "options": _options(kind),
    }  # fmt: skip


def _target(kind: ChannelType) -> str:
    """The forms of a target in the channel's own words; empty where it needs none."""
    try:
        kind.check_target(_NO_TARGET)
    except ConfigError as error:
        return error.hint
    return ""


def _options(kind: ChannelType) -> list[Json]:
    return [
        {
            "name": field.alias or name, "needed": field.is_required(),
            "default": None if field.default is PydanticUndefined else _plain(field.default),
            "description": field.description or "",
        }
        for name, field in kind.Options.model_fields.items()
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
