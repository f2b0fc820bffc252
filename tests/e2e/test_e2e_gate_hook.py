"""The hook for a host in JavaScript, run by the real node: it adds the block, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gate.gate_tools import fields, receipt

from ownerreportd import gate
from ownerreportd.client import Client

EXAMPLES = Path(__file__).parents[2] / "examples" / "gate"
PROMPT = "Go on.\n第二行\n"
ADAPTERS = ("generic-preflight", "manual", "force-recall")


def node(home, request, adapter, **environ):
    """What the host's prompt is after the hook; nothing may be said on stderr."""
    file = home.path / "request.json"
    file.write_text(json.dumps(request))
    done = subprocess.run(
        ["node", EXAMPLES / "prompt.mjs", file, adapter], input=PROMPT, capture_output=True,
        text=True, timeout=30, check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home.path), **environ},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def where(home):
    return {"OWNERREPORTD_SPOOL__ROOT": str(home.spool)}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_block_stands_before_the_prompt_until_the_receipt_is_there(home, adapter):
    home.configure().daemon()
    request = json.loads((EXAMPLES / f"{adapter}.json").read_text())
    block = gate.evaluate(adapter, request)["block"]
    assert node(home, request, adapter, **where(home)) == f"{block}\n{PROMPT}"
    given = json.loads((EXAMPLES / "receipt.json").read_text())
    given["dispatchedAt"] = datetime.now(UTC).isoformat()
    Client([home.socket]).write_receipt(given)
    assert node(home, request, adapter, **where(home)) == PROMPT


def test_without_a_daemon_the_prompt_stays_as_it_is(home):
    assert node(home, fields(), "manual", **where(home)) == PROMPT
    assert node(home, fields(), "manual") == PROMPT


def test_a_request_that_the_gate_cannot_read_leaves_the_prompt_as_it_is(home):
    home.configure().daemon()
    assert node(home, fields(planId=7), "manual", **where(home)) == PROMPT
    assert node(home, fields(), "no-such", **where(home)) == PROMPT


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno json!!", b"?"]
)
def test_a_daemon_that_does_not_answer_rightly_leaves_the_prompt_as_it_is(home, answer):
    path = home.path / "mute.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as mute:
        mute.bind(str(path))
        mute.listen()
        home.make_pending()
        with contextlib.ExitStack() as stack:
            environ = {"OWNERREPORTD_SOCKET__PATH": str(path)}
            if answer:
                stack.enter_context(answering(mute, answer))
            assert node(home, fields(), "manual", **environ) == PROMPT


@contextlib.contextmanager
def answering(listening, data):
    import threading

    def answer():
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(data)

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join()


def test_the_examples_are_what_they_say():
    given = json.loads((EXAMPLES / "receipt.json").read_text())
    found = gate.validate_receipt(given, datetime.now(UTC))
    assert (found.valid, found.real, found.warnings) == (True, True, ())
    config = json.loads((EXAMPLES / "openclaw.continuity.example.json").read_text())
    assert gate.validate_config(config).config.to_json() == config == gate.default_config()
    for adapter in ADAPTERS:
        contract = gate.evaluate(adapter, json.loads((EXAMPLES / f"{adapter}.json").read_text()))
        assert contract["evaluation"]["rule"] == 5
        assert contract["evaluation"]["warnings"] == []
    assert receipt().keys() == given.keys()
