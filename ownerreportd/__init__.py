"""Delivers the reports of long-running agents to their owner: in order, once, provably."""

__version__ = "0.1.0"
