"""Owns who may ask for what: the peer's credentials, its role, and requests that no tool sends.

Rule: the kernel says who calls; nothing in a request can change it.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from starlette.exceptions import HTTPException

from ownerreportd.api.daemon import Caller
from ownerreportd.core.errors import NotAllowedError

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

Role: TypeAlias = Literal["operator", "submitter", "stranger"]

_SO_PEERGROUPS = 59  # Linux 4.13; Python's socket module has no name for it
_GROUPS_BYTES_MAX = 1024  # the most that getsockopt takes; 256 groups
_UCRED = struct.Struct("iII")
_HOSTS = frozenset({"", "localhost", "ownerreportd"})
_PORT = re.compile(r":\d*\Z")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected, with every group that its process has."""

    caller: Caller
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Access:
    """The rule of who may what: own uid and root everything, members of one group may submit."""

    own_uid: int
    submit_gid: int | None = None

    def role(self, peer: Peer) -> Role:
        """What the peer may: everything, submit and read its own, or nothing."""
        if peer.caller.uid in (0, self.own_uid):
            return "operator"
        if self.submit_gid is not None and self.submit_gid in peer.groups:
            return "submitter"
        return "stranger"


def peer_of(sock: socket.socket) -> Peer:
    """The process at the other end, as it was when it connected (SO_PEERCRED, unix(7))."""
    pid, uid, gid = _UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return Peer(Caller(pid, uid, gid), _supplementary(sock) | {gid})


def _supplementary(sock: socket.socket) -> frozenset[int]:
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError:
        return frozenset()  # an old kernel, or more groups: the primary one has to do
    return frozenset(gid for (gid,) in struct.iter_unpack("I", raw))


def refuse_browsers(headers: Headers) -> None:
    """Let nothing pass that a web page could have made a browser or a proxy send.

    Raises:
        NotAllowedError: if the request names an origin or a referring page.
        HTTPException: 421 if it is meant for another host.
    """
    for name in ("origin", "referer"):
        if name in headers:
            raise NotAllowedError(
                f"requests with the header {name.title()} are refused",
                hint="ask with the command line or curl, not from a web page",
            )
    host = headers.get("host", "")
    if _PORT.sub("", host).lower() not in _HOSTS:
        raise HTTPException(421, f"this socket does not serve the host {host!r}")


def caller_of(request: Request) -> Caller:
    """The process that sent the request."""
    peer: Peer = request.state.peer
    return peer.caller


def role_of(request: Request) -> Role:
    """What the request's sender may."""
    access: Access = request.app.state.access
    return access.role(request.state.peer)


def require(request: Request, *, submitter_may: bool) -> None:
    """Let only those pass who may use the route.

    Raises:
        NotAllowedError: if the caller may not.
    """
    role = role_of(request)
    if role == "operator" or (role == "submitter" and submitter_may):
        return
    hint = (
        "members of submit_group may submit and read their own reports; ask the daemon's user"
        if role == "submitter"
        else "ask as the daemon's user or root, or join the group of [socket] submit_group"
    )
    raise NotAllowedError(f"{caller_of(request)} may not do that", hint=hint)
