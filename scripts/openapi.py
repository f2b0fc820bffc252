"""Prints the description of the socket; `python scripts/openapi.py > docs/openapi.json`."""

import json

from ownerreportd.api.openapi import openapi
from ownerreportd.api.server import build_app

print(json.dumps(openapi(build_app().routes), ensure_ascii=False, indent=2))
