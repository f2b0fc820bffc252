"""Owns the program's frame: global options, and the one place where an error becomes text.

Rule: two lines on stderr, `error:` and `hint:`, and the exit status of the error; never a
traceback, but with OWNERREPORTD_DEBUG.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

import click

from ownerreportd import __version__
from ownerreportd.cli.output import complain, prepare_streams
from ownerreportd.cli.place import Place
from ownerreportd.cli.verbs import LazyGroup, UnknownVerbError, help_alone
from ownerreportd.core.errors import ConfigError, OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "ownerreportd"
USAGE: Final = 64
BUG: Final = 70
STORAGE: Final = 74
INTERRUPTED: Final = 130  # 128 + SIGINT
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE, as cat and ls end
_COMPLETE: Final = "_OWNERREPORTD_COMPLETE"  # set by the shell's completion
_EPILOG: Final = (
    "`ownerreportd VERB --help` explains a verb, `ownerreportd help exit-codes` what it exits with."
)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.option("--config", metavar="FILE", help="The configuration file.")
@click.option("--spool", metavar="DIR", help="The spool's root, instead of the configured one.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str | None, spool: str | None) -> None:
    """Deliver the reports of long-running agents to their owner: in order, once, provably."""
    ctx.obj = Place(config=config, spool=spool)
    help_alone(ctx)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; answers the exit status."""
    prepare_streams()
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        status = _hushed()
    except OSError as error:
        status = _failed(error)
    _let_go(sys.stderr)
    return status


def _run(arguments: Sequence[str]) -> int:
    try:
        if _COMPLETE in os.environ:
            cli.main(list(arguments), prog_name=PROGRAM)
        with cli.make_context(PROGRAM, list(arguments)) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        return _misused(error)
    except OperatorError as error:
        return _told(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except OSError:
        raise  # the caller tells a closed pipe from a failure
    except Exception as error:  # noqa: BLE001 - the last place, which shows every error as two lines
        return _failed(error)


def _misused(error: click.ClickException) -> int:
    nearest = _nearest(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    hint = f"did you mean {nearest}?" if nearest else f"{command} --help"
    text = error.message if nearest else error.format_message()
    complain(_sentence(text), hint)
    return USAGE


def _nearest(error: click.ClickException) -> str | None:
    """The verb or flag that was probably meant."""
    from difflib import get_close_matches

    if isinstance(error, UnknownVerbError):
        return next(iter(get_close_matches(error.name, error.names)), None)
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        flags = {flag.strip("-"): flag for flag in error.possibilities}  # `--` alone is no likeness
        return next(map(flags.get, get_close_matches(error.option_name.strip("-"), flags)), None)
    return None


def _sentence(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")


def _told(error: OperatorError) -> int:
    _trace()
    mistakes = error.mistakes if isinstance(error, ConfigError) else ()
    if len(mistakes) == 1:
        mistakes = ()  # the message says it
    complain(str(error), error.hint, mistakes)
    return error.exit_status


def _failed(error: Exception) -> int:
    _trace()
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        where = f": {error.filename}" if error.filename else ""
        complain(f"{error.strerror or error}{where}", "look at that file, disk or descriptor")
        return _close_output(STORAGE)
    complain(
        f"{type(error).__name__}: {error}",
        "this is a bug: report it with the output of OWNERREPORTD_DEBUG=1 and the same command",
    )
    return BUG


def _trace() -> None:
    if os.environ.get("OWNERREPORTD_DEBUG"):
        import traceback

        traceback.print_exc()


def _hushed() -> int:
    return _close_output(PIPE_CLOSED)


def _close_output(status: int) -> int:
    # Python flushes once more at its end, and would complain about what cannot be written.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _let_go(stream: TextIO) -> None:
    """Keep what nobody can read any more from making Python's last flush exit with 120."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
