"""Every service's double by name, and a home whose reports go to one of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import threading
from functools import partial

from doubles.apprise import AppriseDouble
from doubles.discord import DiscordDouble
from doubles.discord_webhook import DiscordWebhookDouble
from doubles.exec import ExecDouble
from doubles.mail import EmailDouble
from doubles.matrix import MatrixDouble
from doubles.ntfy import NtfyDouble
from doubles.openclaw import OpenclawDouble
from doubles.slack import SlackDouble
from doubles.synapse import SynapseService
from doubles.telegram import TelegramDouble
from doubles.webhook import WebhookDouble
from e2e.harness import LoopThread

# A channel; where it has several services, with a word for each.
SERVICES = {
    "discord": DiscordDouble,
    "discord-webhook": DiscordWebhookDouble,
    "discord-webhook+bot": partial(DiscordWebhookDouble, with_bot=True),
    "apprise": AppriseDouble,
    "email": EmailDouble,
    "exec": ExecDouble,
    "matrix": MatrixDouble,
    "matrix+synapse": SynapseService,
    "ntfy": NtfyDouble,
    "openclaw": OpenclawDouble,
    "slack": SlackDouble,
    "telegram": TelegramDouble,
    "telegram+stub": partial(TelegramDouble, stub=True),
    "webhook": WebhookDouble,
}
STEPS = ("arrived", "taken", "answered")  # of a part, as a double sees them
MARK = "uplicate"
LONG_WORD = 200
_WORD = re.compile(r"\w+")
# Addresses, a fence's language, a tag that may be taken for style; and what defuses a mention.
_UNSEEN = re.compile(r"(?m)(?<=\])\([^)\s]*\)|^ *(```|~~~).*$|</?b>|\u200b")


class Served:
    """A double that runs on a loop of its own thread; the rest is the double's."""

    def __init__(self, loop, double):
        self._loop = loop
        self._mending = None
        self.double = double
        self.met = []  # of `texts`, the places of those that an incident met

    def __getattr__(self, name):
        return getattr(self.double, name)

    def arrange(self, situation):
        """Bring it into the situation; whether it can be brought there."""
        return self._loop.call(self.double.arrange(situation))

    def note(self, step):
        """An incident at this step meets the newest text, or the one that is about to be it."""
        if not self.double.exactly_once:
            self.met.append(len(self.double.texts) - (step == "taken"))

    def lose_the_next_answer(self):
        """The next part is taken, and its answer lost; all is well afterwards."""
        assert self.arrange("drops")
        told = []

        def step(name):
            told.append(name)
            # A repeat that the service knows is not taken again; it comes a second time then.
            if name == "taken":
                self.note(name)
            if name == "taken" or told.count("arrived") > 1:
                self.double.on_step = None
                self._mending = asyncio.ensure_future(self.double.arrange("accepts"))

        self.double.on_step = step


def kill_at(double, step, pid, note=lambda _step: None):
    """Kill this process at that step of the next part that is new to the double."""

    def kill():
        double.on_step = None
        os.kill(pid, signal.SIGKILL)

    def on_step(name):
        if name == step:
            note(name)
            kill()
        elif name == "taken" and step == "answered":
            note(name)
            threading.Timer(0.02, kill).start()

    double.on_step = on_step


def serving(kind):
    """The double of this name, at work."""
    return serving_double(SERVICES[kind]())


@contextlib.contextmanager
def serving_double(double):
    """This double, at work."""
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        loop.call(double.__aenter__())
        stack.callback(lambda: loop.call(double.__aexit__(None, None, None)))
        yield Served(loop, double)


def put_secrets(home, service, prefix=""):
    for name, value in service.secrets.items():
        path = home.config.parent / f"{prefix}{service.channel}.{name}"
        path.write_text(value + "\n")
        path.chmod(0o600)


def aim(home, service, *, log_level="info", **options):
    """The home's configuration, with the service as its only destination."""
    put_secrets(home, service)
    destination = {"channel": service.channel, **service.destination, **options}
    return home.configure(destinations={"owner": destination}, log={"level": log_level})


def missing_word(markdown, texts):
    """The first word of the text that is not there in its turn; None if all are.

    A word that no part has room for is read by letters.
    """
    wanted = _WORD.findall(_UNSEEN.sub("", markdown))
    shown = _WORD.findall("\n".join(texts).replace("\u200b", ""))
    if any(len(word) > LONG_WORD for word in wanted):
        wanted, shown = "".join(wanted), "".join(shown)
    found = iter(shown)
    return next((word for word in wanted if word not in found), None)
