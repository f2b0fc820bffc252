"""Whose word counts: the crontab's, the environment's, the wrapper's, the old document's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ownerreportd.app.migration.crontab import old_lines
from ownerreportd.app.migration.settings import old_settings
from ownerreportd.core.errors import ConfigError

RUN = "/opt/old/run_owner_report_watchdog.sh"
WRAPPER = (
    'CHANNEL="${OWNER_REPORT_CHANNEL:-discord}"\nexport OWNER_REPORT_TARGET='
    "${OWNER_REPORT_TARGET:='channel:77'}\nN=${OWNER_REPORT_MAX_COUNT-9}\n"
)
SHELL = {"OWNER_REPORT_TARGET": "channel:5", "OWNER_REPORT_MAX_COUNT": ""}


def said(crontab="", environ=None, wrapper=""):
    return old_settings(old_lines(crontab, Path("/h")), environ or {}, wrapper)


def shown(settings):
    return settings.channel.value, settings.target.value, settings.count()


def test_the_first_that_says_something_counts():
    line = f"* * * * * OWNER_REPORT_TARGET=channel:3 {RUN} >> /log\n"
    assert shown(said()[0]) == ("discord", "channel:1480577550445969541", 5)
    assert shown(said("", {}, WRAPPER)[0]) == ("discord", "channel:77", 9)
    assert shown(said("", SHELL, WRAPPER)[0]) == ("discord", "channel:5", 9)
    ours, notes = said(line, SHELL, WRAPPER)
    assert shown(ours) == ("discord", "channel:3", 9)
    assert ours.target.origin == "crontab line 1"
    assert ours.max_count.origin == "the old wrapper's default"
    assert ours.log == ("/log", "crontab line 1")
    assert notes == []


def test_of_several_lines_the_first_counts_and_the_others_are_named():
    other = f"0 * * * * OWNER_REPORT_CHANNEL=telegram OWNER_REPORT_TARGET=86 {RUN}\n"
    ours, notes = said(f"* * * * * {RUN}\n{other}*/2 * * * * {RUN}\n")
    assert ours.channel.value == "discord"
    (note,) = notes
    assert note.startswith("crontab line 2 sends to telegram 86: this is not carried over")


def test_a_count_that_is_no_number_is_named_with_its_place():
    ours, _ = said(f"* * * * * OWNER_REPORT_MAX_COUNT=many {RUN}\n")
    with pytest.raises(ConfigError, match="crontab line 1: OWNER_REPORT_MAX_COUNT='many'"):
        ours.count()
