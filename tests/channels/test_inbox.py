"""The Maildir: whole, once, durable, and honest about the disk."""

import asyncio
import errno
import mailbox
import os
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from blockbuster import blockbuster_ctx

from ownerreportd import fsio
from ownerreportd.channels.inbox import InboxChannel
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Unknown,
)
from ownerreportd.core.report import Report
from ownerreportd.render.dialects import MARKDOWN
from ownerreportd.render.parts import render_parts

KEY = "abcdefghijklmnopqrstuvwx"
NAME = f"{KEY}.ownerreportd"
SINCE = datetime(2026, 11, 22, tzinfo=UTC)
NOBODY = frozenset()


def run(call):
    """One call in a loop of its own, in which nothing may block; the tests' own looks may."""

    async def guarded():
        with blockbuster_ctx():
            return await call

    return asyncio.run(guarded())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool" / "inbox"


@pytest.fixture
def channel(folder):
    return make(folder)


def make(folder):
    return InboxChannel(
        name="inbox",
        target=str(folder),
        options=InboxChannel.Options(),
        secrets={},
        language="en",
        timeout_s=5,
    )


def rendered(channel, body="All is **well**.\n", key=KEY, **fields):
    (part,) = channel.render(Report("r1", body, **fields))
    return Part(1, 1, part.plain, part.marked, key)


def parsed(path):
    return message_from_bytes(path.read_bytes(), policy=policy.default)


def test_a_report_becomes_one_mail_that_the_standard_library_reads(folder, channel):
    sent = rendered(
        channel,
        title="進度 \N{ROCKET}",
        worker="alice",
        created="2026-11-22T18:54:00+08:00",
    )
    assert run(channel.send(sent)) == Confirmed(Receipt(KEY))
    (mail,) = mailbox.Maildir(folder, create=False)
    message = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert message["Subject"] == "進度 \N{ROCKET}"
    assert message["From"].addresses[0].display_name == "alice"
    assert message["Date"].datetime.isoformat() == "2026-11-22T18:54:00+08:00"
    assert message["Message-ID"] == f"<{KEY}@ownerreportd.localhost>"
    assert message["X-Report-Id"] == "r1"
    assert message.get_content_type() == "text/plain"
    assert "All is **well**." in message.get_content()
    assert message.defects == []


@pytest.mark.parametrize(
    "body",
    [
        "no line end",
        "one\n",
        "\n\nblank lines\n\n\n",
        "x" * 5000,
        "文" * 3000,
        "From me\n.\nFrom you\n",
        "Subject: not a header\n\nbody",
        "a\rb\x0bc\x0cd\x1ce\u2028f",
        "\N{FAMILY}" * 400,
        "a" * 998 + "\n" + "b" * 999,
    ],
)
def test_the_text_comes_back_byte_for_byte(folder, channel, body):
    report = Report("r1", body)
    (text,) = render_parts(report, text_max=None, unit="code_points", dialect=MARKDOWN)
    run(channel.send(rendered(channel, body)))
    message = message_from_bytes((folder / "new" / NAME).read_bytes())
    assert message.get_payload(decode=True) == text.plain


@pytest.mark.parametrize(
    ("fields", "body", "subject"),
    [
        ({"title": "two\nlines \x00 "}, "x", "two lines"),
        ({"task_id": "job-7"}, "x", "job-7"),
        ({}, "\n\n## First *line*\n\nmore", "First *line*"),
        ({}, "\u200b\n \n", "Report"),
        ({"title": "t" * 500}, "x", "t" * 200),
    ],
)
def test_the_subject_is_one_line_from_what_is_there(folder, channel, fields, body, subject):
    run(channel.send(rendered(channel, body, **fields)))
    assert parsed(folder / "new" / NAME)["Subject"] == subject


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-01", "2026-02-30"])
def test_without_a_usable_date_it_is_the_day_of_delivery_and_not_frozen(folder, channel, created):
    part = rendered(channel, created=created)
    assert b"\nDate:" not in part.plain
    run(channel.send(part))
    day = parsed(folder / "new" / NAME)["Date"].datetime
    assert abs(time.time() - day.timestamp()) < 120


def test_a_worker_with_an_odd_name_does_not_break_the_header(folder, channel):
    run(channel.send(rendered(channel, worker='a "b" <c@d>, é\r\nBcc: x')))
    message = parsed(folder / "new" / NAME)
    assert message["From"].addresses[0].display_name == 'a "b" <c@d>, é Bcc: x'
    assert message["Bcc"] is None


def test_rendering_twice_gives_the_same_bytes(tmp_path):
    assert rendered(make(tmp_path / "a")) == rendered(make(tmp_path / "b"))


def test_a_repeat_finds_the_message_and_leaves_it(folder, channel):
    part = rendered(channel)
    run(channel.send(part))
    before = (folder / "new" / NAME).stat()
    assert run(channel.send(part.as_form("marked"))) == Confirmed(Receipt(KEY))
    assert (folder / "new" / NAME).stat() == before
    assert os.listdir(folder / "new") == [NAME]


@pytest.mark.parametrize("read_as", ["new/" + NAME + ":2,", "cur/" + NAME + ":2,RS", "cur/" + NAME])
def test_a_message_that_was_read_is_still_found(folder, channel, read_as):
    part = rendered(channel)
    run(channel.send(part))
    (folder / "new" / NAME).rename(folder / read_as)
    assert run(channel.send(part)) == Confirmed(Receipt(KEY))
    assert run(channel.look(part, SINCE, NOBODY)) == Found(Receipt(KEY))
    assert len(mailbox.Maildir(folder, create=False)) == 1


def test_looking_before_anything_was_delivered_finds_nothing(folder, channel):
    assert isinstance(run(channel.look(rendered(channel), SINCE, NOBODY)), Absent)
    run(channel.send(rendered(channel)))
    other = rendered(channel, key="b" * 24)
    assert isinstance(run(channel.look(other, SINCE, NOBODY)), Absent)


def test_what_a_crash_left_in_tmp_is_replaced(folder, channel):
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / NAME).write_bytes(b"half")
    part = rendered(channel)
    assert isinstance(run(channel.send(part)), Confirmed)
    assert (folder / "new" / NAME).read_bytes().endswith(part.plain)
    assert os.listdir(folder / "tmp") == []


def test_the_folders_and_files_are_the_owners_alone(folder, channel):
    run(channel.send(rendered(channel)))
    assert (folder / "new").stat().st_mode & 0o777 == 0o700
    assert (folder / "new" / NAME).stat().st_mode & 0o777 == 0o600


def failing(number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NotSent),
        (errno.EDQUOT, NotSent),
        (errno.EMFILE, NotSent),
        (errno.EIO, InDoubt),
        (errno.EACCES, Rejected),
        (errno.EROFS, Rejected),
    ],
)
def test_a_failing_disk_is_told_by_its_error(folder, channel, monkeypatch, number, expected):
    monkeypatch.setattr(fsio, "write_new", failing(number))
    outcome = run(channel.send(rendered(channel)))
    assert isinstance(outcome, expected)
    assert os.listdir(folder / "new") == []
    if isinstance(outcome, Rejected):
        assert outcome.code == f"inbox.{errno.errorcode[number]}"
        assert outcome.scope == "config"


def test_a_full_disk_says_so(channel, monkeypatch):
    monkeypatch.setattr(fsio, "write_new", failing(errno.ENOSPC))
    assert run(channel.send(rendered(channel))).detail.startswith("disk full")


def test_a_move_that_may_not_survive_is_in_doubt_and_the_repeat_settles_it(
    folder, channel, monkeypatch
):
    part = rendered(channel)
    with monkeypatch.context() as broken:
        move = fsio.rename_noreplace

        def moved_but_not_surely(*args):
            move(*args)
            raise fsio.FsyncError(errno.EIO, "fsync: Input/output error")

        broken.setattr(fsio, "move", moved_but_not_surely)
        assert isinstance(run(channel.send(part)), InDoubt)
    assert run(channel.send(part)) == Confirmed(Receipt(KEY))
    assert os.listdir(folder / "new") == [NAME]


def test_a_repeat_that_cannot_be_made_durable_is_in_doubt(channel, monkeypatch):
    part = rendered(channel)
    run(channel.send(part))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    assert isinstance(run(channel.send(part)), InDoubt)


def test_a_move_that_failed_leaves_nothing_delivered(folder, channel, monkeypatch):
    monkeypatch.setattr(fsio, "move", failing(errno.ENOSPC))
    assert isinstance(run(channel.send(rendered(channel))), NotSent)
    assert os.listdir(folder / "new") == []


def test_a_file_in_the_folders_place_is_the_configurations_fault(folder, channel):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    outcome = run(channel.send(rendered(channel)))
    assert isinstance(outcome, Rejected)
    assert outcome.scope == "config"
    assert [p.code for p in run(channel.check())] == ["inbox.not_writable"]
    assert isinstance(run(channel.look(rendered(channel), SINCE, NOBODY)), Unknown)


def test_check_writes_nothing(folder, channel):
    assert run(channel.check()) == []
    assert not folder.exists()


@pytest.mark.parametrize("target", ["", "inbox", "./x", "~nobody-of-that-name/x", "/a\0b"])
def test_a_target_must_be_an_absolute_path(target):
    with pytest.raises(ConfigError) as caught:
        InboxChannel.check_target(target)
    assert repr(target) in str(caught.value)


def test_a_target_is_normalised(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    assert InboxChannel.check_target("~/mail/../inbox/") == "/home/alice/inbox"
