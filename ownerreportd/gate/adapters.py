"""Owns how each host says what it knows: three shapes of a request, one input.

`generic-preflight` has the input's fields under `source`, `manual` has them at the top level, and
`force-recall` finds them in the two objects that a hook in the agent's host has.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.gate.inputs import GateInput, GateInputError, read_input
from ownerreportd.gate.values import Json, Reader, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ownerreportd.gate.config import AdapterConfig, GateConfig


@dataclass(frozen=True, slots=True)
class Given:
    """What a request says. `rehearsed`: the receipt in it, if any, is that of a dry run."""

    input: GateInput
    warnings: tuple[str, ...] = ()
    rehearsed: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    """One shape of a request; `config_of` gives its switch and label."""

    name: str  # in the contract
    host_agnostic: bool
    read: Callable[[Mapping[str, Any]], Given]
    config_of: Callable[[GateConfig], AdapterConfig]


def read_generic(request: Mapping[str, Any]) -> Given:
    """The input under `source`.

    Raises:
        GateInputError: if it is missing, or has wrong types.
    """
    if request.get("source") is None and not _FIELDS.isdisjoint(request):
        message = "is missing; fields at the top level are those of the adapter `manual`"
        raise GateInputError([{"pointer": "/source", "message": message}])
    return _read("/source", request.get("source"))


def read_manual(request: Mapping[str, Any]) -> Given:
    """The input at the top level.

    Raises:
        GateInputError: if it has wrong types.
    """
    return _read("", request)


def _read(at: str, fields: object) -> Given:
    reader = Reader(at)
    if not isinstance(fields, dict):
        reader.wrong("", f"must be an object, and is {kind_of(fields)}")
        raise GateInputError(reader.mistakes)
    found = read_input(reader, fields)
    reader.warnings += _mistyped(fields)
    return _given(reader, found)


def _mistyped(fields: Mapping[str, Any]) -> list[str]:
    """Names that are ignored, as every unknown one, and look as if something was meant by them."""
    told = []
    for name in fields:
        if name in _FIELDS or name in _BESIDE:
            continue
        shown = f"{name!a:.80}"
        if name in _OTHER_SHAPES:
            told.append(f"{shown} is ignored: it is a field of the adapter {_OTHER_SHAPES[name]}")
        else:
            near = difflib.get_close_matches(str(name)[:80].casefold(), _FOLDED, 1, 0.85)
            told += [f"{shown} is ignored: is {_FOLDED[each]} meant?" for each in near]
    return told


def _given(reader: Reader, found: GateInput, *, rehearsed: bool = False) -> Given:
    if reader.mistakes:
        raise GateInputError(reader.mistakes)
    return Given(found, tuple(reader.warnings), rehearsed)


_FIELDS: Final = frozenset(GateInput().to_json())
_FOLDED: Final = {name.casefold(): name for name in sorted(_FIELDS)}
_BESIDE: Final = frozenset({"config", "lookup"})
_OTHER_SHAPES: Final = {
    "source": "generic-preflight", "wrapperResult": "force-recall",
    "autoChainPlanResult": "force-recall",
}  # fmt: skip

# --- force-recall --------------------------------------------------------------------------------

# Where each field is looked for: first in the wrapper's result, then in the planner's.
_PLACES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "planId": (("planId", "approvedPlanId", "plan.id"), ("planId", "approvedPlanId", "plan.id")),
    "currentTask": (("currentTask", "taskId", "task.id"), ("currentTask", "fromTask")),
    "taskState": (("taskState", "task.state", "state"), ("taskState",)),
    "replyClosureState": (
        ("replyClosureState", "closureState", "reply.closureState"), ("replyClosureState",),
    ),
    "dispatchReceipt": (
        ("dispatchReceipt", "receipt", "dispatch.receipt"),
        ("dispatchReceipt", "receipt", "dispatch.receipt"),
    ),
    "highRiskStop": (("highRiskStop", "stop.highRisk"), ("highRiskStop", "stop.highRisk")),
    "taskBoundaryStop": (
        ("taskBoundaryStop", "stop.taskBoundary"), ("taskBoundaryStop", "stop.taskBoundary"),
    ),
    "nextDerivedAction": (
        ("nextDerivedAction",), ("nextDerivedAction", "nextAction", "next.action"),
    ),
    "nextTaskId": (("nextTaskId",), ("nextTaskId", "nextTask.id", "next.taskId")),
    "nextTaskKnown": (("nextTaskKnown",), ("nextTaskKnown",)),
    "sameApprovedPlan": (("sameApprovedPlan",), ("sameApprovedPlan",)),
}  # fmt: skip
_READ: Final[Mapping[str, Callable[[Reader, Mapping[str, Any], str], Any]]] = {
    "dispatchReceipt": Reader.object,
    "nextDerivedAction": Reader.action,
    "highRiskStop": Reader.flag,
    "taskBoundaryStop": Reader.flag,
    "nextTaskKnown": Reader.flag,
    "sameApprovedPlan": Reader.flag,
}
_SIDES: Final = ("wrapperResult", "autoChainPlanResult")
_UPPER: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read_force_recall(request: Mapping[str, Any]) -> Given:
    """The input that a hook's two results make; snake_case names are taken too.

    Raises:
        GateInputError: if both are missing, or a canonical field has a wrong type.
    """
    reader = Reader()
    wrapper, plan = (_side(reader, request, name) for name in _SIDES)
    if wrapper is None and plan is None and not reader.mistakes:
        reader.wrong("", "must have wrapperResult or autoChainPlanResult")
    if reader.mistakes:
        raise GateInputError(reader.mistakes)
    sides = (wrapper or {}, plan or {})
    fields = {field: _first(reader, sides, field) for field in _PLACES}
    if fields["sameApprovedPlan"] is None:
        fields["sameApprovedPlan"] = _same_plan(sides)
    if isinstance(fields["dispatchReceipt"], dict):
        fields["dispatchReceipt"] = _camel(fields["dispatchReceipt"])
    rehearsed = _Side(reader, _SIDES[1], sides[1]).canonical("dryRun", Reader.flag)
    return _given(reader, read_input(reader, fields), rehearsed=rehearsed is True)


def _side(reader: Reader, request: Mapping[str, Any], name: str) -> Json | None:
    value = _get(request, name)
    if value is not None and not isinstance(value, dict):
        reader.wrong(name, f"must be an object, and is {kind_of(value)}")
        return None
    return value


def _first(reader: Reader, sides: tuple[Json, Json], field: str) -> Any:
    """The field's first value that is there and of its type."""
    read = _READ.get(field, Reader.text)
    found = []
    for name, values, (first, *others) in zip(_SIDES, sides, _PLACES[field], strict=True):
        side = _Side(reader, name, values)
        found.append(side.canonical(first, read))
        if all(value is None for value in found):
            found += [side.other(place, read) for place in others]
    return next((value for value in found if value is not None), None)


def _same_plan(sides: tuple[Json, Json]) -> bool:
    """Whether both sides name a plan, and it is the same."""
    silent = Reader()
    named = [
        _first(silent, (values, {}) if first else ({}, values), "planId")
        for first, values in ((True, sides[0]), (False, sides[1]))
    ]
    return named[0] is not None and named[0] == named[1]


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two results; reads a field by its canonical name, or by another."""

    reader: Reader
    name: str
    values: Json

    def canonical(self, name: str, read: Callable[[Reader, Mapping[str, Any], str], Any]) -> Any:
        """The field, whose wrong type is a mistake."""
        own = Reader(f"/{self.name}")
        found = read(own, {name: _get(self.values, name)}, name)
        self.reader.mistakes += own.mistakes
        return found

    def other(self, path: str, read: Callable[[Reader, Mapping[str, Any], str], Any]) -> Any:
        """The field at another place, as `task.id`; a wrong type there is worth a warning."""
        value: Any = self.values
        *above, _ = names = path.split(".")
        for name in names:
            if not isinstance(value, dict):
                self._warn(path, f"{'.'.join(above)} is {kind_of(value)}")
                return None
            value = _get(value, name)
            if value is None:
                return None
        own = Reader()
        found = read(own, {path: value}, path)
        for mistake in own.mistakes:
            self._warn(path, mistake["message"])
        return found

    def _warn(self, path: str, why: str) -> None:
        self.reader.warnings.append(f"{self.name}.{path} is not taken: {why}")


def _get(values: Mapping[str, Any], name: str) -> Any:
    """The value under the name, or under the same in snake_case."""
    value = values.get(name)
    return values.get(_snake(name)) if value is None else value


def _snake(name: str) -> str:
    return _UPPER.sub("_", name).lower()


def _camel(receipt: Json) -> Json:
    """A receipt with the names of the wire, where it has those of Python."""
    names = {"planId", "currentTask", "dispatchRunId", "childSessionKey", "nextDerivedAction",
             "dispatchedAt", "replyClosureState"}  # fmt: skip
    by_snake = {_snake(name): name for name in names}
    return {
        by_snake.get(key, key) if by_snake.get(key) not in receipt else key: value
        for key, value in receipt.items()
    }


ADAPTERS: Final[Mapping[str, Adapter]] = {
    "generic-preflight": Adapter(
        "generic-preflight", host_agnostic=True, read=read_generic,
        config_of=lambda config: config.generic_preflight,
    ),
    "manual": Adapter(
        "manual-preflight", host_agnostic=True, read=read_manual,
        config_of=lambda config: config.generic_preflight,
    ),
    "force-recall": Adapter(
        "force-recall", host_agnostic=False, read=read_force_recall,
        config_of=lambda config: config.force_recall,
    ),
}  # fmt: skip
