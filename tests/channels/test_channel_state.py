"""What a channel keeps is on the disk, bounded, and no worse than empty when it is damaged."""

import os
import stat

import pytest

from ownerreportd.channels.state import VALUES_MAX, FileState, MemoryState

NAMES = ("owner", "telegram", "-1")


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_a_value_is_had_again_changed_and_forgotten(state_dir, no_blocking, kind):
    state = FileState(state_dir, *NAMES) if kind == "file" else MemoryState()
    assert await state.get("a") == ""
    await state.put("a", "1")
    await state.put("b", "2")
    await state.put("a", "3")
    assert (await state.get("a"), await state.get("b")) == ("3", "2")
    await state.put("a", "")
    assert await state.get("a") == ""


async def test_another_process_has_it_and_another_destination_has_not(state_dir):
    await FileState(state_dir, *NAMES).put("chat", "-100")
    assert await FileState(state_dir, *NAMES).get("chat") == "-100"
    assert await FileState(state_dir, "phone", *NAMES[1:]).get("chat") == ""


async def test_nothing_is_made_before_there_is_something_to_keep(state_dir):
    assert await FileState(state_dir, *NAMES).get("chat") == ""
    assert not state_dir.exists()


async def test_the_file_is_ours_alone_and_leaves_no_draft(state_dir):
    state = FileState(state_dir, *NAMES)
    await state.put("a", "1")
    (file,) = (state_dir / "channels").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (state_dir / "channels" / f".{file.name}").write_text("a crash left this")
    await state.put("a", "2")
    assert os.listdir(state_dir / "channels") == [file.name]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff"])
async def test_a_damaged_file_is_an_empty_one(state_dir, content):
    state = FileState(state_dir, *NAMES)
    await state.put("a", "1")
    (file,) = (state_dir / "channels").iterdir()
    file.write_bytes(content)
    assert await state.get("a") == ""
    await state.put("b", "2")
    assert await state.get("b") == "2"


async def test_what_was_put_first_is_forgotten_first():
    state = MemoryState()
    for number in range(VALUES_MAX + 1):
        await state.put(str(number), "x")
        await state.put("kept", "y")
    assert await state.get("0") == ""
    assert await state.get(str(VALUES_MAX)) == "x"
    assert await state.get("kept") == "y"


async def test_a_disk_that_takes_nothing_is_told(tmp_path):
    (tmp_path / "state").write_text("a file in the folder's place")
    with pytest.raises(OSError, match="state"):
        await FileState(tmp_path / "state", *NAMES).put("a", "1")
