"""The daemon itself: the queue at work, what a person may ask of it, what it says of itself."""

from __future__ import annotations

from ownerreportd.daemon.desk import Desk
from ownerreportd.daemon.engine import Engine, Settled

__all__ = ["Desk", "Engine", "Settled"]
