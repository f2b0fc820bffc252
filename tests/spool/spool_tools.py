"""What the spool's tests share: disks that fail, and files as others write them."""

import contextlib
import os
import resource
import signal
import warnings

OLD = 1_700_000_000
HOSTILE = os.path.join(os.path.dirname(__file__), "..", "data", "make_hostile.py")


def drop(folder, name, data=b"text", at=OLD):
    """Put a finished file there, as `mv` does; its name in bytes."""
    name = os.fsencode(name)
    path = os.path.join(os.fsencode(folder), name)
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, (at, at))
    return name


@contextlib.contextmanager
def file_size_max(size):
    """A disk that refuses what is longer: write(2) fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def as_nobody(folder, act):
    """What `act` answers, or what it raised, as text: in that folder, as a user without rights."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests left threads behind
        pid = os.fork()
    if not pid:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            answer = str(act())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent wants to know
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text
