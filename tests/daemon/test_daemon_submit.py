"""Reports that are handed over through the daemon, and what is asked about them."""

import anyio
import pytest
from daemon_house import Owner

from ownerreportd.core.errors import (
    IdConflictError,
    InvalidReportError,
    NotFoundError,
    StorageError,
    UsageError,
)
from ownerreportd.core.outcome import Rejected
from ownerreportd.ledger.views import Wanted
from ownerreportd.spool import submit

REFUSED = Rejected("c", "report", "too odd", "shorten it")


async def test_a_submitted_report_is_on_the_disk_numbered_and_delivered_at_once(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        answer = await here.submit("---\nteam: T\ntask_id: x-1\n---\ntext\n")
        report = await here.desk.wait(answer["id"], timeout_s=10)
    assert (answer["created"], answer["state"], answer["position"]) == (True, "waiting", 1)
    assert f"-T-x-1-{answer['id']}.md" in answer["name"]
    assert (report["state"], report["id"]) == ("sent", answer["id"])
    assert report["submitted_by"] == "uid 0 pid 1"
    assert report["sha256"] == answer["sha256"]


async def test_the_same_id_with_the_same_bytes_is_no_second_report(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        first = await here.submit("text", "my-key")
        again = await here.submit("text", "my-key")
        await here.delivered()
        later = await here.submit("text", "my-key")
    assert (first["created"], again["created"], later["created"]) == (True, False, False)
    assert (later["state"], later["name"]) == ("sent", first["name"])
    assert owner.texts == ["text"]


async def test_the_same_id_with_other_bytes_is_a_conflict(house):
    here = house({"owner": Owner(REFUSED)})
    async with here.running():
        await here.submit("text", "my-key")
        with pytest.raises(IdConflictError, match="other bytes"):
            await here.submit("other", "my-key")


async def test_an_id_that_lies_unread_in_the_queue_is_known(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    for number in range(30):
        here.drop(f"{number:02}.md", "x")
    async with here.running():
        await here.until(lambda: here.code == "report")
        submit(here.root, b"text", report_id="my-key")
        await here.scanned()
        assert (await here.submit("text", "my-key"))["created"] is False
        with pytest.raises(IdConflictError):
            await here.submit("other", "my-key")


async def test_two_submissions_without_a_daemon_are_one_report_or_a_told_conflict(house):
    owner = Owner()
    here = house({"owner": owner})
    for text in (b"text", b"text", b"other"):
        submit(here.root, text, report_id="my-key")
    async with here.running():
        await here.delivered()
        await here.until(lambda: "waiting" not in here.states().values())
    assert owner.texts == ["text", "other"]
    assert {"report.duplicate", "report.id_conflict"} <= set(here.kinds())
    ids = [row[0] for row in here.rows("SELECT id FROM reports ORDER BY seq")]
    assert ids[0] == "my-key"
    assert len(set(ids)) == 2
    assert here.rows("SELECT name, value FROM totals WHERE name IN ('sent', 'waiting')") == [
        ("sent", 2), ("waiting", 0),
    ]  # fmt: skip


async def test_a_dropped_file_is_never_taken_for_a_duplicate(house):
    owner = Owner()
    here = house({"owner": owner})
    text = "---\nid: copied-example\n---\nthe same\n"
    here.drop("a.md", text)
    here.drop("b.md", text)
    async with here.running():
        await here.delivered()
    assert len(owner.texts) == 2
    assert "report.id_conflict" in here.kinds()


async def test_a_report_put_back_into_pending_by_hand_is_another_report(house):
    class Signed(Owner):
        def render(self, report):
            self.heard()
            return super().render(report.__class__(id=report.id, body=report.id))

    owner = Signed()
    here = house({"owner": owner})
    here.drop("a.md", "text")
    async with here.running():
        await here.delivered()
        (here.root / "sent" / "a.md").rename(here.root / "pending" / "a.md")
        here.engine.nudge()
        await here.until(lambda: list(here.states().values()) == ["sent"] and owner.sent[1:] != [])
        await here.until(lambda: here.names("sent") == ["a.md"])
        ids = [row[0] for row in here.rows("SELECT id FROM reports ORDER BY seq")]
    assert owner.texts == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("text", "why"), [("", "empty"), (" \n", "white space"), ("a\0b", "NUL"), ("x" * 2000, "bytes")]
)
async def test_what_is_no_report_is_refused_and_leaves_nothing(house, text, why):
    here = house(report_bytes_max=1000)
    async with here.running():
        with pytest.raises(InvalidReportError, match=why):
            await here.submit(text)
    assert here.names("pending") == []


async def test_an_unknown_destination_is_an_error_for_who_submits(house):
    here = house()
    async with here.running():
        with pytest.raises(InvalidReportError, match="unknown destination 'nobody'"):
            await here.submit("---\nto: nobody\n---\ntext\n")


async def test_a_disk_that_refuses_a_submit_is_a_storage_error(house):
    here = house()
    async with here.running():
        (here.root / "tmp").rmdir()
        (here.root / "tmp").write_text("no folder")
        with pytest.raises(StorageError, match="cannot write to the spool"):
            await here.submit("text")
    (here.root / "tmp").unlink()


async def test_wait_ends_at_its_time_with_the_state_so_far(house):
    here = house({"owner": Owner(REFUSED)})
    async with here.running():
        answer = await here.submit("text")
        await here.until(lambda: here.code == "report")
        report = await here.desk.wait(answer["id"], timeout_s=0.01)
        assert report["state"] == "blocked"
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(here.skip, answer["id"])
                report = await here.desk.wait(answer["id"], timeout_s=10)
    assert report["state"] == "held"


async def test_reports_are_listed_in_order_by_state(house):
    here = house({"owner": Owner(REFUSED)})
    for name in ("a.md", "b.md", "c.md"):
        here.drop(name, name)
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("b.md")

        async def names(state, after=0, limit=10):
            found = await here.desk.reports(Wanted(state), limit=limit, after=after)
            return [report["name"] for report in found]

        assert await names(None) == ["a.md", "b.md", "c.md"]
        assert await names("waiting") == ["a.md", "c.md"]
        assert await names("blocked") == ["a.md"]
        assert await names("held") == ["b.md"]
        assert await names(None, after=1, limit=1) == ["b.md"]


async def test_a_report_is_found_by_id_prefix_name_and_head(house):
    here = house({"owner": Owner(REFUSED)})
    async with here.running():
        first = await here.submit("one", "abcd-first")
        await here.submit("two", "abcd-second")
        await here.until(lambda: here.code == "report")
        for ref in ("abcd-first", "abcd-f", first["name"], "head"):
            assert (await here.desk.report(ref))["id"] == "abcd-first"
        with pytest.raises(UsageError, match="several reports"):
            await here.desk.report("abcd")
        for ref in ("abc", "zzzz", "\udcff\udcfe.md", "\ud800", "x\U0010ffff" * 4):
            with pytest.raises(NotFoundError):
                await here.desk.report(ref)
