"""Owns what an answer means: the JSON that was asked for, or the error that the daemon raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from ownerreportd.core import errors

if TYPE_CHECKING:
    from ownerreportd.client.exchange import Answer

Json: TypeAlias = dict[str, Any]

_TYPE_PREFIX: Final = "urn:ownerreportd:error:"
_ERRORS: Final = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.OperatorError)
}
_BY_STATUS: Final[dict[int, type[errors.OperatorError]]] = {
    400: errors.UsageError,
    403: errors.NotAllowedError,
    404: errors.NotFoundError,
    405: errors.UsageError,
    409: errors.DoesNotApplyError,
    413: errors.InvalidReportError,
    415: errors.UsageError,
    421: errors.UsageError,
    422: errors.UsageError,
    503: errors.UnreachableError,
}


class LostAnswerError(errors.UnreachableError):
    """Raised when the request may have reached the daemon and no whole answer came back."""

    code = "lost_answer"


def raise_problem(answer: Answer) -> NoReturn:
    """Raise the error that the answer tells of.

    Raises:
        OperatorError: always; of the class that the daemon raised where that is known.
    """
    content = answer.json if isinstance(answer.json, dict) else {}
    kind = _ERRORS.get(str(content.get("type", "")).removeprefix(_TYPE_PREFIX))
    kind = kind or _BY_STATUS.get(answer.status, errors.OperatorError)
    detail = content.get("detail") or f"the daemon answered with status {answer.status}"
    error = kind(str(detail), hint=str(content.get("hint") or "ownerreportd status"))
    error.code = str(content.get("code") or error.code)
    if isinstance(error, errors.ConfigError):
        error.mistakes = tuple(str(each["message"]) for each in content.get("errors", ()))
    if isinstance(error, errors.InvalidGateInputError):
        error.mistakes = tuple(content.get("errors", ()))
    raise error


def checked(answer: Answer, *, also: int = 0) -> Json:
    """The JSON object that was asked for; `also` is a status that is no error.

    Raises:
        OperatorError: what the daemon tells of, or if there is no object.
    """
    if not 200 <= answer.status < 300 and answer.status != also:
        raise_problem(answer)
    if isinstance(answer.json, dict):
        return answer.json
    raise errors.OperatorError(
        f"the daemon's answer with status {answer.status} is no JSON object",
        hint="see whether another program has the daemon's socket: ownerreportd status",
    )
