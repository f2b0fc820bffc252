"""The good reports arrive: in order, whole, and are archived byte for byte."""

from __future__ import annotations

import email
import email.policy

from e2e.fleet import Abreast
from e2e.harness import GOOD, parted

abreast = Abreast()
launch = abreast.launch

FILES = sorted(GOOD.glob("*.md"))


def drop_good(home):
    home.drop_many({path.name: path.read_bytes() for path in FILES})


@abreast.each("dropped", ["while_it_runs", "before_it_runs"])
def test_every_good_report_reaches_discord_in_order_and_whole(home, discord, dropped):
    home.configure(discord.base)
    if dropped == "before_it_runs":
        drop_good(home)
        home.daemon()
    else:
        home.daemon()
        home.client.pause()  # one scan may catch half of them; their order is the files' then
        drop_good(home)
        home.wait(lambda: home.status()["waiting"] == len(FILES), "all are admitted")
        home.client.resume()
    home.wait_sent(*(path.name for path in FILES))
    assert parted(discord.contents, {path.name: path.read_bytes() for path in FILES}) == {}
    assert all(len(text) <= 2000 for text in discord.contents)
    assert [m for m in discord.messages if any(m.fired.values())] == []
    for path in FILES:
        assert (home.spool / "sent" / path.name).read_bytes() == path.read_bytes()
    assert home.names("pending") == home.names("rejected") == []
    home.wait_idle()


@abreast
def test_the_same_reports_reach_the_inbox(home):
    home.configure()
    drop_good(home)
    home.daemon()
    home.wait_sent(*(path.name for path in FILES))
    inbox = home.spool / "inbox" / "new"
    got = {path.name: email.message_from_bytes(path.read_bytes()) for path in inbox.iterdir()}
    keys = home.ledger(
        "SELECT p.key FROM parts p JOIN deliveries d ON d.id = p.delivery JOIN reports USING (rid) "
        "ORDER BY seq"
    )
    texts = [got[f"{key}.ownerreportd"].get_payload(decode=True).decode() for (key,) in keys]
    assert len(texts) == len(got) == len(FILES)
    assert parted_as_markdown(texts) == {}
    for path in FILES:
        assert (home.spool / "sent" / path.name).read_bytes() == path.read_bytes()


def parted_as_markdown(texts):
    from ownerreportd.render.dialects import MARKDOWN
    from ownerreportd.render.front_matter import read_report
    from ownerreportd.render.oracle import difference

    wrong = {}
    for path, text in zip(FILES, texts, strict=True):
        report = read_report(path.read_bytes()).report
        found = difference(report.body, [text], report, dialect=MARKDOWN)
        if found:
            wrong[path.name] = found
    return wrong


@abreast
def test_submitted_reports_arrive_in_the_order_of_their_submission(home, discord):
    home.configure(discord.base).daemon()
    for number, path in enumerate(FILES):
        if number % 4 == 0:
            assert home.run("submit", str(path)).status == 0
        else:
            home.client.submit(path.read_bytes())
    home.wait(lambda: len(home.names("sent")) == len(FILES), "all are sent")
    assert parted(discord.contents, {path.name: path.read_bytes() for path in FILES}) == {}
    archived = [(home.spool / "sent" / n).read_bytes() for n in home.names("sent")]
    assert archived == [path.read_bytes() for path in FILES]
