"""Owns the questions about the shape of `Settings`: which keys there are, and of which type."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from ownerreportd.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from ownerreportd.config.toml_lines import Key


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the whole file, as editors take it."""
    found = Settings.model_json_schema()
    schema = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": schema, **found, "title": "ownerreportd"}


def type_at(key: Key, root: Any = Settings) -> Any:
    """The annotation of what stands under the key; `Any` for channels' keys, None for unknown."""
    found = root
    for name in key:
        found = _inner(found, name)
    return found


def _inner(annotation: Any, name: str | int) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is Any:
        return Any
    if is_model(annotation):
        field = _fields(annotation).get(name)
        open_ended = annotation.model_config.get("extra") == "allow"
        return field.annotation if field else (Any if open_ended else None)
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    in_list = get_origin(annotation) in (tuple, list) and isinstance(name, int)
    return get_args(annotation)[0] if in_list else None


def is_model(annotation: Any) -> bool:
    """Whether the annotation is a pydantic model, and so a table."""
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def field_at(key: Key, root: Any = Settings) -> FieldInfo | None:
    """The field that the key means; None where it is an item of a list, or unknown."""
    model = type_at(key[:-1], root)
    fields = _fields(model) if is_model(model) else {}
    return fields.get(key[-1]) if key else None


def names_at(key: Key, root: Any = Settings) -> list[str]:
    """The keys that the table under this key may have."""
    model = type_at(key, root)
    return list(_fields(model)) if is_model(model) else []


def _fields(model: type[BaseModel]) -> dict[Any, FieldInfo]:
    """The model's fields by the key that stands in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys_below(key: Key = (), root: Any = Settings) -> Iterator[Key]:
    """Every key of the tables below, without what is in a list, or named by the operator."""
    for name in names_at(key, root):
        inner = (*key, name)
        if is_model(type_at(inner, root)):
            yield from keys_below(inner, root)
        else:
            yield inner
