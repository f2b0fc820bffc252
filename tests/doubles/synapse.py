"""A real homeserver: Synapse on loopback, one for all tests, and a proxy before it that can fail.

It is installed by `scripts/synapse.py` when it is first needed, and ends with the tests' process.
It talks to nobody: no federation, no statistics, no other servers' keys.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import hmac
import itertools
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import httpx
from doubles.faults import NAMED
from doubles.matrix import matrix_error
from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".synapse" / "env" / "bin" / "python"
API = "/_matrix/client/v3"
SERVER = "synapse.test"
REGISTRATION = "made-up-secret"
DEVICE = "OWNERREPORTD"
FACADE = "syt_made_up_token_that_the_proxy_changes"
START_S = 60.0
# Synapse hangs up on a connection after 60 s, which is when a probe comes.
NO_KEEPALIVE = httpx.Limits(max_keepalive_connections=0)
PLENTY = {"per_second": 1000, "burst_count": 1000}
_NUMBERS = itertools.count(1)
_ONE_AT_A_TIME = threading.Lock()
_HOP = {"connection", "transfer-encoding", "content-length", "host", "accept-encoding"}


class Synapse:
    """The process, its configuration and its administrator. `kill` and `start` keep the port."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ord-synapse-"))
        self.port = _free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(
            base_url=self.base, trust_env=False, timeout=20, limits=NO_KEEPALIVE
        )
        self._configure()
        self.start()
        self.owner = self.register("owner", admin=True)
        self.unlimited(self.owner["user_id"])

    def _configure(self) -> None:
        settings = {
            "server_name": SERVER,
            "public_baseurl": f"{self.base}/",
            "pid_file": str(self.folder / "pid"),
            "listeners": [
                {
                    "port": self.port, "type": "http", "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": ["client"]}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "db")}},
            "log_config": str(self.folder / "log.yaml"),
            "media_store_path": str(self.folder / "media"),
            "signing_key_path": str(self.folder / "key"),
            "registration_shared_secret": REGISTRATION,
            "macaroon_secret_key": "made-up",
            "form_secret": "made-up",
            "bcrypt_rounds": 4,
            "report_stats": False,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "federation_domain_whitelist": [],
            "rc_login": {"address": PLENTY, "account": PLENTY, "failed_attempts": PLENTY},
            "rc_joins": {"local": PLENTY, "remote": PLENTY},
            "rc_invites": {"per_room": PLENTY, "per_user": PLENTY, "per_issuer": PLENTY},
        }  # fmt: skip
        log = {
            "version": 1,
            "handlers": {
                "file": {"class": "logging.FileHandler", "filename": str(self.folder / "log")}
            },
            "root": {"level": "WARNING", "handlers": ["file"]},
            "disable_existing_loggers": False,
        }
        # YAML reads JSON.
        (self.folder / "homeserver.yaml").write_text(json.dumps(settings))
        (self.folder / "log.yaml").write_text(json.dumps(log))
        command = [PYTHON.with_name("generate_signing_key"), "-o", self.folder / "key"]
        subprocess.run(command, check=True)

    def start(self) -> None:
        words = [PYTHON, "-m", "synapse.app.homeserver", "-c", self.folder / "homeserver.yaml"]
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            )  # fmt: skip
        end = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "out").read_text()[-3000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self._client.get("/_matrix/client/versions").status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it as a lost machine does: SIGKILL, and nothing more is written."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What the administrator can do; from a thread of its own where a loop runs.

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        token = self.owner["access_token"] if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def register(self, name: str, *, admin: bool = False) -> dict[str, Any]:
        """A new account; its user_id, access_token and device_id."""
        path = "/_synapse/admin/v1/register"
        nonce = self.ask("GET", path, token="")["nonce"]
        words = (nonce, name, "password", "admin" if admin else "notadmin")
        signed = hmac.new(REGISTRATION.encode(), "\0".join(words).encode(), hashlib.sha1)
        form = {
            "nonce": nonce, "username": name, "password": "password", "admin": admin,
            "mac": signed.hexdigest(),
        }  # fmt: skip
        found: dict[str, Any] = self.ask("POST", path, form, token="")
        return found

    def login(self, user_id: str, device_id: str | None = DEVICE) -> dict[str, Any]:
        form = {
            "type": "m.login.password", "password": "password",
            "identifier": {"type": "m.id.user", "user": user_id},
            **({"device_id": device_id} if device_id else {}),
        }  # fmt: skip
        found: dict[str, Any] = self.ask("POST", f"{API}/login", form, token="")
        return found

    def limit(self, user_id: str, per_second: int, burst: int) -> None:
        """Let Synapse's own rc_message be this for the account; 0 and 0 is no limit."""
        path = f"/_synapse/admin/v1/users/{quote(user_id)}/override_ratelimit"
        self.ask("POST", path, {"messages_per_second": per_second, "burst_count": burst})

    def unlimited(self, user_id: str) -> None:
        self.limit(user_id, 0, 0)


def installed() -> Synapse:
    """One more Synapse, at work; the program is installed when it is first asked for."""
    subprocess.run([sys.executable, ROOT / "scripts" / "synapse.py"], check=True)
    return Synapse()


@cache
def _shared() -> Synapse:
    synapse = installed()
    atexit.register(synapse.close)
    return synapse


def shared() -> Synapse:
    """The one Synapse of this process, which nobody may end: others may be using it."""
    with _ONE_AT_A_TIME:
        return _shared()


class SynapseService:
    """A new account and a new room in the shared Synapse, behind a proxy that can fail.

    With `alone` the Synapse is its own, and can be killed and started again.

    The proxy takes one token for ever and passes on the account's current one, so that a device
    that was logged out can be logged in again without a change of the configuration. `like`
    another service it has that one's account, which saves some of the time; the room is new.
    """

    channel = "matrix"
    exactly_once = True

    def __init__(
        self, *, port: int = 0, like: SynapseService | None = None, alone: bool = False
    ) -> None:
        self.secrets = {"token": FACADE}
        self.on_step: Callable[[str], None] | None = None
        self.always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.wire = Wire(self._answer, self._fault_for, port=port)
        self.synapse: Synapse
        self.user_id = self.token = self.room = ""
        self.is_member = True
        self._like = like
        self._alone = alone
        self._client = httpx.AsyncClient(
            trust_env=False, timeout=60, verify=False, limits=NO_KEEPALIVE
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._move_in)
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)
        await self._client.aclose()
        if self._alone:
            await asyncio.to_thread(self.synapse.close)

    def _move_in(self) -> None:
        self.synapse = installed() if self._alone else shared()
        if self._like is not None:
            self.user_id, self.token = self._like.user_id, self._like.token
        else:
            self.user_id = self.synapse.register(f"reports{next(_NUMBERS)}")["user_id"]
            self.synapse.unlimited(self.user_id)
            self.token = self.synapse.login(self.user_id)["access_token"]
        form = {"preset": "private_chat", "invite": [self.user_id]}
        self.room = self.synapse.ask("POST", f"{API}/createRoom", form)["room_id"]
        self._join()

    # What a test asks.

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}"

    @property
    def destination(self) -> dict[str, Any]:
        return {
            "target": self.room, "homeserver": self.base, "device_id": DEVICE, "timeout_s": 3,
        }  # fmt: skip

    @property
    def events(self) -> list[dict[str, Any]]:
        """The room's messages as its owner sees them, oldest first."""
        wanted = json.dumps({"types": ["m.room.message"]})
        found: list[dict[str, Any]] = []
        query = {"dir": "f", "limit": "500", "filter": wanted}
        while True:
            page = self.synapse.ask("GET", f"{self.path('messages')}?{urlencode(query)}")
            found += page["chunk"]
            if "end" not in page:
                return found
            query["from"] = page["end"]

    @property
    def texts(self) -> list[str]:
        return [each["content"]["body"] for each in self.events if each["content"]]

    def path(self, *words: str) -> str:
        return "/".join([API, "rooms", quote(self.room), *(quote(word, safe="") for word in words)])

    # What a test arranges.

    def state(self, kind: str, content: dict[str, Any]) -> None:
        """Set the room's state, as its owner."""
        self.synapse.ask("PUT", self.path("state", kind), content)

    def level(self, needed: int) -> None:
        """Let a message in the room need that power level."""
        levels = self.synapse.ask("GET", self.path("state", "m.room.power_levels"))
        self.state("m.room.power_levels", {**levels, "events_default": needed})

    def as_bot(self, method: str, path: str, body: Any = None) -> Any:
        return self.synapse.ask(method, path, {} if body is None else body, token=self.token)

    def _join(self) -> None:
        self.as_bot("POST", self.path("join"))
        self.is_member = True

    def leave(self) -> None:
        self.as_bot("POST", self.path("leave"))
        self.as_bot("POST", self.path("forget"))
        self.is_member = False

    def log_out(self) -> None:
        self.as_bot("POST", f"{API}/logout")
        self.token = ""

    def kill(self) -> None:
        assert self._alone, "others use the shared Synapse meanwhile"
        self.synapse.kill()

    def start(self) -> None:
        self.synapse.start()

    def _mend(self) -> None:
        if not self.token:
            self.token = self.synapse.login(self.user_id)["access_token"]
        if not self.is_member:
            self.synapse.ask("POST", self.path("invite"), {"user_id": self.user_id})
            self._join()
        self.level(0)

    async def arrange(self, situation: str) -> bool:
        self.always = None
        await self.wire.accept_again()
        await asyncio.to_thread(self._mend)
        if situation == "unreachable":
            self.wire.refuse()
        elif situation == "wrong_token":
            await asyncio.to_thread(self.log_out)
        elif situation == "wrong_target":
            await asyncio.to_thread(self.leave)
        elif situation in {"refuses_config", "no_permission"}:
            await asyncio.to_thread(self.level, 50)
        elif situation != "accepts":
            self.always = {
                "throttles": matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=500),
                "drops": NAMED["accept_then_drop"],
                "silent": NAMED["accept_then_hang"],
                "refuses_report": matrix_error(413, "M_TOO_LARGE"),
            }[situation]
        return True

    # The proxy.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if self.fault_if is not None:
            return self.fault_if(seen)
        return self.always if seen.method == "PUT" else None

    async def _answer(self, seen: Seen) -> Reply:
        is_part = seen.method == "PUT"
        if is_part and self.on_step is not None:
            self.on_step("arrived")
        reply = await self._passed_on(seen)
        if is_part and reply.status == 200 and self.on_step is not None:
            self.on_step("taken")
        return reply

    async def _passed_on(self, seen: Seen) -> Reply:
        headers = {name: value for name, value in seen.headers.items() if name not in _HOP}
        if headers.get("authorization") == f"Bearer {FACADE}":
            headers["authorization"] = f"Bearer {self.token or 'logged-out'}"
        address = f"{self.synapse.base}{quote(seen.path, safe='/')}?{urlencode(seen.query)}"
        try:
            answer = await self._client.request(
                seen.method, address, headers=headers, content=seen.body
            )
        except httpx.HTTPError:
            return Reply(502, {"Content-Type": "text/html"}, b"<html>no homeserver</html>")
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
        return Reply(answer.status_code, kept, answer.content)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
