"""Owns the reading of what the gate's verbs are given: JSON from a file or stdin, or an error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.core.errors import ConfigError, InvalidGateInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.client import Json

FILE_BYTES_MAX: Final = 65_536


def json_in(file: str, bad: Callable[[str], Exception]) -> Any:
    """The JSON in a file, `-` for stdin; `bad` makes the error where it is none."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {file!r}", hint="ls -l, and - for stdin") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise bad(f"{file}: cannot be read: {reason}") from None
    if len(data) > FILE_BYTES_MAX:
        raise bad(f"{file}: it has over {FILE_BYTES_MAX:,} bytes")
    name = "stdin" if file == "-" else file
    if not data.strip():
        raise bad(f"{name}: it is empty")
    try:
        return json.loads(data)
    except RecursionError:
        raise bad(f"{name}: it is nested too deeply") from None
    except ValueError as error:
        raise bad(f"{name}: it is no valid JSON: {error}") from None


def an_object(value: Any) -> Json:
    """The value, if it is an object.

    Raises:
        InvalidGateInputError: if it is none.
    """
    if isinstance(value, dict):
        return value
    raise bad_input("the input must be a JSON object")


def bad_input(message: str) -> InvalidGateInputError:
    """The error for an input that is none."""
    return InvalidGateInputError(message, hint="ownerreportd gate --help, and docs/gate.md")


def bad_config(message: str) -> ConfigError:
    """The error for a configuration that is none."""
    return ConfigError(message, hint="JSON is taken here; docs/gate.md explains every key")


def wrong_input(errors: Any) -> InvalidGateInputError:
    """The error for an input with these mistakes."""
    from ownerreportd.gate import in_words

    return InvalidGateInputError(
        in_words(errors), hint="correct that, and ask again; docs/gate.md has every field",
        mistakes=tuple(errors),
    )  # fmt: skip
