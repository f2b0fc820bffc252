"""Owns what the operator configured: one frozen `Settings`, read once, every mistake told at once.

Two steps: `load_settings` reads and checks everything but the channels' own keys, and imports no
channel; `ready_destinations` reads the secrets and has each channel check its own.
"""

from ownerreportd.config.destinations import (
    ReadyDestination,
    ready_destination,
    ready_destinations,
)
from ownerreportd.config.gate import Gate
from ownerreportd.config.load import Loaded, load_settings
from ownerreportd.config.schema import json_schema
from ownerreportd.config.secrets import look_up, secret_folders
from ownerreportd.config.settings import (
    OVERRIDE,
    Backoff,
    Delivery,
    Destination,
    Match,
    Route,
    Settings,
)

__all__ = [
    "OVERRIDE",
    "Backoff",
    "Delivery",
    "Destination",
    "Gate",
    "Loaded",
    "Match",
    "ReadyDestination",
    "Route",
    "Settings",
    "json_schema",
    "load_settings",
    "look_up",
    "ready_destination",
    "ready_destinations",
    "secret_folders",
]
