"""Sends one report to Discord; success is an id in the answer."""

import json
import os
import sys
import urllib.request
from pathlib import Path


def send(path):
    channel = os.environ["OWNER_REPORT_TARGET"].removeprefix("channel:")
    request = urllib.request.Request(
        f"{os.environ['OLD_API']}/channels/{channel}/messages",
        json.dumps({"content": path.read_text()}).encode(),
        {
            "Authorization": f"Bot {os.environ['OLD_TOKEN']}", "Content-Type": "application/json",
            "User-Agent": "DiscordBot (https://example.org, 1)",
        },
    )  # fmt: skip
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["id"]


if __name__ == "__main__":
    print(send(Path(sys.argv[1])))
