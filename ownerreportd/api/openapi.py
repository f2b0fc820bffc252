"""Owns the description of the whole socket by OpenAPI 3.1, made of the routes and the models."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from ownerreportd.api.answers import answer, resource
from ownerreportd.api.operations import JSON, described, is_contents
from ownerreportd.api.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route

    from ownerreportd.api.answers import Methods
    from ownerreportd.api.operations import Operation, Schema

PROBLEM: Final = "Problem"
VERSION: Final = "3.1.0"
_REFERENCES: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = (
    "HTTP on the Unix socket of ownerreportd. The kernel says who calls: the daemon's own user and "
    "root may all, members of `submit_group` may submit, read what they submitted, and ask the "
    "gate. Unknown fields are ignored by both sides. Every error is application/problem+json."
)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)(:\w+)?\}")
_WORDLESS: Final = re.compile(r"\W+")
_PATH_SCHEMAS: Final[dict[str, Schema]] = {
    "ref": {
        "type": "string", "minLength": 1, "pattern": "^[^/]+$",
        "description": "The id, 4 characters or more of it, the file's name, or `head`.",
    },
    "number": {"type": "integer", "minimum": 0, "maximum": 2**62},
    "adapter": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}  # fmt: skip


@described({200: {"type": "object"}})
async def get_openapi(request: Request) -> Response:
    """This description."""
    return answer(openapi(request.app.routes))


def routes() -> list[Route]:
    """The one path."""
    return [resource("/openapi.json", submitter_may=frozenset({"GET"}), GET=get_openapi)]


def openapi(routes: Sequence[BaseRoute]) -> Schema:
    """The description of these routes; without a version, which would change it at each release."""
    from ownerreportd.api import models

    found = list(_operations(routes))
    names = {
        shape
        for _, _, function in found
        for shape in _shapes(function.operation)  # type: ignore[attr-defined]  # see `described`
        if isinstance(shape, str)
    }
    _, defined = models_json_schema(
        [(getattr(models, name), "validation") for name in sorted({*names, PROBLEM})],
        ref_template=_REFERENCES,
    )
    paths: dict[str, dict[str, Any]] = {}
    for path, method, function in found:
        paths.setdefault(_PLACEHOLDER.sub(r"{\1}", path), {})[method.lower()] = _described(
            path, method, function
        )
    return {
        "openapi": VERSION,
        "info": {"title": "ownerreportd", "version": "v1", "description": _DESCRIPTION},
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": defined["$defs"]},
    }


def _operations(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    for route in routes:
        methods: Methods = getattr(route, "methods_by_name", {})
        for method, function in methods.items():
            if method != "HEAD" and hasattr(function, "operation"):
                yield route.path, method, function  # type: ignore[attr-defined]  # ours all have one


def _shapes(operation: Operation) -> Iterator[Any]:
    for contents in (operation.body, *map(_contents, operation.answers.values())):
        yield from contents.values()


def _contents(shape: Any) -> dict[str, Any]:
    if shape is None:
        return {}
    return dict(shape) if is_contents(shape) else {JSON: shape}


def _described(path: str, method: str, function: Callable[..., Any]) -> Schema:
    operation: Operation = function.operation  # type: ignore[attr-defined]  # see `described`
    summary = operation.summary or inspect.getdoc(function) or ""
    shown: Schema = {
        "operationId": _WORDLESS.sub("_", f"{method.lower()}{path}").strip("_"),
        "summary": summary.partition("\n")[0],
        "responses": {
            **{str(status): _answer(status, shape) for status, shape in operation.answers.items()},
            "default": {"description": "An error", "content": _content({MEDIA_TYPE: PROBLEM})},
        },
    }  # fmt: skip
    parameters = [
        *(_parameter("path", name, _PATH_SCHEMAS[name]) for name, _ in _PLACEHOLDER.findall(path)),
        *(_parameter("query", name, schema) for name, schema in operation.query.items()),
        *(_parameter("header", name, schema) for name, schema in operation.headers.items()),
    ]
    if parameters:
        shown["parameters"] = parameters
    if operation.body:
        shown["requestBody"] = {
            "content": _content(operation.body), "required": operation.body_needed,
        }  # fmt: skip
    return shown


def _answer(status: int, shape: Any) -> Schema:
    described_as = {200: "Done", 201: "Created", 503: "Somebody should look"}[status]
    return {"description": described_as, "content": _content(_contents(shape))}


def _content(contents: Any) -> Schema:
    return {media: {"schema": _schema(shape)} for media, shape in contents.items()}


def _schema(shape: Any) -> Schema:
    if isinstance(shape, str):
        return {"$ref": _REFERENCES.format(model=shape)}
    return dict(shape)


def _parameter(where: str, name: str, schema: Schema) -> Schema:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}
