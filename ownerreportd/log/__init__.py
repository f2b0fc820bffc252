"""Owns the set-up of logging: structlog and the standard library's loggers in one pipeline.

Rules: the last thing that happens to a record before it is written down is the removal of every
loaded secret; logging fails quietly and never stops the daemon.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

from ownerreportd.log.file import LogFile
from ownerreportd.log.lines import as_json, as_text, prepared
from ownerreportd.log.redact import MARK, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, Processor

__all__ = ["MARK", "Redactor", "set_up", "shut_down"]

# Their lines below warning hold whole URLs, some of which are secrets.
QUIET = (
    "asyncio",
    "h11",
    "httpcore",
    "httpx",
    "markdown_it",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "watchfiles",
)


def set_up(
    *,
    level: str,
    format: Literal["auto", "pretty", "json"],  # noqa: A002  the name of the key in [log]
    file: str,
    secrets: Iterable[str],
    stream: TextIO | None = None,
) -> Redactor:
    """Log to `stream` (standard error), and to `file` if it is not empty, from now on.

    A call replaces what the last one set up. The redactor is the one that the lines go through:
    secrets that are added to it later are removed too.
    """
    shut_down()
    stream = stream or sys.stderr
    redactor = Redactor(secrets)
    terminal = stream.isatty()
    pretty = format == "pretty" or (format == "auto" and terminal)
    colours = terminal and not os.environ.get("NO_COLOR")
    handlers: list[logging.Handler] = [_Stream(stream)]
    handlers[0].setFormatter(_formatter(redactor, pretty=pretty, colours=colours))
    if file:
        handlers.append(_file(file, handlers[0], _formatter(redactor, pretty=False, colours=False)))
    _attach(handlers, logging.getLevelNamesMapping()[level.upper()])
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a second set-up must reach loggers made before it
    )
    return redactor


def shut_down() -> None:
    """Take away what `set_up` attached, and write what still waits for the log file."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _Stream | LogFile)]:
        root.removeHandler(handler)
        handler.close()


def _attach(handlers: list[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    root.setLevel(level)
    for handler in handlers:
        root.addHandler(handler)
    for name in QUIET:
        noisy = logging.getLogger(name)
        noisy.setLevel(max(level, logging.WARNING))
        noisy.propagate = True  # uvicorn turns it off for loggers that it was not asked to use


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # plain tracebacks: locals would hold secrets
    ]


def _formatter(
    redactor: Redactor, *, pretty: bool, colours: bool
) -> structlog.stdlib.ProcessorFormatter:
    def written(_logger: Any, _method: str, event: EventDict) -> str:
        record = prepared(event, redactor)
        return as_text(record, colours=colours) if pretty else as_json(record)

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, written],
    )


class _Stream(logging.Handler):
    """Writes to a stream, and bears with one that is closed or full."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001  a line that cannot be written must stop nothing
            self.handleError(record)

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Say nothing: the library's version prints the arguments, secrets and all."""


def _file(path: str, beside: logging.Handler, formatter: logging.Formatter) -> LogFile:
    def say(level: int, text: str) -> None:
        fields = {"name": __name__, "levelno": level, "levelname": logging.getLevelName(level)}
        beside.handle(logging.makeLogRecord({**fields, "msg": text}))

    handler = LogFile(
        path,
        on_error=lambda error: say(
            logging.ERROR, f"the log file {path} cannot be written: {error.strerror}; going on"
        ),
        on_loss=lambda lines: say(logging.WARNING, f"the log file {path} lacks {lines} lines"),
    )
    handler.setFormatter(formatter)
    return handler
