"""Owns where things are: the configuration file, the spool root, and the socket.

Rules: only `os` and `tomllib`, since the fast verbs start with it; and `config` asks here too, so
that both give the same answers. Flag, then environment, then file, then default.
"""

from __future__ import annotations

import os
import pwd
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ownerreportd.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

ETC = Path("/etc/ownerreportd")
CREDSTORE = Path("/etc/credstore")
RUN = Path("/run")
FILE_NAME = "config.toml"
ROOT_DEFAULT = "~/.clawteam/owner-reports"
FILE_BYTES_MAX = 262_144
SOCKET_BYTES_MAX = 107  # sun_path has 108 bytes, the last of which is NUL: unix(7)
HINT = "correct it; config.example.toml explains every key"
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def home_of(environ: Mapping[str, str]) -> Path:
    """`$HOME` if it is absolute, else what the user database says, else `/`."""
    named = environ.get("HOME", "")
    if named.startswith("/"):
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's user id without an entry
        return Path("/")


def absolute(text: str, *, base: Path, home: Path) -> Path:
    """The path with `~` expanded, relative ones counted from `base`.

    Raises:
        ValueError: if it is empty, holds a NUL character, or names an unknown user's home.
    """
    if not text:
        raise ValueError("a path must not be empty")
    if "\0" in text:
        raise ValueError("a path must not hold a NUL character")
    user, slash, rest = text.partition("/")
    if user == "~":
        text = str(home) + slash + rest
    elif user.startswith("~"):
        text = _home_of_user(user[1:]) + slash + rest
    path = base / text
    return path if path.is_absolute() else Path.cwd() / path


def _home_of_user(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        raise ValueError(f"there is no user {user!r} here") from None


def config_homes(environ: Mapping[str, str], home: Path) -> list[Path]:
    """The user's own folders for configuration: by XDG first, then `~/.config`; never twice."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    usual = home / ".config" / "ownerreportd"
    if not xdg.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return [usual]
    return list(dict.fromkeys([Path(xdg) / "ownerreportd", usual]))


def new_config(environ: Mapping[str, str], named: str | None = None) -> Path:
    """Where a first configuration goes: what `--config` or the environment names, else the user's.

    Raises:
        ConfigError: if what is named is no path.
    """
    home = home_of(environ)
    named = named or environ.get("OWNERREPORTD_CONFIG")
    if not named:
        return config_homes(environ, home)[0] / FILE_NAME
    try:
        return absolute(named, base=Path(), home=home)
    except ValueError as error:
        raise ConfigError(f"{named!r}: {error}", hint=HINT) from None


def find_config(
    environ: Mapping[str, str], named: str | None = None, *, home: Path | None = None
) -> Path | None:
    """The configuration file that counts, absolute; None where there is none.

    `named` is the one of `--config`. Raises:
        ConfigError: if a named file does not exist, or nobody can tell whether one exists.
    """
    home = home or home_of(environ)
    if named:
        return _named_config(named, "--config", home)
    if environ.get("OWNERREPORTD_CONFIG"):
        return _named_config(environ["OWNERREPORTD_CONFIG"], "OWNERREPORTD_CONFIG", home)
    folders = [Path(f) for f in environ.get("CONFIGURATION_DIRECTORY", "").split(":") if f]
    folders += [config_homes(environ, home)[0], ETC]
    candidates = (folder / FILE_NAME for folder in folders)
    return next((path for path in candidates if _exists(path)), None)


def _named_config(name: str, origin: str, home: Path) -> Path:
    try:
        path = absolute(name, base=Path(), home=home)
    except ValueError as error:
        raise ConfigError(f"{origin} = {name!r}: {error}", hint=HINT) from None
    if not _exists(path):
        raise ConfigError(
            f"{origin} names {path}, which does not exist",
            hint="name an existing file, or make one: ownerreportd init",
        )
    return path


def _exists(path: Path) -> bool:
    """Whether something has this name; a broken link has, and is found out when it is read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be looked at: {_why(error)}", hint=HINT) from None
    return True


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """The file's text and what it says.

    Raises:
        ConfigError: if it cannot be read, is no UTF-8, too large, or no TOML.
    """
    text = _decoded(path, _read(path))
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply", hint=f"edit {path}") from None
    except ValueError as error:  # tomllib's own error is one; so is that of a number too long
        raise ConfigError(
            f"{path}{_line(str(error), text)}: not valid TOML: {error}", hint=f"edit {path}"
        ) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {_why(error)}", hint=f"ls -l {path}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {FILE_BYTES_MAX} bytes", hint=f"ls -l {path}")
    return data


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8", hint=f"edit {path}") from None


def _line(message: str, text: str) -> str:
    match = _AT_LINE.search(message)
    if match:
        return f":{match[1]}"
    return f":{text.count(chr(10)) + 1}" if "end of document" in message else ""


def _setting(
    environ: Mapping[str, str], config_path: Path | None, flag: str | None, key: tuple[str, str]
) -> tuple[str | None, str, Path]:
    """The value of one text setting, where it stands, and what relative paths count from."""
    section, name = key
    variable = f"OWNERREPORTD_{section.upper()}__{name.upper()}"
    if flag is not None:
        return flag, "command line", Path()
    if variable in environ:
        return environ[variable], f"environment {variable}", Path()
    if config_path is None:
        return None, "default", Path()
    value = _in_file(config_path, section, name)
    return value, str(config_path), config_path.parent


def _in_file(config_path: Path, section: str, name: str) -> str | None:
    table = read_config(config_path)[1].get(section, {})
    value = table.get(name) if isinstance(table, dict) else table
    if value is not None and not (isinstance(table, dict) and isinstance(value, str)):
        raise ConfigError(f"{config_path}: {section}.{name} must be text", hint=HINT)
    return value


def _path_setting(
    environ: Mapping[str, str], config_path: Path | None, flag: str | None, key: tuple[str, str]
) -> Path | None:
    text, origin, base = _setting(environ, config_path, flag, key)
    if text is None or (key == ("socket", "path") and not text):
        return None
    try:
        return absolute(text, base=base, home=home_of(environ))
    except ValueError as error:
        place = f"{origin}: {'.'.join(key)} = {text!r}"
        raise ConfigError(f"{place}: {error}", hint=HINT) from None


def spool_root(
    environ: Mapping[str, str], config_path: Path | None = None, flag: str | None = None
) -> Path:
    """The spool's root, absolute. It need not exist.

    Raises:
        ConfigError: if the file cannot be read or the value is no path.
    """
    root = _path_setting(environ, config_path, flag, ("spool", "root"))
    home = home_of(environ)
    return root or absolute(ROOT_DEFAULT, base=home, home=home)


def socket_setting(
    environ: Mapping[str, str], config_path: Path | None = None, flag: str | None = None
) -> Path | None:
    """`[socket] path`, absolute; None where it is not set.

    Raises:
        ConfigError: if it is no path, or longer than the kernel takes.
    """
    path = _path_setting(environ, config_path, flag, ("socket", "path"))
    if path is not None and not fits_a_socket(path):
        raise _too_long(path)
    return path


def fits_a_socket(path: Path) -> bool:
    """Whether the kernel takes a path of that length for a Unix socket."""
    return len(os.fsencode(path)) <= SOCKET_BYTES_MAX


def _too_long(path: Path) -> ConfigError:
    return ConfigError(
        f"the socket's path {path} has {len(os.fsencode(path))} bytes;"
        f" a Unix socket takes {SOCKET_BYTES_MAX}",
        hint="set a shorter [socket] path",
    )


def socket_candidates(
    environ: Mapping[str, str],
    *,
    config_path: Path | None = None,
    socket_flag: str | None = None,
    spool_flag: str | None = None,
) -> list[Path]:
    """Where a client tries to find the daemon, in this order, never twice.

    Raises:
        ConfigError: if `[socket] path` or `[spool] root` is wrong.
    """
    state = spool_root(environ, config_path, spool_flag) / "state"
    tried = [
        socket_setting(environ, config_path, socket_flag),
        _written_path(state / "api.path"),
        RUN / "user" / str(os.getuid()) / "ownerreportd" / "api.sock",
        RUN / "ownerreportd" / "api.sock",
        state / "api.sock",
    ]
    return list(dict.fromkeys(path for path in tried if path and fits_a_socket(path)))


def _written_path(file: Path) -> Path | None:
    """The socket that the daemon of this spool said it bound; None where it said nothing."""
    try:
        name = file.read_bytes().removesuffix(b"\n")
    except (OSError, ValueError):
        return None
    return Path(os.fsdecode(name)) if name.startswith(b"/") and b"\0" not in name else None


def socket_to_bind(
    environ: Mapping[str, str],
    *,
    config_path: Path | None = None,
    socket_flag: str | None = None,
    spool_flag: str | None = None,
) -> Path:
    """Where a daemon without a descriptor from systemd binds its socket.

    Raises:
        ConfigError: if a setting is wrong, or the path is longer than the kernel takes.
    """
    path = (
        socket_setting(environ, config_path, socket_flag)
        or _below(environ.get("RUNTIME_DIRECTORY", "").partition(":")[0], "api.sock")
        or _below(environ.get("XDG_RUNTIME_DIR", ""), "ownerreportd/api.sock")
        or spool_root(environ, config_path, spool_flag) / "state" / "api.sock"
    )
    if not fits_a_socket(path):
        raise _too_long(path)
    return path


def _below(folder: str, name: str) -> Path | None:
    return Path(folder) / name if folder.startswith("/") else None
