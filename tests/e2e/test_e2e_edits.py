"""Files that are edited, replaced by an editor's save, or deleted, in each state of a report."""

from __future__ import annotations

import os
import time

from doubles.wire import Fault
from e2e.fleet import ALL, Abreast
from e2e.harness import stays_so

abreast = Abreast()
launch = abreast.launch

SLOWLY = Fault("drip", accept=True, pause_s=0.001)
FROZEN_MAX = 16
LONG = "\n\n".join(f"line {n} of a report of two parts" for n in range(90))


def in_place(path, text):
    with path.open("r+") as file:
        file.truncate()
        file.write(text)


def rename_on_save(path, text):
    fresh = path.with_name(f".{path.name}.swp")
    fresh.write_text(text)
    fresh.rename(path)


def backup_and_save(path, text):
    """As vim does with `backupcopy=no`: for a moment the name is not there."""
    path.rename(path.with_name(path.name + "~"))
    path.write_text(text)


EDITS = {"in_place": in_place, "rename_on_save": rename_on_save, "backup_and_save": backup_and_save}


def withdrawn(home):
    return [event["name"] for event in home.events("report.withdrawn")]


def deliveries(home, name):
    report = home.client.report(name)
    return report["state"], [d["state"] for d in report["deliveries"]]


@abreast
def test_reports_that_wait_are_delivered_as_they_are_when_their_turn_comes(home, discord):
    home.configure(discord.base).daemon()
    home.client.pause()
    texts = {f"{n:02}.md": f"text {n}" for n in range(24)}
    home.drop_many(texts)
    query = "SELECT count(*) FROM reports WHERE fields IS NOT NULL"
    home.wait(lambda: home.ledger(query) == [(FROZEN_MAX,)], "those near the head are frozen")
    pending = home.spool / "pending"
    expected = dict(texts)
    for first in (0, FROZEN_MAX):  # frozen, and only admitted
        for number, edit in enumerate(EDITS.values(), first):
            name = f"{number:02}.md"
            edit(pending / name, f"new text {number}")
            expected[name] = f"new text {number}"
        (pending / f"{first + 3:02}.md").unlink()
        del expected[f"{first + 3:02}.md"]
        os.utime(pending / f"{first + 5:02}.md", (1, 1))  # no clock changes the order
    home.wait(lambda: len(withdrawn(home)) == 2, "the deleted ones are withdrawn")
    assert withdrawn(home) == ["03.md", "19.md"]
    home.client.resume()
    home.wait_sent(*expected)
    assert discord.contents == list(expected.values())
    for name, text in expected.items():
        assert (home.spool / "sent" / name).read_text() == text
    assert deliveries(home, "03.md") == ("withdrawn", ["withdrawn"])


AFTER = [(edit, fault) for edit in EDITS for fault in ("502_json", "504", "403")]


@abreast
def test_an_edit_after_the_first_attempt_blocks_until_a_person_says_so(home, discord):
    home.configure(discord.base).daemon()
    pending = home.spool / "pending"
    for number, (edit, fault) in enumerate(AFTER):
        discord.always(ALL[fault])
        name, behind = f"{number}.md", f"{number} behind.md"
        home.drop(name, "old text")
        home.drop(behind, f"behind {number}")
        home.wait(lambda name=name: attempted(home, name), "the first attempt was made")
        EDITS[edit](pending / name, f"new text {number}")
        if fault == "403":
            home.client.retry()
        status = home.wait_state("blocked", "changed")
        assert "ownerreportd retry" in status["hint"]
        discord.always(None)
        count = len(discord.contents)
        stays_so(lambda: len(discord.contents) == count, 0.2, "nothing is sent")  # noqa: B023 - called at once
        home.client.retry("head")
        home.wait_sent(name, behind)
        # Behind a doubt the owner may have seen the first version.
        said = "Corrected version\n\n" if fault == "504" else ""
        assert discord.contents[-2:] == [f"{said}new text {number}", f"behind {number}"]
        assert (home.spool / "sent" / name).read_text() == f"new text {number}"


def attempted(home, name):
    query = "SELECT 1 FROM attempts JOIN deliveries d ON d.id = delivery JOIN reports USING (rid)"
    return home.ledger(f"{query} WHERE name = ? AND outcome IS NOT NULL", name.encode())


@abreast
def test_the_old_bytes_put_back_end_the_block_by_themselves(home, discord):
    discord.always(ALL["503"])
    home.configure(discord.base).daemon()
    path = home.drop("a.md", "old text")
    home.wait(lambda: attempted(home, "a.md"), "the first attempt was made")
    rename_on_save(path, "new text")
    home.wait_state("blocked", "changed")
    discord.always(None)
    rename_on_save(path, "old text")
    home.wait_sent("a.md")
    assert discord.contents == ["old text"]


@abreast
def test_a_changed_report_can_be_skipped(home, discord):
    discord.always(ALL["503"])
    home.configure(discord.base).daemon()
    path = home.drop("a.md", "old text")
    home.drop("b.md", "behind it", age_s=1)
    home.wait(lambda: attempted(home, "a.md"), "the first attempt was made")
    in_place(path, "new text")
    home.wait_state("blocked", "changed")
    discord.always(None)
    assert home.run("skip", "head", "--reason", "told by phone").status == 0
    home.wait_sent("b.md")
    assert (home.spool / "held" / "a.md").read_text() == "new text"
    assert discord.contents == ["behind it"]


@abreast
def test_a_new_version_after_a_confirmed_part_says_that_it_corrects(home, discord):
    discord.meets(None, ALL["403"])
    home.configure(discord.base).daemon()
    path = home.drop("a.md", LONG)
    home.wait_state("blocked", "config")
    assert len(discord.contents) == 1
    rename_on_save(path, "only this")
    home.client.retry()
    home.wait_state("blocked", "changed")
    assert home.run("retry").status == 0
    home.wait_sent("a.md")
    assert discord.contents[0].endswith("(1/2)")
    assert discord.contents[1:] == ["Corrected version\n\nonly this"]
    assert (home.spool / "sent" / "a.md").read_text() == "only this"


@abreast
def test_an_edit_while_it_is_sent_asks_a_person_and_loses_neither(home, discord):
    home.configure(discord.base, destinations={"owner": {"timeout_s": 30}}).daemon()
    for number, (name, edit) in enumerate(EDITS.items()):
        discord.meets(SLOWLY)
        path = home.drop(f"{name}.md", f"old {name}")
        home.wait(lambda n=number: len(discord.attempts) == 2 * n + 1, "it is being sent")
        edit(path, f"new {name}")
        home.wait_state("blocked", "changed")
        assert discord.contents[2 * number :] == [f"old {name}"]
        home.client.retry()
        home.wait_sent(f"{name}.md")
        assert discord.contents[2 * number + 1 :] == [f"Corrected version\n\nnew {name}"]
        assert (home.spool / "sent" / f"{name}.md").read_text() == f"new {name}"


@abreast
def test_a_report_deleted_while_it_is_sent_is_delivered_and_the_loss_told(home, discord):
    discord.meets(Fault("drip", accept=True, pause_s=0.006))
    home.configure(discord.base, destinations={"owner": {"timeout_s": 30}}).daemon()
    path = home.drop("a.md", "deleted on the way")
    home.drop("b.md", "the next one", age_s=1)
    home.wait(lambda: discord.attempts, "it is being sent")
    path.unlink()
    began = time.monotonic()
    home.wait_sent("b.md")
    assert time.monotonic() - began > 3  # longer than a withdrawal takes, or this proves nothing
    assert discord.contents == ["deleted on the way", "the next one"]
    assert home.client.report("a.md")["state"] == "sent"
    assert withdrawn(home) == []
    assert any("had been deleted" in event["detail"] for event in home.events("report.warning"))


@abreast
def test_a_head_that_is_deleted_while_it_waits_is_withdrawn_and_the_next_one_goes(home, discord):
    discord.meets(*[ALL["502_json"]] * 3)
    home.configure(discord.base).daemon()
    discord.always(ALL["403"])
    path = home.drop("a.md", "deleted")
    home.drop("b.md", "the next one", age_s=1)
    home.wait_state("blocked", "config")
    path.unlink()
    discord.always(None)
    home.wait(lambda: withdrawn(home) == ["a.md"], "the deleted one is withdrawn")
    home.wait_sent("b.md")
    assert discord.contents == ["the next one"]


@abreast
def test_the_name_of_a_sent_report_can_be_used_again(home, discord):
    home.configure(discord.base).daemon()
    for text in ("one", "two", "one"):
        count = len(home.names("sent"))
        home.drop("a.md", text)
        home.wait(lambda count=count: len(home.names("sent")) == count + 1, "it is sent")
    assert discord.contents == ["one", "two", "one"]
    assert home.names("sent") == ["a.md", "a~2.md", "a~3.md"]
