"""Whoever is on this machine asks the socket: curl, Node, and the two Python clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime

import pytest
from e2e.fleet import Abreast
from e2e.harness import DEADLINE_S, wait_until

from ownerreportd.aclient import AsyncClient
from ownerreportd.client import Client, LostAnswerError
from ownerreportd.core.errors import (
    DoesNotApplyError,
    IdConflictError,
    NotFoundError,
    UnreachableError,
)  # fmt: skip

abreast = Abreast()
launch = abreast.launch

NODE = """
const http = require('node:http')
const ask = (method, path, body) => new Promise((done, failed) => {
  const headers = body ? {'Content-Type': 'text/markdown'} : {}
  const asked = http.request(
    {socketPath: process.argv[1], method, path, headers}, answer => {
      let text = ''
      answer.on('data', piece => { text += piece })
      answer.on('end', () => done(JSON.parse(text)))
    })
  asked.on('error', failed)
  asked.end(body)
})
const main = async () => {
  const {id} = await ask('POST', '/v1/reports', '# 來自 Node\\n\\nDone.\\n')
  const report = await ask('GET', `/v1/reports/${id}/wait?timeout_s=30`)
  const status = await ask('GET', '/v1/status')
  console.log(JSON.stringify([report.state, report.deliveries[0].channel, status.schema]))
}
main()
"""


def told(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@abreast
def test_curl_submits_waits_and_reads_the_status(home, discord):
    home.configure(discord.base).daemon()
    curl = ["curl", "--silent", "--fail", "--unix-socket", str(home.socket)]
    markdown = ["-H", "Content-Type: text/markdown", "--data-binary", "# By curl\n\nDone.\n"]
    taken = told([*curl, *markdown, "http://localhost/v1/reports"])
    wait = f"http://localhost/v1/reports/{taken['id']}/wait?timeout_s=30"
    assert told([*curl, wait])["state"] == "sent"
    assert told([*curl, "http://localhost/v1/status"])["schema"] == "ownerreportd.status/1"
    assert "By curl" in discord.contents[0]


@abreast
def test_node_submits_waits_and_reads_the_status(home, discord):
    home.configure(discord.base).daemon()
    found = told(["node", "-e", NODE, str(home.socket)])
    assert found == ["sent", "discord", "ownerreportd.status/1"]
    assert "來自 Node" in discord.contents[0]


@abreast
def test_the_python_client_submits_waits_and_reads_the_status(home, discord):
    home.configure(discord.base).daemon()
    daemon = Client([home.path / "nobody", home.socket])
    taken = daemon.submit("# 由 Python\n\nDone.\n".encode(), report_id="by-python")
    assert (taken["id"], taken["created"]) == ("by-python", True)
    assert daemon.wait("by-python", timeout_s=30)["state"] == "sent"
    assert daemon.status()["sent_total"] == 1
    kinds = [event["kind"] for event in daemon.events(since=0, follow=0)]
    assert kinds[-1] == "report.sent"
    with pytest.raises(IdConflictError):
        daemon.submit(b"other bytes", report_id="by-python")


@abreast
def test_the_asynchronous_client_submits_waits_and_reads_the_status(home, discord):
    home.configure(discord.base).daemon()

    async def use():
        async with AsyncClient([home.path / "nobody", home.socket]) as daemon:
            seen = asyncio.create_task(until_sent(daemon))
            taken = await daemon.submit(b"# By asyncio\n\nDone.\n")
            report, status = await asyncio.gather(
                daemon.wait(taken["id"], timeout_s=30), daemon.status()
            )
            assert report["state"] == "sent"
            assert status["schema"] == "ownerreportd.status/1"
            assert (await daemon.health())["ok"] is True
            assert (await seen)[-1] == "report.sent"
            with pytest.raises(NotFoundError):
                await daemon.report("nothing-like-it")
            with pytest.raises(NotFoundError):
                await daemon.report("a/b")
            with pytest.raises(DoesNotApplyError):
                await daemon.skip(taken["id"], reason="too late")
            assert (await daemon.reload())["changed"] == []

    async def until_sent(daemon):
        kinds = []
        async for event in daemon.events(since=0):
            kinds.append(event["kind"])
            if event["kind"] == "report.sent":
                return kinds
        return kinds

    asyncio.run(use())
    assert "By asyncio" in discord.contents[0]


@abreast
def test_the_asynchronous_client_asks_the_gate_and_keeps_receipts(home, discord):
    home.configure(discord.base).daemon()
    asked = {
        "planId": "approved-plan-1", "currentTask": "t1", "taskState": "done",
        "nextTaskId": "t2", "sameApprovedPlan": True, "taskBoundaryStop": True,
    }  # fmt: skip
    receipt = {
        "planId": "approved-plan-1", "currentTask": "t1",
        "nextDerivedAction": {"type": "spawn_subagent", "task": "t2"},
        "dispatchRunId": "run-1", "childSessionKey": "agent:1",
        "replyClosureState": "in_progress",
    }  # fmt: skip

    async def use():
        async with AsyncClient([home.socket]) as daemon:
            first = await daemon.gate("manual", asked)
            kept = await daemon.write_receipt(
                receipt | {"dispatchedAt": datetime.now(UTC).isoformat()}
            )
            second = await daemon.gate("manual", asked)
            found = await daemon.receipts(planId="approved-plan-1")
            # A decision is told before it is kept.
            while len((decisions := await daemon.decisions(limit=2))["decisions"]) < 2:
                await asyncio.sleep(0.02)
            return first, kept, second, found, decisions

    first, kept, second, found, decisions = asyncio.run(asyncio.wait_for(use(), DEADLINE_S))
    assert (first["result"]["ok"], second["result"]["ok"]) == (False, True)
    assert found["receipts"][0]["receipt"] == kept["receipt"]
    assert [each["reason"] for each in decisions["decisions"]] == [
        "dispatched", "missing_auto_next_dispatch",
    ]  # fmt: skip


@abreast
def test_without_a_daemon_the_client_writes_the_file_where_it_may(home, discord):
    home.configure(discord.base)
    daemon = Client([home.socket])
    with pytest.raises(UnreachableError):
        daemon.submit(b"lost?")
    taken = daemon.submit(b"kept on the disk", report_id="kept", spool=home.spool)
    assert (taken["id"], taken["state"], taken["position"]) == ("kept", "waiting", None)

    async def use():
        async with AsyncClient([home.socket]) as client:
            with pytest.raises(UnreachableError):
                await client.submit(b"lost?")
            return await client.submit(b"kept as well", spool=home.spool)

    assert asyncio.run(use())["state"] == "waiting"
    home.daemon()
    assert daemon.wait("kept", timeout_s=30)["state"] == "sent"
    home.wait(lambda: len(discord.contents) == 2, "both have come")
    assert discord.contents == ["kept on the disk", "kept as well"]


@abreast
def test_a_daemon_that_is_killed_is_lost_to_both_clients_and_found_again(home, discord):
    home.configure(discord.base)
    first = home.daemon()

    async def use():
        async with AsyncClient([home.socket]) as daemon:
            await daemon.version()
            waiting = asyncio.create_task(daemon.wait("head", timeout_s=30))
            streaming = asyncio.create_task(until_it_ends(daemon))
            await daemon.pause()
            home.drop("a.md", "waits for ever")
            await asyncio.to_thread(
                wait_until, lambda: home.status().get("waiting") == 1, "it waits"
            )
            waiting.cancel()
            waiting = asyncio.create_task(daemon.wait("head", timeout_s=30))
            await asyncio.sleep(0.3)
            first.process.kill()
            with pytest.raises(LostAnswerError):
                await waiting
            with pytest.raises(LostAnswerError):
                await streaming
            with pytest.raises(UnreachableError):
                await daemon.version()
            await asyncio.to_thread(home.daemon)
            assert (await daemon.status())["state"] == "paused"

    async def until_it_ends(daemon):
        async for _ in daemon.events():
            pass

    asyncio.run(use())
