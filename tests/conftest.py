"""Makes `tests/` importable, for the doubles (`from doubles.discord import DiscordDouble`)."""
