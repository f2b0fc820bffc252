"""Owns what is said of a route for its description: its query, its bodies, its answers.

Rule: it stands at the function that reads and answers, and changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

JSON: Final = "application/json"
Schema: TypeAlias = dict[str, Any]
Shape: TypeAlias = str | Schema  # a class of `models` by its name, since those take long to make
Contents: TypeAlias = Mapping[str, Shape]  # by media type
Function = TypeVar("Function", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. An answer that is a shape alone is JSON."""

    answers: Mapping[int, Shape | Contents | None]
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    body: Contents = field(default_factory=dict)
    body_needed: bool = False
    summary: str = ""


def described(
    answers: Mapping[int, Any],
    *,
    query: Mapping[str, Schema] | None = None,
    headers: Mapping[str, Schema] | None = None,
    body: Shape | Contents | None = None,
    body_needed: bool = False,
    summary: str = "",
) -> Callable[[Function], Function]:
    """Describe the function below; without `summary` its docstring's first sentence is told."""
    contents: Contents = {}
    if body is not None:
        contents = cast("Contents", body if is_contents(body) else {JSON: body})
    operation = Operation(answers, query or {}, headers or {}, contents, body_needed, summary)

    def note(function: Function) -> Function:
        function.operation = operation  # type: ignore[attr-defined]  # functions take attributes
        return function

    return note


def is_contents(shape: object) -> bool:
    """Whether it has shapes by media type, rather than being one."""
    return isinstance(shape, Mapping) and all("/" in key for key in shape)


def text(description: str = "", **more: Any) -> Schema:
    """A string."""
    return {"type": "string", **({"description": description} if description else {}), **more}


def whole(least: int, most: int, default: int | None = None) -> Schema:
    """A whole number within bounds."""
    shown = {"type": "integer", "minimum": least, "maximum": most}
    return shown if default is None else {**shown, "default": default}
