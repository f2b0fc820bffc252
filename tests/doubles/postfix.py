"""A real Postfix of the test's own: its queue, configuration and mailboxes in one folder.

It needs root and Debian's `postfix`, listens on loopback alone, and touches nothing outside.
"""

from __future__ import annotations

import email
import email.policy
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from doubles.mail import OWNER, SENDER, authority

if TYPE_CHECKING:
    from email.message import EmailMessage

DEADLINE_S = 30.0
SIZE_MAX = 60_000
MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
message_size_limit = {size_max}
virtual_mailbox_domains = example.org
virtual_mailbox_maps = texthash:{base}/boxes
virtual_mailbox_base = {base}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
smtpd_recipient_restrictions = reject_unauth_destination,
    check_recipient_access inline:{{later@example.org=DEFER}}
smtpd_error_sleep_time = 0
smtpd_tls_security_level = may
smtpd_tls_chain_files = {base}/server.pem
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Why Postfix cannot run here; None where it can."""
    if os.geteuid() != 0:
        return "Postfix is started by root alone"
    if shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return "postfix is not installed (apt-get install postfix)"
    return None


class Postfix:
    """The server, as a context manager. It takes mail for OWNER, and later@ only later."""

    def __enter__(self) -> Self:
        self.base = Path(tempfile.mkdtemp(prefix="ord-postfix-", dir="/tmp"))
        self.base.chmod(0o755)
        self.port = _free_port()
        self._write()
        self._command("start")
        self._until(self._answers, "it answers")
        return self

    def __exit__(self, *_: object) -> None:
        self._command("stop")
        shutil.rmtree(self.base)

    def _write(self) -> None:
        uid = pwd.getpwnam("postfix").pw_uid
        config = self.base / "etc"
        for folder in (config, self.base / "queue", self.base / "data", self.base / "mail"):
            folder.mkdir()
        for folder in ("data", "mail"):
            os.chown(self.base / folder, uid, uid)
        values = {"base": self.base, "uid": uid, "port": self.port, "size_max": SIZE_MAX}
        (config / "main.cf").write_text(MAIN.format(**values))
        (config / "master.cf").write_text(MASTER.format(**values))
        (self.base / "boxes").write_text(f"{OWNER} owner/\nlater@example.org later/\n")
        authority().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            str(self.base / "server.pem")
        )

    def _command(self, verb: str) -> None:
        command = ["/usr/sbin/postfix", "-c", self.base / "etc", verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, f"{done.stderr}{self.log}"

    def _until(self, ready: Any, what: str) -> Any:
        end = time.monotonic() + DEADLINE_S
        while not (found := ready()):
            assert time.monotonic() < end, f"in {DEADLINE_S:g} s never: {what}\n{self.log}"
            time.sleep(0.02)
        return found

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as wire:
                return wire.recv(3) == b"220"
        except OSError:
            return False

    @property
    def log(self) -> str:
        path = self.base / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def destination(self) -> dict[str, Any]:
        return {
            "target": OWNER, "host": "127.0.0.1", "port": self.port, "security": "none",
            "from": SENDER, "timeout_s": 10, "archive_on": "accepted",
        }  # fmt: skip

    def delivered(self, count: int) -> list[EmailMessage]:
        """The owner's messages, in the order of arrival, once there are so many."""
        new = self.base / "mail" / "owner" / "new"

        def all_there() -> list[Path]:
            found = sorted(new.glob("*"), key=lambda path: path.stat().st_mtime_ns)
            return found if len(found) >= count else []

        paths = self._until(all_there, f"{count} messages are delivered")
        return [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in paths
        ]


def _free_port() -> int:
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        return wire.getsockname()[1]
