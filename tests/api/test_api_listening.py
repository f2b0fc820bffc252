"""The socket's file: its mode, a stale one, a living one, one that was taken away."""

import grp
import os
import socket
import stat
import threading

import pytest

from ownerreportd.api.listening import adopt_socket, bind_socket, group_id
from ownerreportd.core.errors import ConfigError, SpoolHeldError


@pytest.fixture
def bound(path):
    made = bind_socket(path)
    yield made
    made.remove()


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_the_socket_is_for_its_owner_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        bound = bind_socket(path)
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    bound.remove()


def test_no_instant_has_a_wider_mode(path):
    path.parent.mkdir()
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            try:
                seen.add(mode(path))
            except FileNotFoundError:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.umask(0)
    for _ in range(200):
        bind_socket(path).remove()
    os.umask(before)
    stop.set()
    watcher.join()
    assert seen <= {0o600}


def test_a_group_gets_the_socket_and_may_reach_it(path):
    name = grp.getgrgid(os.getgid()).gr_name
    bound = bind_socket(path, group=name)
    assert (mode(path), os.lstat(path).st_gid) == (0o660, os.getgid())
    assert mode(path.parent) == 0o710
    bound.remove()


def test_an_existing_folder_keeps_its_mode(path):
    path.parent.mkdir(mode=0o755)
    before = mode(path.parent)
    bind_socket(path).remove()
    assert mode(path.parent) == before


def test_an_unknown_group_is_a_configuration_error(path):
    with pytest.raises(ConfigError, match="no-such-group"):
        bind_socket(path, group="no-such-group")
    with pytest.raises(ConfigError):
        group_id("")


def test_a_path_over_107_bytes_is_a_configuration_error(tmp_path):
    name = "報" * 40
    with pytest.raises(ConfigError, match="at most 107"):
        bind_socket(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_stale_socket_is_replaced(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bound = bind_socket(path)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    bound.remove()


def test_a_living_socket_is_never_taken_over(path, bound):
    with pytest.raises(SpoolHeldError, match="another process answers") as caught:
        bind_socket(path)
    assert str(path) in str(caught.value)
    assert bound.place() == "ours"


def test_a_living_socket_with_a_full_backlog_is_alive(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(str(path))
        with pytest.raises(SpoolHeldError):
            bind_socket(path)
        for caller in callers:
            caller.close()


def test_what_is_no_socket_is_left_alone(path):
    path.parent.mkdir()
    path.write_text("a file")
    with pytest.raises(SpoolHeldError, match="no socket"):
        bind_socket(path)
    assert path.read_text() == "a file"


def test_a_place_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolHeldError, match="cannot bind"):
        bind_socket(tmp_path / "file" / "api.sock")


def test_a_removed_socket_is_noticed(path, bound):
    assert bound.place() == "ours"
    path.unlink()
    assert bound.place() == "removed"


def test_a_socket_that_was_taken_over_is_noticed_and_not_removed(path, bound):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        assert bound.place() == "taken_over"
        bound.remove()
        assert path.exists()


def test_a_removed_folder_is_a_removed_socket(path, bound):
    path.unlink()
    path.parent.rmdir()
    assert bound.place() == "removed"


def test_a_passed_descriptor_is_used_and_its_file_left(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(path))
        passed.listen()
        adopted = adopt_socket(passed)
        assert (adopted.place(), adopted.path) == ("ours", path)
        adopted.remove()
        assert path.exists()


def test_a_passed_descriptor_of_another_kind_is_refused():
    with socket.socket(socket.AF_INET) as passed, pytest.raises(ConfigError):
        adopt_socket(passed)
    left, right = socket.socketpair()
    with left, right, pytest.raises(ConfigError):
        adopt_socket(left)
