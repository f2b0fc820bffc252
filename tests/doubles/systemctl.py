"""A user's systemd, as far as `systemctl --user` shows it: strict, and it keeps what it was told.

Run as a program called `systemctl`. Its state is the JSON file that `$FAKE_SYSTEMD` names; without
that file no manager runs. Whatever it does not know exactly is refused.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

UNITS = ("ownerreportd.socket", "ownerreportd.service")


class RefusedError(Exception):
    """Raised with what systemctl says on its standard error."""


class Manager:
    def __init__(self, path):
        if not path.exists():
            raise RefusedError("Failed to connect to bus: No medium found")
        self.path = path
        self.state = {
            "loaded": {},
            "enabled": [],
            "active": [],
            "calls": [],
            **json.loads(path.read_text()),
        }
        self.folder = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user"

    def save(self):
        self.path.write_text(json.dumps(self.state))

    def need_loaded(self, unit):
        if unit not in self.state["loaded"]:
            raise RefusedError(f"Failed to start {unit}: Unit {unit} not found.")

    def daemon_reload(self):
        self.state["loaded"] = {
            u: (self.folder / u).read_text() for u in UNITS if (self.folder / u).exists()
        }

    def enable(self, *units):
        for unit in units:
            if not (self.folder / unit).exists():
                raise RefusedError(f"Failed to enable unit: Unit file {unit} does not exist.")
        self.state["enabled"] = sorted({*self.state["enabled"], *units})

    def disable(self, now, *units):
        assert now == "--now", now
        for unit in units:
            self.need_loaded(unit)
        self.state["enabled"] = [u for u in self.state["enabled"] if u not in units]
        self.state["active"] = [u for u in self.state["active"] if u not in units]

    def start(self, unit):
        self.need_loaded(unit)
        active = self.state["active"]
        if unit.endswith(".socket") and "ownerreportd.service" in active and unit not in active:
            raise RefusedError("Job for ownerreportd.socket failed.")
        if self.state.get("start_fails") and unit.endswith(".service"):
            raise RefusedError("Job for ownerreportd.service failed because of a mistake.")
        self.state["active"] = sorted({*active, unit})

    def stop(self, unit):
        self.need_loaded(unit)
        self.state["active"] = [u for u in self.state["active"] if u != unit]

    def restart(self, unit):
        self.need_loaded(unit)
        self.stop(unit)
        self.start(unit)

    def is_enabled(self, *units):
        words = ["enabled" if unit in self.state["enabled"] else "disabled" for unit in units]
        sys.stdout.write("".join(f"{word}\n" for word in words))
        return 0 if "enabled" in words else 1

    def show(self, properties, unit=None):
        if unit is None:
            assert properties == "--property=Version", properties
            sys.stdout.write("Version=252\n")
            return
        active = unit in self.state["active"]
        has_failed = unit in self.state.get("failed", [])
        known = {
            "LoadState": "loaded" if unit in self.state["loaded"] else "not-found",
            "UnitFileState": "enabled" if unit in self.state["enabled"] else "",
            "ActiveState": "active" if active else "failed" if has_failed else "inactive",
            "SubState": "running" if active else "dead",
            "StatusText": "idle" if active and unit.endswith(".service") else "",
            "MainPID": "4242" if active and unit.endswith(".service") else "0",
            "NRestarts": "0",
        }
        for name in properties.removeprefix("--property=").split(","):
            sys.stdout.write(f"{name}={known[name]}\n")


VERBS = {
    "daemon-reload": Manager.daemon_reload, "enable": Manager.enable, "disable": Manager.disable,
    "start": Manager.start, "stop": Manager.stop, "restart": Manager.restart,
    "is-enabled": Manager.is_enabled, "show": Manager.show,
}  # fmt: skip


def main():
    user, verb, *words = sys.argv[1:]
    assert user == "--user", user
    manager = Manager(Path(os.environ["FAKE_SYSTEMD"]))
    status = VERBS[verb](manager, *words)
    if verb not in {"show", "is-enabled"}:
        manager.state["calls"].append([verb, *words])
    manager.save()
    return status or 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.exit(str(error))
