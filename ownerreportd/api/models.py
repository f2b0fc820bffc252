"""Owns the shapes of what the socket takes and answers, for those who read or generate code.

Rule: the routes read and write by hand; tests hold what they answer against these models, field
by field. Times are RFC 3339 in UTC. Fields may be added; readers ignore those that they do not
know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Text = Annotated[str, Field(pattern=r"\S")]
Short = Annotated[str, Field(pattern=r"\S", max_length=256)]
Proof = Literal["confirmed", "accepted"]
LaneWord = Literal["idle", "sending", "waiting", "blocked", "paused"]
ReportState = Literal["waiting", "sending", "blocked", "sent", "held", "withdrawn", "rejected"]


class Model(BaseModel):
    """A JSON object of the socket."""

    model_config = ConfigDict(use_attribute_docstrings=True, defer_build=True)


# --- reports -------------------------------------------------------------------------------------


class Receipt(Model):
    """What a channel answered for a part that it confirmed."""

    id: str
    link: str
    proof: Proof
    note: str
    at: Time | None


class Attempt(Model):
    """One call of a channel for one part."""

    started_at: Time
    ended_at: Time | None
    duration_s: float | None
    form: str
    outcome: str | None
    code: str | None
    detail: str | None


class Part(Model):
    """One message of a delivery."""

    number: int
    count: int
    key: str
    """The idempotency key: the same for every attempt at this part."""
    state: str
    form: str
    doubt_since: Time | None
    receipt: Receipt | None
    attempts: list[Attempt]


class DeliveryBrief(Model):
    """A report on its way to one destination."""

    destination: str
    channel: str
    target: str
    state: str
    generation: int
    direct: bool
    """By `send`, past the queue."""
    ended_at: Time | None
    ended_by: str | None


class Delivery(DeliveryBrief):
    """A delivery with its parts."""

    parts: list[Part]


class ReportBrief(Model):
    """A report, as lists have it."""

    id: str | None
    """None for a file that was not read yet."""
    seq: int
    """The place in the order of arrival; `after` continues a list with it."""
    name: str
    state: ReportState
    folder: str
    title: str
    team: str
    worker: str
    task_id: str
    progress: str
    status: str
    to: list[str]
    sha256: str | None
    size: int
    corrected: bool
    """Edited after its first attempt."""
    admitted_at: Time
    settled_at: Time | None
    position: int | None
    reason: str | None
    submitted_by: str | None
    submitted_by_uid: int | None
    warnings: list[str]
    deliveries: list[DeliveryBrief]


class Report(ReportBrief):
    """A report's whole story."""

    deliveries: list[Delivery]  # type: ignore[assignment]  # the same with more


class Submitted(Model):
    """A report that is on the disk."""

    id: str | None
    name: str
    sha256: str
    state: str
    position: int | None
    created: bool
    """False where the same bytes were there under the same id."""


class Reports(Model):
    """A page of reports, oldest first."""

    reports: list[ReportBrief]
    next_after: int | None
    """For the next page; null at the end."""


class Sent(Model):
    """What became of a report that was sent past the queue."""

    outcome: str
    detail: str
    hint: str
    receipts: list[Receipt]
    report: Report


class ReportFields(Model):
    """A report by its fields; at least one of them."""

    team: str | None = None
    worker: str | None = None
    task_id: str | None = None
    progress: str | None = None
    done: str | None = None
    next: str | None = None
    status: str | None = None
    source: str | None = None
    title: str | None = None
    created: str | None = None
    to: list[Text] | Text | None = None
    """Names of configured destinations."""


class To(Model):
    """Only the delivery to this destination; without it all of them."""

    destination: Text | None = None


class Where(To):
    """A configured destination, or a channel with a target."""

    channel: Text | None = None
    target: Text | None = None


class Skip(To):
    """Why a report is set aside."""

    reason: Text


class Resolve(To):
    """What became of a report in doubt, by a person's word."""

    as_: Literal["sent", "resend"] = Field(alias="as")


# --- the queue -----------------------------------------------------------------------------------


class Head(Model):
    """The report whose turn it is."""

    id: str | None
    name: str
    title: str
    destination: str | None
    attempts: int
    last_outcome: str | None
    last_error: str | None
    next_attempt_at: Time | None


class LaneStatus(Model):
    """One lane."""

    name: str
    state: LaneWord
    code: str | None
    reason: str | None
    hint: str | None
    since: Time | None
    waiting: int
    head: Head | None
    next_attempt_at: Time | None


class LastReceipt(Model):
    """The receipt of the last delivery."""

    id: str
    link: str
    proof: Proof
    note: str


class LastDelivery(Model):
    """The part that was confirmed last."""

    id: str | None
    at: Time | None
    receipt: LastReceipt


class RejectedFile(Model):
    """A file that was no report."""

    name: str
    reason: str | None


class Destination(Model):
    """Where reports go."""

    name: str
    channel: str
    target: str
    proof: Proof | None


class Status(Model):
    """The state, and why."""

    schema_: Literal["ownerreportd.status/1"] = Field(alias="schema")
    state: LaneWord
    code: str | None
    """The reason of a block, for programs."""
    reason: str | None
    hint: str | None
    since: Time | None
    stale: bool
    waiting: int
    oldest_age_s: float | None
    head: Head | None
    lanes: list[LaneStatus]
    last_delivery: LastDelivery | None
    sent_total: int
    rejected_total: int
    rejected_today: list[RejectedFile]
    """The newest few since midnight, by the daemon's clock."""
    left_alone: list[str]
    destinations: list[Destination]
    implicit_inbox: bool
    spool: str
    pid: int
    started_at: Time
    version: str


class Health(Model):
    """Whether somebody should look."""

    ok: bool
    state: LaneWord
    code: str | None


class Version(Model):
    """What answers."""

    version: str
    api: Literal["v1"]


class Change(Model):
    """One setting that a reload changed; of a secret both values are `changed`."""

    key: str
    old: Any
    new: Any


class Reloaded(Model):
    """What a reload changed."""

    changed: list[Change]
    warnings: list[str]


class Event(Model):
    """Something that happened, with fields of its kind beside these."""

    model_config = ConfigDict(extra="allow")

    id: int
    """It only rises, over restarts too."""
    at: Time
    kind: str


# --- the gate ------------------------------------------------------------------------------------


class Mistake(Model):
    """What is wrong, and where: a JSON pointer into the body, or `?parameter`."""

    pointer: str
    message: str


class Action(Model):
    """The next step.

    `message_subagent` has `task` or `message`, `spawn_subagent` has `task`, `run_command` has
    `command`, `wait` has `until` or `reason`.
    """

    model_config = ConfigDict(extra="allow")

    type: Text


class GateInput(Model):
    """What is known of the reply that wants to end the turn."""

    planId: str | None = None  # noqa: N815 - the names of the wire, here and below
    currentTask: str | None = None  # noqa: N815
    taskState: str | None = None  # noqa: N815
    nextTaskKnown: bool | None = None  # noqa: N815
    nextTaskId: str | None = None  # noqa: N815
    sameApprovedPlan: bool | None = None  # noqa: N815
    taskBoundaryStop: bool | None = None  # noqa: N815
    highRiskStop: bool | None = None  # noqa: N815
    nextDerivedAction: dict[str, Any] | str | None = None  # noqa: N815
    """`{type, ...}`; a string is read as its `type`."""
    replyClosureState: str | None = None  # noqa: N815
    dispatchReceipt: dict[str, Any] | None = None  # noqa: N815


class GateRequest(Model):
    """What every adapter takes beside its input."""

    config: dict[str, Any] | None = None
    """Overrides of the daemon's `[gate]` for this request."""
    lookup: bool | dict[str, Any] | None = None
    """False: look for no stored receipt; `{since}`: only from then on."""


class GenericPreflight(GateRequest):
    """The input under `source`."""

    source: GateInput


class Manual(GateInput, GateRequest):
    """The input at the top level."""


class ForceRecall(GateRequest):
    """The results of a wrapper and a planner, in which the input is looked for."""

    wrapperResult: dict[str, Any] | None = None  # noqa: N815
    autoChainPlanResult: dict[str, Any] | None = None  # noqa: N815


class GateResult(Model):
    """The decision."""

    status: Literal["pass", "fail", "skip"]
    ok: bool
    reason: str
    reasons: list[str]


class GateMeta(Model):
    """Who decided."""

    adapterName: str  # noqa: N815
    hostAgnostic: bool  # noqa: N815
    contractVersion: Literal[1]  # noqa: N815


class Contract(Model):
    """The gate's answer. `block` is the text for the agent, empty where it may end its turn."""

    input: dict[str, Any]
    result: GateResult
    evaluation: dict[str, Any]
    block: str
    meta: GateMeta


class ConfigMistake(Model):
    """What is wrong with a configuration of the gate."""

    path: str
    code: str
    message: str


class GateConfigCheck(Model):
    """A configuration of the gate, checked."""

    ok: bool
    errors: list[ConfigMistake]
    warnings: list[str]
    config: dict[str, Any] | None


class DispatchReceipt(Model):
    """The proof that the next step was handed on."""

    planId: Short  # noqa: N815
    currentTask: Short  # noqa: N815
    nextDerivedAction: Action | Text  # noqa: N815
    dispatchRunId: Short  # noqa: N815
    childSessionKey: Short  # noqa: N815
    replyClosureState: Text  # noqa: N815
    dispatchedAt: Time  # noqa: N815
    """With an offset, not more than five minutes ahead of the daemon's clock."""


class KeptReceipt(Model):
    """A receipt on the disk."""

    receipt: dict[str, Any]
    path: str | None
    errors: list[Mistake]
    warnings: list[str]


class InvalidFile(Model):
    """A file in the receipts' folder that is none."""

    file: str
    reason: str


class StoredReceipt(Model):
    """A receipt and its file's name."""

    file: str
    receipt: dict[str, Any]


class Receipts(Model):
    """Stored receipts, newest first."""

    receipts: list[StoredReceipt]
    invalid: list[InvalidFile]


class Decision(Model):
    """A decision of the gate, as it is kept."""

    model_config = ConfigDict(extra="allow")

    id: int
    at: Time
    status: Literal["pass", "fail", "skip"]
    reason: str


class Decisions(Model):
    """Decisions, newest first; `before` with the last `id` continues."""

    decisions: list[Decision]


# --- errors --------------------------------------------------------------------------------------


class Problem(Model):
    """An error, by RFC 9457."""

    type: str
    """`urn:ownerreportd:error:` and the kind."""
    title: str
    code: str
    status: int
    detail: str
    hint: str
    """What to do about it."""
    errors: list[Mistake] = []
