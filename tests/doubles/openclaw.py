"""OpenClaw's CLI and gateway, as strict as version 2026.9.6 was measured to be.

The CLI is a program that reads its command line, connects to the gateway, and prints what that
says. The gateway remembers each key with its answer, also a failure, until `restart`; and it has
a queue of its own, from which it delivers later what it has just called failed.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Self

from doubles.programs import Desk, Dropped, Folder, Silence

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "made-up-gateway-token"
REQUIRED = {"channel": str, "action": str, "params": dict, "idempotencyKey": str}
ALLOWED = {
    *REQUIRED, "reply", "accountId", "requesterAccountId", "requesterSenderId", "senderIsOwner",
    "sessionKey", "sessionId", "inboundTurnKind", "agentId", "toolContext",
    "conversationReadOrigin",
}  # fmt: skip
LATER_S = 0.3
PROGRAM = r"""
import json, os, socket, sys

def end(answer, status, errors=""):
    sys.stderr.write(errors)
    print(json.dumps(answer, indent=2))
    sys.exit(status)

def fail(called, message, **more):
    error = {"type": called, "message": message, **more}
    end({"ok": False, "error": error}, 1, message + "\n")

def unknown(what, word):
    fail("cli_error", f'OpenClaw does not recognize {what} "{word}".\nTry: openclaw --help')

words = sys.argv[1:]
if words == ["--version"]:
    print("OpenClaw @version@ (eb377ac)".replace("'", ""))
    sys.exit()
if words[:2] != ["gateway", "call"]:
    unknown("command", " ".join(words[:2]))
options, methods, left = {}, [], words[2:]
while left:
    word = left.pop(0)
    if word == "--json":
        options["json"] = True
    elif word in ("--params", "--timeout", "--token", "--url", "--port", "--password"):
        options[word[2:]] = left.pop(0)
    elif word.startswith("-"):
        unknown("option", word)
    else:
        methods.append(word)
if len(methods) != 1 or not options.get("json") or not options["timeout"].isdigit():
    fail("cli_error", "a method, --json and --timeout in ms")
try:
    params = json.loads(options["params"])
except ValueError:
    fail("cli_error", "--params must be valid JSON.")
if not os.environ.get("HOME") or os.environ.get("OPENCLAW_SHELL") == "exec":
    fail("cli_error", "message RPCs are refused here")
token = os.environ.get("OPENCLAW_GATEWAY_TOKEN", "")
if not token:
    fail("gateway_credentials_required", "the call requires credentials before opening a websocket")
try:
    gateway = socket.create_connection(("127.0.0.1", @port@))
except ConnectionRefusedError:
    fail("gateway_transport_error", "Gateway not reachable at ws://x (ECONNREFUSED).",
         kind="closed", reason="connect ECONNREFUSED 127.0.0.1:@port@")
asked = {"method": methods[0], "params": params, "token": token, "environment": dict(os.environ)}
gateway.sendall(json.dumps(asked).encode() + b"\n")
line = gateway.makefile().readline()
if not line:
    fail("gateway_transport_error", "gateway closed (1006 abnormal closure): no close reason",
         kind="closed", code=1006, reason="no close reason")
said = json.loads(line)
if "error" in said:
    error = {"type": "gateway_request_error", **said["error"], "retryable": False}
    end({"ok": False, "error": error}, 1)
end(said["payload"], said.get("status", 0))
"""


class OpenclawDouble:
    """The gateway, with Telegram chats behind it. `had` is what they show, oldest first.

    `queues` lets it fail a send and deliver it a little later; `payload` is what it prints in the
    place of its own answer. `orders` are the things in texts that it took for its own.
    """

    channel = "openclaw"
    exactly_once = False

    def __init__(self, *, version: str = "2026.9.6") -> None:
        self.secrets = {"token": TOKEN}
        self.token = TOKEN
        self.on_step: Callable[[str], None] | None = None
        self.version = version
        self.channels = {"telegram": {"accounts": {"default": {}, "work": {}}}}
        self.chats = {"4242"}
        self.situation = "accepts"
        self.queues = False
        self.payload: Any = None
        self.had: list[tuple[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.orders: list[str] = []
        self._answers: dict[str, Any] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._desk = Desk(self._answer)
        self._folder = Folder()

    async def __aenter__(self) -> Self:
        self._folder.__enter__()
        await self._desk.__aenter__()
        self.program = self._folder.program(
            "openclaw", PROGRAM, port=self._desk.port, version=self.version
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*self._later)
        await self._desk.__aexit__(*exc)
        self._folder.__exit__(*exc)

    @property
    def destination(self) -> dict[str, Any]:
        return {"target": "telegram:4242", "program": str(self.program), "timeout_s": 3}

    @property
    def texts(self) -> list[str]:
        return [text.replace("\u200b", "") for _, text in self.had]

    @property
    def sends(self) -> list[dict[str, Any]]:
        return [each["params"] for each in self.asked if each["method"] == "message.action"]

    def restart(self) -> None:
        """Its memory of keys is gone."""
        self._answers.clear()

    async def arrange(self, situation: str) -> bool:
        if situation in {"throttles", "refuses_report", "no_permission"}:
            return False  # these reach us as a failure that its queue may still mend
        self.situation, self.queues, self.payload = situation, False, None
        self.token = "another-token" if situation == "wrong_token" else TOKEN
        is_gone = situation in {"refuses_config", "wrong_target"}
        self.channels = {
            "telegram" if not is_gone else "slack": {"accounts": {"default": {}, "work": {}}}
        }
        await self._desk.accept_again()
        if situation == "unreachable":
            self._desk.refuse()
        return True

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        if asked["token"] != self.token:
            return _refused("unauthorized: gateway token mismatch", code="AUTH_TOKEN_MISMATCH")
        if asked["method"] == "health":
            return {"payload": {"ok": True, "channels": self.channels}}
        if asked["method"] != "message.action":
            return _refused(f"unknown method: {asked['method']}")
        return await self._action(asked["params"])

    async def _action(self, request: dict[str, Any]) -> dict[str, Any]:
        wrong = _mistake(request)
        if wrong:
            return _refused(f"invalid message.action params: {wrong}")
        channel, account = request["channel"], request.get("accountId", "default")
        if channel not in self.channels or request["action"] != "send":
            return _refused(f"Channel {channel} does not support action {request['action']}.")
        if account not in self.channels[channel]["accounts"]:
            text = f'MessageActionDeniedError: Unknown account "{account}" for channel {channel}.'
            return _refused(text)
        key = f"{channel}:{account}:{request['idempotencyKey']}"
        self._step("arrived")
        if key not in self._answers:
            self._answers[key] = self._sent(request["params"])
        if self.situation == "drops":
            raise Dropped
        if self.situation == "silent":
            raise Silence
        return {"payload": self.payload} if self.payload is not None else self._answers[key]

    def _sent(self, params: dict[str, Any]) -> dict[str, Any]:
        to, message = params.get("to"), params.get("message")
        if not to or not isinstance(message, str):
            return _failed("ToolInputError: to required")
        text, orders = _read_as_openclaw_does(message)
        self.orders += orders
        if not text.strip():
            return {"payload": {"status": "suppressed", "reason": "no_visible_payload"}}
        if to not in self.chats:
            return _failed(f"OutboundDeliveryError: chat not found (chat_id={to})", queued=True)
        if self.queues:
            task = asyncio.ensure_future(self._deliver_later(to, text))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            return _failed("OutboundDeliveryError: Network request failed!", queued=True)
        self.had.append((to, text))
        self._step("taken")
        number = str(100 + len(self.had))
        return {"payload": {"ok": True, "messageId": number, "chatId": to, "receipt": {}}}

    async def _deliver_later(self, to: str, text: str) -> None:
        await asyncio.sleep(LATER_S)
        self.had.append((to, text))

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)


def _refused(message: str, **details: str) -> dict[str, Any]:
    more = {"details": details} if details else {}
    return {"error": {"code": "INVALID_REQUEST", "message": message, **more}}


def _failed(message: str, *, queued: bool = False) -> dict[str, Any]:
    more = {"details": {"code": "OUTBOUND_DELIVERY_QUEUED"}} if queued else {}
    return {"error": {"code": "UNAVAILABLE", "message": message, **more}}


def _mistake(request: dict[str, Any]) -> str:
    for name, kind in REQUIRED.items():
        if not isinstance(request.get(name), kind) or request[name] in ("", None):
            return f"at root: must have required property '{name}'"
    strange = sorted(set(request) - ALLOWED)
    return f"at root: unexpected property '{strange[0]}'" if strange else ""


_ORDERS = re.compile(
    r"""
      ^[ ]*media[ ]*:[^\n]*$ | \[\[[^]]*\]\] | <think>.*?(?:</think>|\Z)
    | <[^\s<>=\d\u200b-][^<>]*>
    | ^no_reply$ | (?<=!)\[[^]]*\]\([^)]*\) | ^[ ]{0,3}\[[^]]+\]:[ ]*\S+[ ]*$
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_FENCES = re.compile(r"^[ >]*(`{3,}|~{3,}).*?(?:^[ >]*\1[`~]*[ ]*$|\Z)", re.MULTILINE | re.DOTALL)


def _read_as_openclaw_does(message: str) -> tuple[str, list[str]]:
    """The text without what it takes for its own, and that; code blocks are left alone."""
    orders: list[str] = []

    def taken(match: re.Match[str]) -> str:
        if re.match(r"<(?:https?://|mailto:)", match[0]):
            return match[0]
        orders.append(match[0])
        return ""

    found, last = [], 0
    for fence in _FENCES.finditer(message):
        found += [_ORDERS.sub(taken, message[last : fence.start()]), fence[0]]
        last = fence.end()
    found.append(_ORDERS.sub(taken, message[last:]))
    return "".join(found), orders
