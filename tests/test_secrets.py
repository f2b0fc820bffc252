"""A secret is shown nowhere: not in logs, events, status, errors, processes, or the ledger.

A token that nothing else looks like is planted; then everything that the program says and writes
is searched for it, in the forms in which software tends to write a secret.
"""

from __future__ import annotations

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e import harness
from e2e.fleet import ALL
from e2e.harness import Discord, Home, LoopThread

from ownerreportd.cli.verbs import VERBS

TOKEN = "MTQ4MDU3-PLANTED/secret+token.Zm9v=42"
FORMS = {
    TOKEN.encode(),
    quote(TOKEN, safe="").encode(),
    TOKEN.replace("/", r"\/").encode(),
    base64.b64encode(TOKEN.encode()).rstrip(b"="),
    b"PLANTED",
}


class Evidence:
    """Everything that was said, by where it was said."""

    def __init__(self, home):
        self._home = home
        self._said = {}

    def add(self, where, said):
        data = said.encode() if isinstance(said, str) else said
        self._said[where] = self._said.get(where, b"") + data

    def run(self, *words, **more):
        ended = self._home.run(*words, **more)
        self.add(f"ownerreportd {' '.join(words)}", f"{ended.out}\n{ended.err}")
        return ended

    def process(self, daemon):
        """What other users see of the process, and what its environment holds."""
        for name in ("cmdline", "comm", "environ"):
            self.add(f"/proc/PID/{name}", Path(f"/proc/{daemon.pid}/{name}").read_bytes())

    def files(self):
        """Every file of the home but the one that the secret was put into."""
        for path in self._home.path.rglob("*"):
            if path.is_file() and path not in {self._home.token, self._home.config}:
                self.add(str(path.relative_to(self._home.path)), path.read_bytes())

    def leaks(self):
        return sorted(where for where, data in self._said.items() if any(f in data for f in FORMS))

    def __len__(self):
        return sum(map(len, self._said.values()))


@pytest.fixture(scope="module")
def loop():
    with LoopThread() as thread:
        yield thread


@pytest.fixture
def discord(loop):
    with Discord(loop) as double:
        double.double.token = TOKEN
        yield double


@pytest.fixture
def home():
    home = Home()
    home.put_token(TOKEN)
    yield home
    home.close()


@pytest.fixture
def evidence(home):
    return Evidence(home)


SHOWING = (
    ("status",), ("status", "--json"), ("list", "--json"), ("show", "0.md"),
    ("show", "0.md", "--json"), ("config", "show"), ("config", "check"), ("doctor",),
    ("channels", "--json"), ("tail", "-n", "1000"),
)  # fmt: skip


def look_at_all(evidence, *more):
    """Every verb that shows what the program knows."""
    commands = [words for words in (*SHOWING, *more) if words[0] in VERBS]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda words: evidence.run(*words), commands))


def configure(home, base, **owner):
    home.configure(
        base,
        destinations={"owner": {"timeout_s": 0.3, "dedup_window_s": 0.2, **owner}},
        log={"level": "debug", "format": "json", "file": str(home.path / "reports.log")},
    )


def test_no_outcome_of_the_service_shows_the_token(home, discord, evidence):
    configure(home, discord.base)
    home.environ["OWNERREPORTD_DEBUG"] = "1"
    daemon = home.daemon()
    evidence.process(daemon)
    discord.meets(*ALL.values())
    discord.double.get_faults.extend(ALL.values())  # a look can fail in all these ways too
    home.drop_many({f"{number}.md": f"report {number}" for number in range(36)})

    def all_sent():
        if home.status()["state"] == "blocked":
            home.client.retry()
        return len(home.names("sent")) == 36

    home.wait(all_sent, "all are sent")
    assert not discord.faults
    discord.always(echoing())
    home.drop("zz.md", "the service says what it was told")
    home.wait_state("blocked", "config")
    evidence.add("status", str(home.status()))
    look_at_all(evidence, ("show", "head"))
    assert daemon.stop() == 0
    evidence.files()
    assert len(evidence) > 200_000  # it did look at something
    assert evidence.leaks() == []


def echoing():
    """A service, or a proxy, that repeats the request's own headers in its error."""
    from doubles.faults import answer

    message = f"Authorization: Bot {TOKEN} ({quote(TOKEN, safe='')}) is not allowed"
    return answer(403, {"message": message, "code": 50001})


def test_without_a_daemon_no_error_shows_the_token(home, discord, evidence):
    configure(home, discord.base)
    home.environ["OWNERREPORTD_DEBUG"] = "1"
    home.drop("0.md", "a report")
    for fault in (ALL["401"], echoing(), ALL["garbage"]):
        discord.meets(fault)
        evidence.run("drain")
    discord.meets(echoing())
    evidence.run("send", "0.md", "--channel", "discord", "--target", "channel:7")
    discord.refuse()
    evidence.run("send", "0.md", "--to", "owner")
    look_at_all(evidence, ("drain", "--dry-run"))
    evidence.files()
    assert evidence.leaks() == []


MISTAKES = {
    "token_inline_and_open": f'token = "{TOKEN}"',
    "token_twice": f'token = "{TOKEN}"\ntoken_file = "discord.token"',
    "token_as_list": f'token = ["{TOKEN}"]',
    "token_as_table": f'token = {{ value = "{TOKEN}" }}',
    "token_misspelt": f'tokne = "{TOKEN}"',
    "token_in_another_key": f'bot_token = "{TOKEN}"',
    "not_toml": f'token = "{TOKEN}',
    "wrong_type_beside_it": f'token = "{TOKEN}"\ntimeout_s = "soon"',
    "bad_target_beside_it": f'token = "{TOKEN}"\ntarget = "nowhere"',
}


@pytest.mark.parametrize("name", MISTAKES)
def test_no_mistake_in_the_configuration_shows_the_token(home, evidence, name):
    target = "" if "target =" in MISTAKES[name] else 'target = "channel:1"\n'
    home.config.write_text(f'[destinations.owner]\nchannel = "discord"\n{target}{MISTAKES[name]}\n')
    home.config.chmod(0o644 if name == "token_inline_and_open" else 0o600)
    home.environ["OWNERREPORTD_DEBUG"] = "1"
    if name != "token_twice":
        home.token.unlink()
    home.environ["OWNERREPORTD_SPOOL__ROOT"] = str(home.spool)
    assert evidence.run("run").status == 78
    look_at_all(evidence, ("submit", "--done", "x"))
    evidence.files()
    assert evidence.leaks() == []


@pytest.mark.parametrize("token", [f"two words {TOKEN}", f"{TOKEN}\nsecond line", f"café{TOKEN}"])
def test_a_token_that_is_none_is_refused_without_being_shown(home, discord, evidence, token):
    home.put_token(token)
    configure(home, discord.base)
    home.drop("0.md", "x")
    home.environ["OWNERREPORTD_DEBUG"] = "1"
    ended = evidence.run("run")
    assert ended.status == 78
    assert "is no Discord token" in ended.err
    evidence.files()
    assert evidence.leaks() == []


def test_no_verb_takes_a_secret_from_the_command_line(home):
    for verb in VERBS:
        said = home.run(verb, "--help").out
        assert verb in said
        assert not re.search(r"--(?:token|secret|password|key|url)\b", said)


LEAKY = '''
from pydantic import BaseModel, ConfigDict
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.outcome import Rejected, Unknown

class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

class LeakyChannel:
    """Puts its secret into everything that it says."""
    Options = Options
    capabilities = Capabilities(text_max=None, dedup_window_s=0, read_back=True)
    secret_names = ("token",)
    default_in_doubt = "resend"

    def __init__(self, *, name, target, options, secrets, language, timeout_s):
        self.token, self.sent = secrets["token"], 0

    @staticmethod
    def check_target(target):
        return target

    def render(self, report):
        text = report.body.encode()
        return [Part(1, 1, text, b"again " + text)]

    async def send(self, part):
        self.sent += 1
        if self.sent % 2:
            return Rejected(self.token, "config", "refused: " + self.token, "try " + self.token)
        hidden = self.token
        raise RuntimeError("cannot send with " + hidden)

    async def look(self, part, since, known):
        raise ValueError({"Authorization": "Bot " + self.token})

    async def check(self):
        return [Problem(self.token, self.token, self.token)]

    async def aclose(self):
        pass
'''


@pytest.fixture
def leaky(home):
    """A channel of somebody else, installed on the home's own path."""
    site = home.path / "site"
    info = site / "leaky-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "leaky.py").write_text(LEAKY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ownerreportd.channels]\nleaky = leaky:LeakyChannel\n")
    home.environ["PYTHONPATH"] = str(site)
    token_file = home.path / "leaky.token"
    home.token.rename(token_file)
    home.token = token_file
    owner = {"channel": "leaky", "target": "x", "timeout_s": 0.3}
    home.configure(
        destinations={"owner": {**owner, "token_file": str(token_file)}},
        log={"level": "debug", "file": str(home.path / "reports.log")},
    )
    return home


def test_a_channel_that_shows_its_secret_is_covered_for(leaky, evidence):
    daemon = leaky.daemon()
    leaky.drop("0.md", "a report")
    for code in ("config", "channel_bug"):
        leaky.wait_state("blocked", code)
        evidence.add("status", str(leaky.status()))
        evidence.run("status")
        leaky.client.retry()
    leaky.wait_state("blocked", "channel_bug")
    look_at_all(evidence)
    evidence.run("send", "0.md", "--to", "owner")
    daemon.stop()
    evidence.run("drain")
    evidence.add("log", daemon.log)
    evidence.files()
    assert b"[redacted]" in (leaky.path / "reports.log").read_bytes()
    assert evidence.leaks() == []


def test_what_the_evidence_would_show_is_found(home, evidence):
    """The search itself: a planted leak of each form is noticed."""
    for number, form in enumerate(FORMS):
        (home.path / f"leak-{number}").write_bytes(b"x" * 10 + form + b"y")
    evidence.files()
    assert evidence.leaks() == [f"leak-{number}" for number in range(len(FORMS))]
    assert harness.TOKEN != TOKEN
    assert os.stat(home.token).st_mode & 0o777 == 0o600
