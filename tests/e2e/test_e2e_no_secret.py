"""No channel's secret is in anything that a failing daemon says, writes down or answers."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from e2e.fleet import Abreast
from e2e.services import SERVICES, aim, serving

LONG = True
VERBS = (
    "status --json",
    "show head --json",
    "list --json",
    "tail -n 100 --json",
    "doctor --json",
    "config show --json",
)
# `exec` has no secret of its own; the one of its program is in the contract's bench.
WITH_SECRETS = [kind for kind in SERVICES if kind != "exec"]
abreast = Abreast()
launch = abreast.launch


def forms(secret):
    """How a text may have it: whole, or what is secret of an address or a pair; as written."""
    last = re.split(r"[/:]|whsec_", secret)[-1]
    for each in (secret, last):
        yield from (each, json.dumps(each)[1:-1], quote(each, safe=""))


def told(home):
    """What is said to people and machines, by where it is."""
    for words in VERBS:
        ended = home.run(*words.split())
        assert ended.out[:1] in {"{", "["}, (words, ended)
        yield words, ended.out + ended.err
    for daemon in home.daemons:
        yield daemon.log_path.name, daemon.log
    for path in (home.spool / "state").glob("ledger.*"):
        yield path.name, path.read_bytes().decode("utf-8", "replace")


@abreast.each("kind", WITH_SECRETS)
def test_no_secret_is_in_any_text_of_a_failure(home, kind):
    with serving(kind) as service:
        aim(home, service, log_level="debug")
        assert service.arrange("wrong_token") or service.arrange("drops")
        home.drop("a.md", "kept")
        home.daemon()
        home.wait(lambda: home.status().get("reason"), "it says why it does not go on")
        texts = dict(told(home))
    assert any("debug" in text for text in texts.values())
    assert {"ledger.sqlite3", *VERBS} < set(texts)
    secrets = {form for value in service.secrets.values() for form in forms(value)}
    assert secrets
    assert all(len(each) > 8 for each in secrets)
    assert not [(name, s) for name, text in texts.items() for s in secrets if s in text]
