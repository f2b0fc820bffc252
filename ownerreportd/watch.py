"""Owns the nudges: hints that `pending/` may have changed.

Rule: a hint is never needed. watchfiles loses events when the kernel's queue overflows, goes deaf
when the folder is replaced, and ends on a name that is not UTF-8; so every end of it is a hint
too, and the scan by time finds what it missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog
import watchfiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP_MS = 50  # watchfiles wakes this often; longer costs latency, shorter costs wake-ups
RESTART_S = 1.0
log = structlog.get_logger("ownerreportd.watch")


async def watch(folder: Path, nudge: Callable[[], None], stop: anyio.Event) -> None:
    """Nudge whenever the folder may have changed, until `stop` is set.

    Set `stop` before cancelling: the watching thread looks at nothing else.
    """
    while not stop.is_set():
        try:
            async for _ in watchfiles.awatch(
                folder, watch_filter=None, recursive=False, step=STEP_MS, debounce=4 * STEP_MS,
                stop_event=stop,
            ):  # fmt: skip
                nudge()
        except BaseException as error:
            cause = _cause(error)
            # A panic in the library's Rust is no Exception, and its class cannot be imported.
            if not isinstance(cause, Exception) and type(cause).__name__ != "PanicException":
                raise
            reason = f"{type(cause).__name__}: {cause}"  # whatever it is, the scan goes on
            log.warning("watch.ended", reason=reason, remedy="it is started again in a second")
        nudge()
        with anyio.move_on_after(RESTART_S):
            await stop.wait()


def _cause(error: BaseException) -> BaseException:
    """What really happened, below the groups that tasks wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
