"""Owns the routes below /v1/reports: hand over, look, wait, and a person's acts on one report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ownerreportd.api import inputs
from ownerreportd.api.access import caller_of, role_of
from ownerreportd.api.answers import answer, daemon_of, resource
from ownerreportd.api.operations import JSON, described, text, whole
from ownerreportd.api.problems import UnsupportedTypeError
from ownerreportd.api.waiting import first_of
from ownerreportd.core.compose import compose
from ownerreportd.core.errors import InvalidReportError, NotAllowedError
from ownerreportd.ledger.views import Wanted

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ownerreportd.api.daemon import Json

WAIT_DEFAULT_S: Final = 60.0
WAIT_MAX_S: Final = 3600.0
LIST_DEFAULT: Final = 100
LIST_MAX: Final = 1000
_SEQUENCE_MAX: Final = 2**63 - 1
_MARKDOWN: Final = {"description": "UTF-8, not blank, without a NUL byte."}
_WHERE: Final = ("destination", "channel", "target")


@described(
    {200: "Submitted", 201: "Submitted"},
    body={"text/markdown": _MARKDOWN}, body_needed=True,
)  # fmt: skip
async def put_report(request: Request) -> Response:
    """Take a report under the caller's id; the same bytes again are no second report."""
    reading = inputs.Reading()
    report_id = reading.report_id(request.path_params["ref"])
    reading.finish()
    _require_markdown(inputs.content_type(request))
    data = await inputs.body_bytes(request, _report_bytes_max(request))
    return await _take(request, data, report_id)


@described(
    {200: "Submitted", 201: "Submitted"},
    body={"text/markdown": _MARKDOWN, JSON: "ReportFields"}, body_needed=True,
)  # fmt: skip
async def post_report(request: Request) -> Response:
    """Take a report, as Markdown or as fields."""
    kind = inputs.content_type(request)
    if kind == inputs.JSON:
        room = _report_bytes_max(request) + inputs.JSON_ROOM_BYTES
        fields = inputs.parsed_object(await inputs.body_bytes(request, room))
        return await _take(request, _composed(request, fields), None)
    _require_markdown(kind)
    return await _take(request, await inputs.body_bytes(request, _report_bytes_max(request)), None)


@described(
    {200: "Reports"},
    query={
        "state": text(enum=list(inputs.STATES)), "limit": whole(1, LIST_MAX, LIST_DEFAULT),
        "after": whole(0, _SEQUENCE_MAX, 0), "team": text(),
        "since": text("Admitted since then; RFC 3339, with an offset.", format="date-time"),
    },
)  # fmt: skip
async def list_reports(request: Request) -> Response:
    """Reports, oldest first; `next_after` continues the list, null at its end."""
    reading = inputs.Reading()
    state = reading.choice("?state", request.query_params.get("state") or None, inputs.STATES)
    limit = reading.whole(request, "limit", default=LIST_DEFAULT, least=1, most=LIST_MAX)
    after = reading.whole(request, "after", default=0, least=0, most=_SEQUENCE_MAX)
    since = reading.time("?since", request.query_params.get("since"))
    reading.finish()
    at = None if since is None else since.timestamp()
    wanted = Wanted(state, request.query_params.get("team"), at)
    reports = await daemon_of(request).reports(wanted, limit=limit, after=after)
    following = reports[-1].get("seq") if len(reports) == limit else None
    return answer({"reports": reports, "next_after": following})


@described({200: "Report"})
async def get_report(request: Request) -> Response:
    """One report, whole."""
    return answer(await _readable(request))


@described(
    {200: "Report"},
    query={
        "timeout_s": {
            "type": "number", "minimum": 0, "maximum": WAIT_MAX_S, "default": WAIT_DEFAULT_S,
        },
    },
)  # fmt: skip
async def wait_report(request: Request) -> Response:
    """The report when its state is final, at the timeout, or when the daemon stops."""
    reading = inputs.Reading()
    timeout_s = reading.number(
        request, "timeout_s", default=WAIT_DEFAULT_S, least=0, most=WAIT_MAX_S
    )
    reading.finish()
    report = await _readable(request)
    ref = report.get("id") or request.path_params["ref"]
    settled = await first_of(request, lambda: daemon_of(request).wait(ref, timeout_s=timeout_s))
    return answer(settled if settled is not None else await daemon_of(request).report(ref))


@described(
    {200: "Sent"},
    query={name: text("With a Markdown body.", minLength=1) for name in _WHERE},
    body={JSON: "Where", "text/markdown": _MARKDOWN},
)  # fmt: skip
async def send_report(request: Request) -> Response:
    """The single-shot path: one report now, to an explicit destination.

    With a Markdown body it is a new report of that id; the queue does not come to it before.
    """
    new = inputs.content_type(request) in inputs.MARKDOWN
    data = await inputs.body_bytes(request, _report_bytes_max(request)) if new else b""
    body = dict(request.query_params) if new else await inputs.json_object(request)
    reading = inputs.Reading()
    if new:
        reading.report_id(request.path_params["ref"])
    destination = reading.name_of(body, "destination")
    channel = reading.name_of(body, "channel")
    target = reading.name_of(body, "target")
    if destination is not None and (channel is not None or target is not None):
        reading.wrong("/destination", "cannot be given together with channel and target")
    if (channel is None) != (target is None):
        reading.wrong("/target" if target is None else "/channel", "is needed too")
    reading.finish()
    result = await daemon_of(request).send(
        request.path_params["ref"],
        destination=destination,
        channel=channel,
        target=target,
        caller=caller_of(request),
        data=data if new else None,
    )
    return answer(result)


@described({200: "Report"}, body="To")
async def retry_report(request: Request) -> Response:
    """Try a report again."""
    destination = await inputs.destination(request)
    ref, who = request.path_params["ref"], str(caller_of(request))
    return answer(await daemon_of(request).retry(ref, destination=destination, who=who))


@described({200: "Report"}, body="Skip", body_needed=True)
async def skip_report(request: Request) -> Response:
    """Set a report aside; the reason is kept."""
    body = await inputs.json_object(request)
    reading = inputs.Reading()
    reason = reading.name_of(body, "reason")
    destination = reading.name_of(body, "destination")
    if body.get("reason") is None:
        reading.wrong("/reason", "is needed")
    reading.finish()
    ref, who = request.path_params["ref"], str(caller_of(request))
    daemon = daemon_of(request)
    return answer(await daemon.skip(ref, reason=reason or "", destination=destination, who=who))


@described({200: "Report"}, body="Resolve", body_needed=True)
async def resolve_report(request: Request) -> Response:
    """Settle a doubt by a person's word."""
    body = await inputs.json_object(request)
    reading = inputs.Reading()
    how = reading.choice("/as", reading.text(body, "as"), ("sent", "resend"))
    destination = reading.name_of(body, "destination")
    if body.get("as") is None:
        reading.wrong("/as", "is needed: sent or resend")
    reading.finish()
    ref, who = request.path_params["ref"], str(caller_of(request))
    daemon = daemon_of(request)
    return answer(await daemon.resolve(ref, how=how or "", destination=destination, who=who))


def routes() -> list[Route]:
    """Every path below /v1/reports."""
    one = "/v1/reports/{ref}"
    return [
        resource(
            "/v1/reports",
            submitter_may=frozenset({"POST"}),
            GET=list_reports,
            POST=post_report,
        ),
        resource(one, submitter_may=frozenset({"GET", "PUT"}), GET=get_report, PUT=put_report),
        resource(f"{one}/wait", submitter_may=frozenset({"GET"}), GET=wait_report),
        resource(f"{one}/send", POST=send_report),
        resource(f"{one}/retry", POST=retry_report),
        resource(f"{one}/skip", POST=skip_report),
        resource(f"{one}/resolve", POST=resolve_report),
    ]


async def _take(request: Request, data: bytes, report_id: str | None) -> Response:
    caller = caller_of(request)
    taken = await daemon_of(request).submit(data, report_id=report_id, caller=caller)
    location = f"/v1/reports/{quote(taken.get('id') or taken['name'], safe='')}"
    return answer(taken, 201 if taken.get("created", True) else 200, {"Location": location})


async def _readable(request: Request) -> Json:
    """The report of the path, if its reader may see it: submitters see what they submitted."""
    report = await daemon_of(request).report(request.path_params["ref"])
    own = report.get("submitted_by_uid") == caller_of(request).uid
    if role_of(request) == "submitter" and not own:
        raise NotAllowedError(
            f"{caller_of(request)} did not submit this report",
            hint="members of submit_group read only their own reports; ask the daemon's user",
        )
    return report


def _composed(request: Request, body: dict[str, Any]) -> bytes:
    reading = inputs.Reading()
    fields = {name: reading.text(body, name) or "" for name in inputs.REPORT_FIELDS}
    to = reading.names(body, "to")
    reading.finish()
    created = fields.pop("created") or datetime.now(UTC).isoformat(timespec="seconds")
    text = compose(fields, language=request.app.state.language, to=to, created=created)
    if not text:
        raise InvalidReportError(
            "none of the report's fields is there",
            hint=f"send at least one of {', '.join(fields)}",
        )
    return text.encode()


def _report_bytes_max(request: Request) -> int:
    most: int = request.app.state.report_bytes_max
    return most


def _require_markdown(kind: str) -> None:
    if kind and kind not in inputs.MARKDOWN:
        raise UnsupportedTypeError(
            f"the content type {kind!r} is not taken here",
            hint="send Content-Type: text/markdown (curl: -H 'Content-Type: text/markdown')",
        )
