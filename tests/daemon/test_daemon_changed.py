"""A report that is edited, in each of its states; and what `retry` makes of it."""

import os

from daemon_house import BLIND, SMALL, Owner

from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected, Throttled
from ownerreportd.testing import Accepts

REFUSED = Rejected("c", "report", "too odd", "shorten it")


def rewrite(path, text):
    """As editors do: another file takes the name."""
    fresh = path.with_name(".swap")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


async def test_an_edit_before_it_is_admitted_or_frozen_is_simply_what_is_sent(house):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    await here.engine.start()
    path.write_text("new", encoding="utf-8")
    await here.engine.intake.scan()
    rewrite(path, "newer")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["newer"]


async def test_an_edit_after_it_was_frozen_is_frozen_anew_and_keeps_its_id_and_place(house):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    here.drop("b.md", "second")
    await here.engine.start()
    await here.scanned()
    before = await here.desk.report("a.md")
    rewrite(path, "new")
    async with here.running():
        await here.delivered()
        after = await here.desk.report("a.md")
    assert owner.texts == ["new", "second"]
    assert (before["id"], before["seq"]) == (after["id"], after["seq"])


async def test_an_edit_after_a_doubtful_attempt_says_that_it_is_a_corrected_version(house):
    owner = Owner(Accepts(InDoubt("cut")), can=BLIND)
    here = house({"owner": owner}, backoff_s=60)
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        rewrite(path, "new")
        here.pass_time(61)
        await here.until(lambda: here.code == "changed")
        await here.retry("head")
        await here.delivered()
    assert owner.texts == ["old", "Corrected version\nnew"]


async def test_an_edit_between_two_attempts_blocks_and_says_what_helps(house):
    owner = Owner(NotSent("no route"))
    here = house({"owner": owner}, backoff_s=60)
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        rewrite(path, "new")
        here.pass_time(61)
        await here.until(lambda: here.code == "changed")
        status = await here.desk.status()
        assert "edited" in status["reason"]
        assert "retry" in status["hint"]
        await here.retry("head")
        await here.delivered()
    assert owner.texts == ["new"]


async def test_what_the_owner_never_saw_is_no_corrected_version(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.code == "report")
        rewrite(path, "new")
        await here.retry()
        await here.delivered()
    assert owner.texts == ["new"]


async def test_a_doubt_that_a_person_ended_makes_no_corrected_version(house):
    owner = Owner(InDoubt("cut"), can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        rewrite(path, "new")
        await here.resolve("a.md", "resend")
        await here.until(lambda: here.code == "changed")
        await here.retry()
        await here.delivered()
    assert owner.texts == ["new"], "the person has said that the old one did not arrive"


async def test_after_a_confirmed_part_the_new_version_says_that_it_is_one(house):
    owner = Owner(Confirmed(Receipt("m1")), REFUSED, can=SMALL)
    here = house({"owner": owner})
    path = here.drop("a.md", "0123456789ABCDEF")
    async with here.running():
        await here.until(lambda: here.code == "report")
        rewrite(path, "new text")
        await here.retry()
        await here.delivered()
        report = await here.desk.report("a.md")
    assert "".join(owner.texts[1:]) == "Corrected version\nnew text"
    assert report["corrected"]
    assert [d["state"] for d in report["deliveries"]] == ["withdrawn", "confirmed"]
    assert (here.root / "sent" / "a.md").read_text() == "new text"


async def test_the_old_bytes_put_back_let_it_go_on(house):
    owner = Owner(Throttled(60))
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        rewrite(path, "new")
        here.pass_time(61)
        await here.until(lambda: here.code == "changed")
        rewrite(path, "old")
        await here.delivered()
    assert owner.texts == ["old"]


async def test_an_edited_one_can_be_skipped(house):
    owner = Owner(Throttled(60))
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        rewrite(path, "new")
        here.pass_time(61)
        await here.until(lambda: here.code == "changed")
        await here.skip("a.md")
        assert here.names("held") == ["a.md"]


async def test_an_edit_after_the_last_part_and_before_the_archive_is_noticed(house, monkeypatch):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    whole = type(here.custody).settle
    edited = []

    def settle(custody, rid):
        if not edited:
            edited.append(rewrite(path, "new"))
        return whole(custody, rid)

    monkeypatch.setattr(type(here.custody), "settle", settle)
    async with here.running():
        await here.until(lambda: here.code == "changed")
        assert here.names("sent") == []
        await here.retry()
        await here.delivered()
    assert owner.texts == ["old", "Corrected version\nnew"]


async def test_the_same_bytes_in_another_file_are_no_change(house):
    owner = Owner(Throttled(60))
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        rewrite(path, "old")
        here.pass_time(61)
        await here.delivered()
    assert (owner.texts, here.names("sent")) == (["old"], ["a.md"])


async def test_a_skipped_destination_stays_skipped_after_an_edit(house):
    first, second = Owner(REFUSED, REFUSED), Owner()
    here = house({"first": first, "second": second}, to=("first", "second"))
    path = here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("a.md", "second")
        await here.until(lambda: here.code == "report" and len(first.sent) == 2)
        rewrite(path, "new")
        await here.retry()
        await here.delivered()
    assert (first.texts, second.texts, here.names("held")) == (["new"], [], ["a.md"])


async def test_a_frozen_report_that_only_lost_its_permission_is_sent(house, monkeypatch):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "text")
    await here.engine.start()
    await here.scanned()
    path.chmod(0)
    _refuse_to_open(monkeypatch, b"a.md")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["text"]


async def test_an_attempted_report_that_can_be_read_no_more_keeps_its_place_and_says_why(
    house, monkeypatch
):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        rewrite(path, "new")
        with monkeypatch.context() as patch:
            # Readable for the comparison, and then no more: the worst moment.
            rid = here.courier.head.report.rid
            await here.engine.workers.write(here.custody.refreeze, rid)
            _refuse_to_open(patch, b"a.md")
            await here.skip("b.md")
            await here.retry()
            await here.until(lambda: here.code == "changed")
            assert "no permission" in here.lane.block.reason
        await here.retry()
        await here.delivered()
    assert owner.texts == ["new"]


def _refuse_to_open(monkeypatch, name):
    whole = os.open

    def refusing(path, *args, **options):
        if path == name:
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "open", refusing)
