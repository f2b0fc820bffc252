"""Owns the errors that an operator can meet: each with a stable code, a hint and an exit status.

Rule: `str(error)` says what happened, with the value; `hint` is the next thing to type or do.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Raised when something that the operator can mend went wrong."""

    code = "error"
    exit_status = 70
    http_status = 500

    def __init__(self, message: str, *, hint: str, code: str | None = None) -> None:
        """Keep the message as `str(self)`; `code` replaces the class's own where it is finer."""
        super().__init__(message)
        self.hint = hint
        if code is not None:
            self.code = code


class UsageError(OperatorError):
    """Raised when the command or request cannot be meant."""

    code = "usage"
    exit_status = 64
    http_status = 400


class CreateError(OperatorError):
    """Raised when a file of ours cannot be made, or is there already."""

    code = "create"
    exit_status = 73
    http_status = 409


class InvalidReportError(OperatorError):
    """Raised when the input is no report, or not valid."""

    code = "invalid_report"
    exit_status = 65
    http_status = 422


class InvalidGateInputError(OperatorError):
    """Raised when a request to the gate, or a receipt, is wrong; `mistakes` lists every one.

    Each is `{pointer, message}`.
    """

    code = "invalid_gate_input"
    exit_status = 65
    http_status = 422

    def __init__(
        self, message: str, *, hint: str, mistakes: tuple[dict[str, str], ...] = ()
    ) -> None:
        """Keep the single mistakes for a caller that shows them one a line."""
        super().__init__(message, hint=hint)
        self.mistakes = mistakes


class IdConflictError(OperatorError):
    """Raised when the id was used before for other bytes."""

    code = "id_conflict"
    exit_status = 65
    http_status = 409


class NotFoundError(OperatorError):
    """Raised when there is no such report or file."""

    code = "not_found"
    exit_status = 66
    http_status = 404


class DoesNotApplyError(OperatorError):
    """Raised when the report or queue is not in a state that the verb fits."""

    code = "does_not_apply"
    exit_status = 64
    http_status = 409


class UnreachableError(OperatorError):
    """Raised when no daemon, or no channel, can be reached."""

    code = "unreachable"
    exit_status = 69
    http_status = 503


class SpoolHeldError(OperatorError):
    """Raised when another daemon holds the spool, or something cannot be created."""

    code = "spool_held"
    exit_status = 73
    http_status = 503


class StorageError(OperatorError):
    """Raised when the disk or the ledger failed."""

    code = "storage"
    exit_status = 74
    http_status = 507


class NotDeliveredError(OperatorError):
    """Raised when a report is not delivered yet and will be tried again."""

    code = "not_delivered"
    exit_status = 75
    http_status = 503


class NeedsPersonError(OperatorError):
    """Raised when a report was refused or is in doubt: a person must decide."""

    code = "needs_person"
    exit_status = 76
    http_status = 409


class NotAllowedError(OperatorError):
    """Raised when the caller may not do that."""

    code = "not_allowed"
    exit_status = 77
    http_status = 403


class ConfigError(OperatorError):
    """Raised when the configuration has mistakes; `mistakes` lists each with its place."""

    code = "config"
    exit_status = 78
    http_status = 422

    def __init__(self, message: str, *, hint: str, mistakes: tuple[str, ...] = ()) -> None:
        """Keep the single mistakes for a caller that shows them one a line."""
        super().__init__(message, hint=hint)
        self.mistakes = mistakes
