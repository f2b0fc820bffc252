"""Owns the gate's configuration: its shape on the wire, every mistake in it, and its defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.gate.values import Json, NotJsonError, copied, kind_of
from ownerreportd.gate.words import normalize_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LABEL: Final = "APPROVED_PLAN_CONTINUITY_GATE"
_LABEL: Final = re.compile(r"[A-Z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """One adapter's switch, and the label of its block."""

    enabled: bool = True
    inject_block_label: str = LABEL


@dataclass(frozen=True, slots=True)
class GateConfig:
    """The gate's configuration, valid and normalized."""

    enabled: bool = True
    plan_matchers: tuple[str, ...] = ("approved-plan",)
    legal_terminal_states: tuple[str, ...] = ("waiting_user", "blocked", "pending_verification")
    receipt_dir: str = "state/approved-plan-continuity"
    require_real_dispatch_receipt: bool = True
    allow_reply_closure_without_dispatch: bool = False
    debug: bool = False
    force_recall: AdapterConfig = AdapterConfig()
    generic_preflight: AdapterConfig = AdapterConfig()

    def to_json(self) -> Json:
        """The same in the shape of the wire; a fresh copy."""
        return {
            "enabled": self.enabled,
            "planMatchers": list(self.plan_matchers),
            "legalTerminalStates": list(self.legal_terminal_states),
            "receiptDir": self.receipt_dir,
            "requireRealDispatchReceipt": self.require_real_dispatch_receipt,
            "allowReplyClosureWithoutDispatch": self.allow_reply_closure_without_dispatch,
            "debug": self.debug,
            "adapter": {
                name: {"enabled": each.enabled, "injectBlockLabel": each.inject_block_label}
                for name, each in (
                    ("forceRecall", self.force_recall),
                    ("genericPreflight", self.generic_preflight),
                )
            },
        }


@dataclass(frozen=True, slots=True)
class ConfigCheck:
    """What is wrong with a configuration: `{path, code, message}` each. `config` where nothing is.

    The codes are `wrong_type` and `wrong_value`.
    """

    config: GateConfig | None
    errors: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.config is not None

    def to_json(self) -> Json:
        """`{ok, errors, warnings, config}`, as `POST /v1/gate/config` answers."""
        config = None if self.config is None else self.config.to_json()
        errors = [dict(each) for each in self.errors]
        return {"ok": self.ok, "errors": errors, "warnings": list(self.warnings), "config": config}


def default_config() -> Json:
    """The defaults in the shape of the wire; a fresh copy each time."""
    return GateConfig().to_json()


def validate_config(config: object, base: GateConfig | None = None) -> ConfigCheck:
    """Check a configuration in the shape of the wire; keys that it lacks are taken from `base`.

    Never raises: every mistake is in the answer, with its path, as `adapter.forceRecall.enabled`.
    """
    base = base or GateConfig()
    reading = _Reading()
    if not isinstance(config, dict):
        reading.wrong("", "wrong_type", f"must be an object, and is {kind_of(config)}")
        return reading.check(base)
    values: dict[str, Any] = {}
    for key, name, read in _KEYS:
        if key in config:
            values[name] = read(reading, key, config[key])
    adapters = reading.table("adapter", config.get("adapter", {}), _ADAPTERS)
    for key, name in _ADAPTERS.items():
        if key in adapters:
            values[name] = _adapter(reading, f"adapter.{key}", adapters[key], getattr(base, name))
    reading.unknown("", config, {*(key for key, _, _ in _KEYS), "adapter"})
    return reading.check(base, values)


@dataclass(slots=True)
class _Reading:
    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def wrong(self, path: str, code: str, message: str) -> None:
        self.errors.append({"path": path, "code": code, "message": message})

    def unknown(self, at: str, table: Mapping[Any, Any], known: set[str]) -> None:
        for key in table:
            if key not in known:
                shown = ascii(key)[:80]
                self.warnings.append(f"{at or 'the configuration'} has an unknown key {shown}")

    def table(self, path: str, value: object, known: Mapping[str, str]) -> Json:
        if not isinstance(value, dict):
            self.wrong(path, "wrong_type", f"must be an object, and is {kind_of(value)}")
            return {}
        self.unknown(path, value, set(known))
        return value

    def flag(self, path: str, value: object) -> bool:
        if not isinstance(value, bool):
            self.wrong(path, "wrong_type", f"must be true or false, and is {kind_of(value)}")
        return value is True

    def text(self, path: str, value: object) -> str:
        if not isinstance(value, str):
            self.wrong(path, "wrong_type", f"must be a string, and is {kind_of(value)}")
            return ""
        try:
            copied(value)
        except NotJsonError as error:
            self.wrong(path, "wrong_value", str(error))
            return ""
        if not value.strip() or "\0" in value:
            self.wrong(path, "wrong_value", "must not be blank, and must not hold a NUL character")
        return value

    def label(self, path: str, value: object) -> str:
        before = len(self.errors)
        text = self.text(path, value)
        if len(self.errors) == before and not _LABEL.fullmatch(text):
            message = f"must have 1 to 64 characters of A-Z, 0-9, _, and is {text[:80]!a}"
            self.wrong(path, "wrong_value", message)
        return text

    def texts(self, path: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            self.wrong(path, "wrong_type", f"must be a list, and is {kind_of(value)}")
            return ()
        return tuple(self.text(f"{path}[{n}]", item) for n, item in enumerate(value))

    def matchers(self, path: str, value: object) -> tuple[str, ...]:
        found = self.texts(path, value)
        if isinstance(value, list | tuple) and not found:
            self.warnings.append(f"{path} is empty, so that no plan is the gate's business")
        return found

    def folder(self, path: str, value: object) -> str:
        before = len(self.errors)
        text = self.text(path, value)
        parts = text.split("/")
        if (
            len(self.errors) == before
            and not text.startswith("/")
            and (".." in parts or not set(parts) - {"", "."})
        ):
            message = f"must be absolute, or below the spool's root, and is {text[:80]!a}"
            self.wrong(path, "wrong_value", message)
        return text

    def states(self, path: str, value: object) -> tuple[str, ...]:
        return tuple(dict.fromkeys(normalize_word(word) for word in self.texts(path, value)))

    def check(self, base: GateConfig, values: Mapping[str, Any] | None = None) -> ConfigCheck:
        config = None if self.errors else replace(base, **(values or {}))
        return ConfigCheck(config, tuple(self.errors), tuple(self.warnings))


def _adapter(reading: _Reading, path: str, value: object, base: AdapterConfig) -> AdapterConfig:
    table = reading.table(path, value, {"enabled": "", "injectBlockLabel": ""})
    enabled, label = base.enabled, base.inject_block_label
    if "enabled" in table:
        enabled = reading.flag(f"{path}.enabled", table["enabled"])
    if "injectBlockLabel" in table:
        label = reading.label(f"{path}.injectBlockLabel", table["injectBlockLabel"])
    return AdapterConfig(enabled, label)


_ADAPTERS: Final = {"forceRecall": "force_recall", "genericPreflight": "generic_preflight"}
_KEYS: Final[tuple[tuple[str, str, Callable[[_Reading, str, object], Any]], ...]] = (
    ("enabled", "enabled", _Reading.flag),
    ("planMatchers", "plan_matchers", _Reading.matchers),
    ("legalTerminalStates", "legal_terminal_states", _Reading.states),
    ("receiptDir", "receipt_dir", _Reading.folder),
    ("requireRealDispatchReceipt", "require_real_dispatch_receipt", _Reading.flag),
    ("allowReplyClosureWithoutDispatch", "allow_reply_closure_without_dispatch", _Reading.flag),
    ("debug", "debug", _Reading.flag),
)
