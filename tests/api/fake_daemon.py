"""A daemon in memory with the real API before it, in this loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading

import anyio

from ownerreportd.api.access import Access
from ownerreportd.api.admission import Limits
from ownerreportd.api.listening import bind_socket
from ownerreportd.api.server import ApiServer
from ownerreportd.core.errors import (
    DoesNotApplyError,
    IdConflictError,
    InvalidReportError,
    NotFoundError,
)

AT = "2026-11-22T10:54:00Z"
FINAL = ("sent", "held", "withdrawn", "rejected")


def receipt(number="1"):
    link = f"https://example.org/{number}"
    return {"id": number, "link": link, "proof": "confirmed", "at": AT, "note": ""}


class FakeDaemon:
    """Keeps reports, settles them when told, and remembers who did what."""

    def __init__(self):
        self.store = []
        self.bodies = {}
        self.acts = []
        self.who = ""
        self.extra = {}
        self.deliver_at_once = False
        self.on_retry = None
        self.send_result = {"outcome": "confirmed", "detail": "", "hint": ""}
        self.paused = False
        self.broken = None
        self.changed = anyio.Event()

    def add(self, report_id, state="waiting", **fields):
        seq = len(self.store) + 1
        self.store.append(
            {
                "id": report_id, "seq": seq, "name": f"{report_id or seq}.md", "state": state,
                "title": "", "team": "", "worker": "", "task_id": "", "progress": "",
                "status": "", "sha256": "0" * 64, "size": 1, "admitted_at": AT,
                "settled_at": AT if state in FINAL else None, "position": 1, "reason": "",
                "submitted_by": "uid 0 pid 1", "submitted_by_uid": 0, "to": ["owner"],
                "deliveries": [], **fields,
            }
        )  # fmt: skip
        return self.store[-1]

    def settle(self, report, state="sent", **fields):
        report.update(state=state, settled_at=AT, position=None, **fields)
        self.changed.set()
        self.changed = anyio.Event()

    def find(self, ref):
        for report in self.store:
            if ref in (report["id"], report["name"]) or (ref == "head" and self.is_head(report)):
                return report
        raise NotFoundError(f"there is no report {ref!r}", hint="ownerreportd list")

    def is_head(self, report):
        return next((r for r in self.store if r["state"] not in FINAL), None) is report

    async def submit(self, data, *, report_id, caller):
        if self.broken:
            raise self.broken
        if not data.strip():
            raise InvalidReportError("the report is empty", hint="write something")
        report_id = report_id or f"made-{len(self.store) + 1}"
        known = self.bodies.get(report_id)
        if known is not None and known != data:
            raise IdConflictError(f"{report_id} was other bytes before", hint="use another --id")
        if known is None:
            self.bodies[report_id] = data
            self.add(report_id, submitted_by=str(caller), submitted_by_uid=caller.uid)
        report = self.find(report_id)
        if self.deliver_at_once:
            self.settle(report)
        self.acts.append(("submit", report_id, str(caller)))
        sha = hashlib.sha256(data).hexdigest()
        shown = {key: report[key] for key in ("id", "name", "state", "position")}
        return {**shown, "sha256": sha, "created": known is None}

    async def reports(self, wanted, *, limit, after):
        state = wanted.state
        found = [
            r for r in self.store
            if r["seq"] > after and wanted.team in (None, r["team"])
            and (state in (None, r["state"]) or (state == "waiting" and r["state"] not in FINAL))
        ]  # fmt: skip
        return [{k: v for k, v in r.items() if k != "deliveries"} for r in found[:limit]]

    async def report(self, ref):
        if self.broken:
            raise self.broken
        return self.find(ref)

    async def wait(self, ref, *, timeout_s):
        with anyio.move_on_after(timeout_s):
            while self.find(ref)["state"] not in FINAL:
                await self.changed.wait()
        return self.find(ref)

    async def send(self, ref, *, destination, channel, target, caller, data=None):
        self.who = str(caller)
        if data is not None:
            await self.submit(data, report_id=ref, caller=caller)
        report = self.find(ref)
        self.acts.append(("send", ref, destination, channel, target))
        if self.send_result["outcome"] == "confirmed":
            self.settle(report)
        return {**self.send_result, "receipts": [receipt()], "report": report}

    async def retry(self, ref, *, destination, who):
        self.acts.append(("retry", ref, destination, who))
        if self.on_retry:
            self.on_retry(self)
        return await self.status() if ref is None else self.find(ref)

    async def skip(self, ref, *, reason, destination, who):
        self.who = who
        report = self.find(ref)
        if report["state"] in FINAL:
            raise DoesNotApplyError(f"{ref} is {report['state']}", hint="ownerreportd list")
        self.acts.append(("skip", ref, reason, destination))
        self.settle(report, "held", reason=reason)
        return report

    async def resolve(self, ref, *, how, destination, who):
        self.who = who
        self.acts.append(("resolve", ref, how, destination))
        return self.find(ref)

    async def pause(self, *, destination, who):
        self.who = who
        self.acts.append(("pause", destination))
        self.paused = True
        return await self.status()

    async def resume(self, *, destination, who):
        self.who = who
        self.acts.append(("resume", destination))
        self.paused = False
        return await self.status()

    async def status(self):
        waiting = [r for r in self.store if r["state"] not in FINAL]
        return {
            "schema": "ownerreportd.status/1", "state": "paused" if self.paused else "idle",
            "code": "", "reason": "", "hint": "", "since": AT, "stale": False,
            "waiting": len(waiting), "oldest_age_s": None, "head": None, "lanes": [],
            "last_delivery": None, "sent_total": len(self.store) - len(waiting),
            "rejected_total": 0, "left_alone": [], "destinations": [], "spool": "/spool",
            "pid": 1, "started_at": AT, "version": "0.1.0", **self.extra,
        }  # fmt: skip

    async def health(self):
        status = await self.status()
        ok = status["state"] != "blocked" and not status["stale"]
        return {"ok": ok, "state": status["state"], "code": status["code"]}


class ErrorLog:
    """A logger that keeps what it was told."""

    def __init__(self):
        self.lines = []

    def error(self, event, **fields):
        self.lines.append((event, fields))


def make_server(daemon, path, *, limits=None, access=None, log=None, **options):
    return ApiServer(
        daemon,
        bind_socket(path),
        access=access or Access(own_uid=os.geteuid()),
        version="9.9.9",
        log=log or ErrorLog(),
        limits=limits or Limits(),
        **options,
    )


class DaemonInThread:
    """The fake daemon behind a real socket, while the `with` block runs synchronous code."""

    def __init__(self, path, daemon=None):
        self.path = path
        self.daemon = daemon or FakeDaemon()
        self._ready = threading.Event()
        self._loop = None
        self._stop = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self.daemon

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = make_server(self.daemon, self.path)
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.aclose()
