"""A ledger that is gone or damaged: refused with the two ways out, and nothing sent twice."""

from __future__ import annotations

import pytest
from e2e.fleet import ALL, Abreast

abreast = Abreast()
launch = abreast.launch

LEDGER = "ledger.sqlite3"
TEXTS = {f"{n}.md": f"report {n}" for n in range(4)}
MARK = "⚠ Possible duplicate"


def remove(state):
    for path in state.glob(f"{LEDGER}*"):
        path.unlink()


def truncate(state):
    with (state / LEDGER).open("r+b") as file:
        file.truncate(5000)


def overwrite(state):
    with (state / LEDGER).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def empty(state):
    (state / LEDGER).write_bytes(b"")


def fill_with_text(state):
    (state / LEDGER).write_text("this is no database\n" * 500)


DAMAGES = (remove, truncate, overwrite, empty, fill_with_text)


def stopped_in_doubt(home, discord):
    """Two archived reports; one whose answer was lost; one that nobody has tried to send."""
    home.configure(
        discord.base, queue={"stop_grace_s": 0}, destinations={"owner": {"timeout_s": 9}}
    )
    discord.meets(None, None, ALL["accept_then_hang"])
    home.drop_many(TEXTS)
    daemon = home.daemon()
    home.wait(lambda: len(discord.contents) == 3, "the third one was taken")
    daemon.stop()
    assert home.names("pending") == ["2.md", "3.md"]


def check_refused(ended):
    assert ended.status == 74, ended.err
    error, hint = ended.err.splitlines()[-2:]
    assert "a daemon ran on this spool before" in error
    assert "restore it from a backup" in hint
    assert "ownerreportd doctor --new-ledger" in hint


@abreast
def test_a_lost_ledger_is_refused_and_one_that_is_restored_is_taken(home, discord):
    stopped_in_doubt(home, discord)
    state = home.spool / "state"
    kept = {path: path.read_bytes() for path in state.glob(f"{LEDGER}*")}
    for damage in DAMAGES:
        damage(state)
        check_refused(home.run("run"))
        assert home.names("pending") == ["2.md", "3.md"]
        assert home.names("sent") == ["0.md", "1.md"]
        if damage is remove:
            check_refused(home.run("drain"))
        remove(state)
        for path, data in kept.items():
            path.write_bytes(data)
    home.daemon()
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())


@pytest.mark.parametrize("damage", [remove, overwrite], ids=lambda damage: damage.__name__)
def test_a_new_ledger_resends_nothing_that_the_service_still_has(home, discord, damage):
    stopped_in_doubt(home, discord)
    damage(home.spool / "state")
    ended = home.run("doctor", "--new-ledger")
    assert ended.status == 0, ended.err
    assert "begun: " in ended.out
    home.daemon()
    home.wait_sent(*TEXTS)
    assert discord.contents == list(TEXTS.values())
    kept = list((home.spool / "state").glob(f"{LEDGER}.set-aside-*"))
    assert bool(kept) == (damage is not remove)


@abreast
def test_after_a_new_ledger_an_unreadable_history_leaves_only_marked_copies(home, discord):
    stopped_in_doubt(home, discord)
    discord.place(history=False)
    discord.advance(3600)  # its memory of keys would spare the owner the copy
    remove(home.spool / "state")
    assert home.run("doctor", "--new-ledger").status == 0
    home.daemon()
    home.wait_sent(*TEXTS)
    plain = [text for text in discord.contents if not text.startswith(MARK)]
    assert plain == [f"report {n}" for n in range(3)]
    marked = [text for text in discord.contents if text.startswith(MARK)]
    assert [text.rsplit("\n", 1)[-1] for text in marked] == ["report 2", "report 3"]


@abreast
def test_a_lost_configuration_does_not_look_like_delivery(home, discord):
    home.configure(discord.base)
    home.drop("a.md", "to the service")
    assert home.run("drain").status == 0
    home.drop("b.md", "not to the inbox")
    home.config.unlink()
    environ = {**home.environ, "OWNERREPORTD_SPOOL__ROOT": str(home.spool)}
    ended = home.run("run", environ=environ)
    assert ended.status == 78, ended.err
    assert 'channel = "inbox"' in ended.err.splitlines()[-1]
    assert home.names("pending") == ["b.md"]


@abreast
def test_after_a_new_ledger_a_twin_in_sent_proves_nothing_of_what_waits(home, discord):
    home.configure(discord.base)
    home.drop("a.md", "the same text")
    assert home.run("drain").status == 0
    home.drop("b.md", "the same text")
    remove(home.spool / "state")
    assert home.run("doctor", "--new-ledger").status == 0
    home.daemon()
    home.wait_sent("a.md", "b.md")
    first, second = discord.contents
    assert first == "the same text"
    assert second.startswith(MARK)
    assert second.endswith("the same text")
