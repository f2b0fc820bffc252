"""The description of the socket: fresh, whole, and served."""

from __future__ import annotations

import json
from pathlib import Path

from ownerreportd.api.openapi import openapi
from ownerreportd.api.server import build_app

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
ROUTES = build_app().routes


def test_the_document_is_fresh():
    remedy = "python scripts/openapi.py > docs/openapi.json"
    assert json.loads(DOCUMENT.read_text(encoding="utf-8")) == openapi(ROUTES), remedy


def test_every_route_is_described_but_the_one_that_only_names_the_others():
    bare = {
        (route.path, name)
        for route in ROUTES
        for name, function in route.methods_by_name.items()
        if not hasattr(function, "operation")
    }
    assert bare == {("/v1/gate/{adapter}", "POST")}


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_name():
    document = openapi(ROUTES)
    text = json.dumps(document)
    for reference in set(text.split('"$ref": "')[1:]):
        name = reference.partition('"')[0].rpartition("/")[2]
        assert name in document["components"]["schemas"]
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names)) > 20
    assert all(each["summary"].endswith(".") for each in operations)


async def test_it_is_served(client):
    answer = await client.get("/openapi.json")
    assert answer.json() == openapi(ROUTES)
