"""A user's program with its receiver: strict about what it is asked, and remembers every key."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from doubles.programs import Desk, Dropped, Folder, Silence

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = "ownerreportd.exec/1"
KEYS = {
    "send": {"schema", "do", "key", "number", "count", "may_be_duplicate", "text"},
    "look": {"schema", "do", "key", "number", "count", "texts", "since", "known"},
    "check": {"schema", "do"},
}
# The program itself: what the receiver says becomes its output, or its way to end.
PROGRAM = """
import json, os, signal, socket, sys, time

given = sys.stdin.buffer.read()
asked = json.loads(given)
try:
    desk = socket.create_connection(("127.0.0.1", @port@))
except ConnectionRefusedError:
    if asked["do"] == "check":
        problem = {"code": "unreachable", "detail": "it refuses", "hint": "start it"}
        print(json.dumps({"problems": [problem]}))
    elif asked["do"] == "look":
        print(json.dumps({"outcome": "unknown", "detail": "it refuses", "transient": True}))
    else:
        print(json.dumps({"outcome": "not_sent", "detail": "it refuses"}))
    sys.exit()
seen = {"asked": asked, "arguments": sys.argv[1:], "environment": dict(os.environ)}
desk.sendall(json.dumps(seen).encode() + b"\\n")
line = desk.makefile().readline()
if not line:
    sys.exit("the receiver hung up")
said = json.loads(line)
sys.stdout.write(said["output"])
sys.stdout.flush()
sys.stderr.write(said.get("errors", ""))
sys.stderr.flush()
if "signal" in said:
    os.kill(os.getpid(), said["signal"])
time.sleep(said.get("sleep_s", 0))
sys.exit(said.get("status", 0))
"""
REFUSED = {"outcome": "rejected", "code": "made_up", "detail": "no", "hint": "mend it"}


class ExecDouble:
    """The receiver behind the program. `taken` has every part once, in the order of arrival.

    `says` is what the program writes in the place of an honest answer: an object, or the fields
    `output`, `errors`, `status`, `signal`, `sleep_s`; with `takes`, the part is taken first.
    """

    channel = "exec"
    exactly_once = True

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.on_step: Callable[[str], None] | None = None
        self.taken: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.says: dict[str, Any] | None = None
        self.takes = False
        self.forgets = False  # a key that comes again is a part that comes again
        self.situation = "accepts"
        self.says_if: Callable[[int], str | None] | None = None
        self._sends = 0
        self._desk = Desk(self._answer)
        self._folder = Folder()

    async def __aenter__(self) -> Self:
        self._folder.__enter__()
        await self._desk.__aenter__()
        self.program = self._folder.program("deliver", PROGRAM, port=self._desk.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._desk.__aexit__(*exc)
        self._folder.__exit__(*exc)

    @property
    def destination(self) -> dict[str, Any]:
        return {
            "target": str(self.program), "timeout_s": 2, "read_back": True, "dedup_window_s": 3600,
        }  # fmt: skip

    @property
    def had(self) -> set[str]:
        """The keys of what was taken."""
        return {each["key"] for each in self.taken}

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.taken]

    async def arrange(self, situation: str) -> bool:
        if situation == "wrong_token":
            return False
        self.situation, self.says, self.takes = situation, None, False
        await self._desk.accept_again()
        hidden = self.program.with_suffix(".gone")
        if hidden.exists():
            hidden.rename(self.program)
        self.program.chmod(0o755)
        if situation == "unreachable":
            self._desk.refuse()
        elif situation == "wrong_target":
            self.program.rename(hidden)
        elif situation == "no_permission":
            self.program.chmod(0o644)
        elif situation == "throttles":
            self.says = {"outcome": "throttled", "retry_after_s": 0.5}
        elif situation in {"refuses_report", "refuses_config"}:
            self.says = {**REFUSED, "scope": situation.removeprefix("refuses_")}
        return True

    async def _answer(self, seen: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(seen)
        asked = seen["asked"]
        wrong = _mistake(asked)
        if wrong:
            return {"output": "", "errors": wrong, "status": 64}
        if asked["do"] == "send":
            return self._taken(asked)
        if asked["do"] == "check":
            return _written({"problems": []})
        if asked["key"] in self.had:
            return _written({"outcome": "found", "id": _id(asked["key"])})
        return _written({"outcome": "absent"})

    def _taken(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._step("arrived")
        self._sends += 1
        situation = (self.says_if and self.says_if(self._sends)) or self.situation
        if self.says is None or self.takes:
            if self.forgets or asked["key"] not in self.had:
                self.taken.append(asked)
            self._step("taken")
        if situation == "drops":
            raise Dropped
        if situation == "silent":
            raise Silence
        if self.says is not None:
            return _written(self.says)
        return _written({"outcome": "confirmed", "id": _id(asked["key"])})

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)


def _id(key: str) -> str:
    return f"m-{key}"


def _written(said: dict[str, Any]) -> dict[str, Any]:
    return said if "output" in said else {"output": json.dumps(said)}


def _mistake(asked: dict[str, Any]) -> str:
    """What is wrong with a request; empty if nothing is."""
    do = asked.get("do")
    if asked.get("schema") != SCHEMA or do not in KEYS:
        return "not my schema"
    if set(asked) != KEYS[do]:
        return f"keys {sorted(asked)}"
    if do == "check":
        return ""
    if not re.fullmatch("[a-z2-7]{24}", asked["key"]):
        return "the key is none"
    if not 1 <= asked["number"] <= asked["count"]:
        return "the number is none"
    texts = asked["texts"] if do == "look" else [asked["text"]]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return "a text is empty"
    if do == "look" and datetime.fromisoformat(asked["since"]).utcoffset() is None:
        return "since when?"
    return ""
