"""How near a queue comes to what the service's limit allows, without ever overrunning it.

A real daemon delivers 100 reports to a double of Discord with its bucket of five messages in five
seconds, then to one of Telegram that takes one message a second. Printed is the time it took over
the time that the limit allows, and how often the service had to refuse; it fails where that is
more than 5 % over, or the service had to refuse at all. It takes four minutes; REPORTS=20 makes it
shorter. `tests/daemon/test_daemon_pacing.py` has the same bound for the pauses alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from doubles.discord import DiscordDouble  # noqa: E402 - the path comes first
from doubles.telegram import TelegramDouble, throttled  # noqa: E402 - likewise

if TYPE_CHECKING:
    from doubles.wire import Fault, Seen

REPORTS = int(os.environ.get("REPORTS", "100"))
BUCKET, PERIOD_S = 5, 5.0
SPACE_S = 1.0
RATIO_MAX = 1.05
CONFIG = """\
[spool]
root = "{root}"
settle_s = 0
[socket]
path = "{root}/api.sock"
[log]
level = "error"
[destinations.owner]
"""


class SlowTelegram(TelegramDouble):
    """Takes one message a second, and counts those that came sooner."""

    def __init__(self) -> None:
        super().__init__()
        self.throttled = 0
        self._last = 0.0
        self.fault_if = self._too_soon

    def _too_soon(self, seen: Seen) -> Fault | None:
        if not seen.path.endswith("/sendMessage"):
            return None
        now = time.monotonic()
        if now - self._last < SPACE_S:
            self.throttled += 1
            return throttled(1)
        self._last = now
        return None


async def delivered_s(double: Any, **options: Any) -> float:
    """From the daemon's first message to the last report in `sent/`."""
    with tempfile.TemporaryDirectory(prefix="pacing-") as folder:
        home = Path(folder)
        pending, sent = home / "pending", home / "sent"
        pending.mkdir(mode=0o700)
        for number in range(REPORTS):
            (pending / f"{number:03}.md").write_text(f"report {number}\n")
        config = home / "config.toml"
        table = {"channel": double.channel, **double.destination, **options, **double.secrets}
        lines = [f"{key} = {value!r}\n".replace("'", '"') for key, value in table.items()]
        config.write_text(CONFIG.format(root=home) + "".join(lines))
        config.chmod(0o600)
        command = (sys.executable, "-m", "ownerreportd", "--config", str(config), "run")
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            while not double.texts:
                await asyncio.sleep(0.001)
            began = time.monotonic()
            while len(list(sent.glob("*.md"))) < REPORTS:
                await asyncio.sleep(0.005)
            return time.monotonic() - began
        finally:
            process.terminate()
            await process.wait()


def is_near(name: str, took_s: float, allowed_s: float, refused: int) -> bool:
    """Tell how near it came, and whether that is near enough."""
    ratio = took_s / allowed_s
    print(
        f"{name:22} {took_s:7.2f} s of {allowed_s:7.2f} s allowed: {ratio:.3f}, {refused} refused"
    )
    return ratio <= RATIO_MAX and not refused


async def main() -> int:
    async with DiscordDouble(bucket=(BUCKET, PERIOD_S)) as discord:
        took_s = await delivered_s(discord, timeout_s=10)
        allowed_s = (REPORTS - 1) // BUCKET * PERIOD_S
        near = is_near("discord, 5 in 5 s", took_s, allowed_s, discord.throttled)
    async with SlowTelegram() as telegram:
        took_s = await delivered_s(telegram, timeout_s=10, pause_s=SPACE_S)
        allowed_s = (REPORTS - 1) * SPACE_S
        near &= is_near("telegram, one a second", took_s, allowed_s, telegram.throttled)
    return 0 if near else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
