"""Owns how a destination's secret is found, and who else may be able to read it.

Rules: a secret is a file or stands in a file; such a file gives no permission to group and others,
except below the service manager's credentials folder; a value is never part of a message.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from ownerreportd import locate
from ownerreportd.config.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET_BYTES_MAX = 65_536


class SecretFolders(NamedTuple):
    """Where `CHANNEL.token` and its like are looked for, in this order.

    What lies below `credentials` is the service manager's, and its permissions are not asked.
    """

    places: tuple[Path, ...]
    credentials: Path | None


def secret_folders(environ: Mapping[str, str], config: Path | None, home: Path) -> SecretFolders:
    """Credentials, beside the file, the user's own folders, the system's, systemd's store.

    From the last one systemd makes the credentials of the service; who looks at the service's
    configuration without being the service, as `config check` does, finds them there.
    """
    named = environ.get("CREDENTIALS_DIRECTORY", "")
    credentials = home / named if named.startswith("/") else None
    places = [
        credentials,
        config and config.parent,
        *locate.config_homes(environ, home),
        locate.ETC,
        locate.CREDSTORE,
    ]
    return SecretFolders(tuple(dict.fromkeys(p for p in places if p)), credentials)


def look_up(
    channel: str, secret: str, folders: SecretFolders, *, optional: bool
) -> SecretStr | Mistake | None:
    """The first `CHANNEL.SECRET` among the folders; without one a mistake that lists all places.

    With `optional`, nothing is found where there is none. What the system's store keeps from us
    is not meant for us, and no mistake.
    """
    name = f"{channel}.{secret}"
    tried = []
    for folder in folders.places:
        try:
            (folder / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            tried.append(str(folder / name))
        except (OSError, ValueError) as error:
            tried.append(f"{folder / name} ({getattr(error, 'strerror', None) or error})")
        else:
            if folder == locate.CREDSTORE and not os.access(folder / name, os.R_OK):
                tried.append(f"{folder / name} (only root can read it)")
                continue
            return read_secret(folder / name, folders)
    text = f"no {secret} for channel {channel}; looked for {', '.join(tried)}"
    ours = next(place for place in folders.places if place != folders.credentials)
    hint = f"put it into {ours / name} (mode 600), or set {secret}_file"
    return None if optional else Mistake(text, hint)


def read_secret(path: Path, folders: SecretFolders) -> SecretStr | Mistake:
    """What the file holds, without its trailing line break."""
    try:
        with path.open("rb") as file:
            wrong = _too_open(path, os.fstat(file.fileno()).st_mode, folders)
            data = b"" if wrong else file.read(SECRET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return Mistake(f"{path}: cannot be read: {why}", f"ls -l {path}")
    return wrong or _decoded(path, data)


def _decoded(path: Path, data: bytes) -> SecretStr | Mistake:
    if len(data) > SECRET_BYTES_MAX:
        return Mistake(f"{path}: larger than {SECRET_BYTES_MAX} bytes, so no secret")
    try:
        value = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return Mistake(f"{path}: not UTF-8")
    return SecretStr(value) if value.strip() else Mistake(f"{path}: is empty")


def private(path: Path, folders: SecretFolders) -> Mistake | None:
    """What is wrong with a file that holds a secret; None where nobody else can read it."""
    try:
        return _too_open(path, path.stat().st_mode, folders)
    except OSError:  # gone since it was read: nobody can read it
        return None


def _too_open(path: Path, mode: int, folders: SecretFolders) -> Mistake | None:
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or _is_credential(path, folders.credentials):
        return None
    command = f"chmod 600 {path}"
    text = f"{path}: holds a secret, and its mode {stat.S_IMODE(mode):04o} lets others in"
    return Mistake(f"{text}; run: {command}", command)


def _is_credential(path: Path, credentials: Path | None) -> bool:
    return credentials is not None and path.resolve().is_relative_to(credentials.resolve())
