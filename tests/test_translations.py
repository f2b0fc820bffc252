"""The pages in Traditional Chinese keep up with the English ones, section by section.

Rule: the last line of a translation has one word for each English section that it translates. Who
changes an English section brings its translation up to it, and the word that the test names.
"""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "docs/zh-TW/README.md", "docs/operating.md": "docs/zh-TW/operating.md"}
FENCE = r"(?ms)^```.*?^```$"


def sections(name):
    """Every section as `(level, heading, text)`; shell comments are no headings."""
    text = re.sub(r"<!--.*?-->\s*\Z", "", (ROOT / name).read_text(encoding="utf-8"))
    kept = []

    def keep(match):
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    parts = re.split(r"(?m)^(#+) (.+)\n", re.sub(FENCE, keep, text))
    return [
        (len(level), heading, re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], body))
        for level, heading, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    ]


def pairs(english):
    return list(zip(sections(english), sections(PAGES[english]), strict=True))


@pytest.fixture(params=PAGES)
def page(request):
    return request.param


def test_each_heading_has_its_counterpart(page):
    english, chinese = sections(page), sections(PAGES[page])
    assert [level for level, _, _ in chinese] == [level for level, _, _ in english]
    titles = [heading for _, heading, _ in chinese[1:]]
    assert [title for title in titles if not re.search(r"[\u4e00-\u9fff]|spool", title)] == []


def test_the_code_blocks_are_the_same(page):
    for (_, heading, english), (_, _, chinese) in pairs(page):
        assert re.findall(FENCE, chinese) == re.findall(FENCE, english), heading


def test_the_names_and_the_rows_are_the_same(page):
    """Commands, settings, states and paths stand in both; so does every row and item."""

    def names(text):
        return set(re.findall(r"`[^`\n]+`", re.sub(FENCE, "", text)))

    def shape(text):
        rows = [line.count(" | ") for line in text.splitlines() if line.startswith("|")]
        return rows, len(re.findall(r"(?m)^(?:- |\d+\. )", text))

    for (_, heading, english), (_, _, chinese) in pairs(page):
        assert names(chinese) == names(english), heading
        assert shape(chinese) == shape(english), heading


def test_the_translation_is_of_this_text(page):
    told = (ROOT / PAGES[page]).read_text(encoding="utf-8").splitlines()[-1]
    known = re.fullmatch(r"<!-- translates (.+) -->", told)[1].split()
    words = [hashlib.sha256(text.encode()).hexdigest()[:6] for _, _, text in sections(page)]
    headings = [heading for _, heading, _ in sections(page)]
    changed = [h for h, a, b in zip(headings, known, words, strict=False) if a != b]
    remedy = (
        f"translate these in {PAGES[page]}, then end it with <!-- translates {' '.join(words)} -->"
    )
    assert known == words, f"changed: {changed}; {remedy}"
