"""What the socket answers is what its description says, field by field and under fire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from doubles.faults import NAMED
from e2e.fleet import Abreast

from ownerreportd.api import models

abreast = Abreast()
launch = abreast.launch

# What no schema can say is told by 400, 409 or 422: which destinations there are, which of two
# fields exclude each other, what time it is.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "422"]
"""
EVENTS = "/v1/events"  # without end, and tested for itself
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))


def fits(model, value):
    """Whether the value has the model's fields, and no others."""
    return model.model_validate(value, extra="forbid")


@abreast
def test_every_answer_has_the_fields_of_its_description_and_no_others(home, discord):
    home.configure(discord.base).daemon()
    daemon = home.client
    fits(models.Submitted, daemon.submit(b"---\nteam: a\n---\nsent", report_id="sent"))
    fits(models.Report, daemon.wait("sent", timeout_s=30))
    fits(models.Status, daemon.status())
    discord.meets(NAMED["accept_then_reset"], *[NAMED["403"]] * 50)
    daemon.submit(b"in trouble", report_id="blocked")
    home.wait_state("blocked")
    fits(models.Report, daemon.report("blocked"))
    fits(models.Status, daemon.status())
    fits(models.Health, daemon.health())
    fits(models.Version, daemon.version())
    fits(models.Reports, daemon.reports())
    fits(models.Report, daemon.skip("blocked", reason="no use"))
    home.drop("empty.md", "")
    home.wait(lambda: daemon.status()["rejected_total"], "the empty one is set aside")
    fits(models.Reports, daemon.reports(state="rejected"))
    fits(models.Reloaded, daemon.reload())
    for event in daemon.events(since=0, follow=0):
        models.Event.model_validate(event)
    sent = daemon.send("by-hand", channel="inbox", target=str(home.path / "mail"), data=b"direct")
    fits(models.Sent, sent)
    fits(models.Contract, daemon.gate("manual", {"planId": "approved-plan-1"}))
    for decision in daemon.decisions()["decisions"]:
        models.Decision.model_validate(decision)
    (home.spool / "state" / "approved-plan-continuity").mkdir(exist_ok=True)
    (home.spool / "state" / "approved-plan-continuity" / "none.json").write_text("{")
    fits(models.Receipts, daemon.receipts())
    answer = daemon.request("POST", "/v1/gate/config", b'{"enabled": 1}')
    fits(models.GateConfigCheck, answer.json)
    for method, path in (("GET", "/v1/reports/none"), ("POST", "/v1/reports"), ("GET", "/none")):
        fits(models.Problem, daemon.request(method, path).json)


@contextlib.asynccontextmanager
async def reachable_by_tcp(path):
    """A port of loopback behind which the socket is, for a tool that knows no other way."""

    async def serve(reader, writer):
        try:
            from_daemon, to_daemon = await asyncio.open_unix_connection(str(path))
            await asyncio.gather(pump(reader, to_daemon), pump(from_daemon, writer))
        except OSError:
            writer.close()

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


@abreast
def test_whatever_is_made_of_the_description_is_answered_as_it_says(home, discord):
    daemon = home.configure(discord.base).daemon()
    config = home.path / "schemathesis.toml"
    config.write_text(CONFIG)

    async def run():
        async with reachable_by_tcp(home.socket) as port:
            command = [
                SCHEMATHESIS, "--config-file", str(config),
                "run", f"http://localhost:{port}/openapi.json", "--checks", "all",
                "--max-examples", "12", "--seed", "1", "--exclude-path", EVENTS,
                "--request-timeout", "30", "--no-color",
            ]  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=home.path,
                env={**os.environ, "HOME": str(home.path)},
            )  # fmt: skip
            said, _ = await process.communicate()
            return process.returncode, said.decode()

    status, said = asyncio.run(run())
    assert status == 0, said[-6000:]
    assert "Traceback" not in daemon.log
    assert '"level": "error"' not in daemon.log, daemon.log[-3000:]
    assert home.status()["version"]
