"""What goes into a composed report comes out of it, read as the program reads front matter."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ownerreportd.core.compose import FIELDS, compose, looks_like_mapping, with_metadata

CREATED = "2026-11-22T18:54:00+08:00"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ODD = st.one_of(
    TEXT,
    st.text(st.sampled_from("-:#[]{}\"'\\ \n\t\r,&*!|>%@`~\x85\u2028\ufeff\x00\x7f一a0")),
    st.sampled_from(["no", "007", "~", "null", "---", "...", "a: b", "a #b", "[x]", "50%", "="]),
)


def load(block):
    """What both of PyYAML's base loaders read, which build strings, lists and dicts alone."""
    value = yaml.load(block, Loader=yaml.BaseLoader)
    assert yaml.load(block, Loader=yaml.CBaseLoader) == value
    return value


def front_matter(text):
    assert text.startswith("---\n")
    block, fence, body = text[4:].partition("\n---\n")
    assert fence
    return load(block), body


def is_mapping(block):
    try:
        return isinstance(load(block), dict)
    except (yaml.YAMLError, ValueError):
        return False


def test_a_whole_report_reads_as_its_template_says():
    fields = {
        "team": "general-task", "worker": "alice", "task_id": "example-task", "progress": "50%",
        "done": "Read the code.", "next": "- write it\n- test it", "status": "normal",
        "source": "manual-checkpoint", "title": "Half: done",
    }  # fmt: skip
    assert compose(fields, to=["owner", "my phone"], created=CREATED) == (
        "---\nteam: general-task\nworker: alice\ntask_id: example-task\nprogress: 50%\n"
        'status: normal\nsource: manual-checkpoint\ntitle: "Half: done"\n'
        'created: 2026-11-22T18:54:00+08:00\nto: [owner, "my phone"]\n---\n'
        "**Done** Read the code.\n\n**Next**\n\n- write it\n- test it\n"
    )


def test_the_template_speaks_the_configured_language():
    text = compose({"done": "讀完", "next": "寫"}, language="zh-TW", created=CREATED)
    assert text.endswith("**完成** 讀完\n\n**下一步** 寫\n")


def test_an_unknown_language_speaks_english():
    assert "**Done** x" in compose({"done": "x"}, language="tlh", created=CREATED)


def test_no_field_makes_no_report():
    assert compose({"team": "", "other": "x"}, created=CREATED) == ""


def test_fields_without_done_and_next_make_front_matter_alone():
    assert compose({"team": "a"}, created="") == "---\nteam: a\n---\n"


@given(st.dictionaries(st.sampled_from(FIELDS), ODD), st.lists(ODD))
@example({"title": "a\x85b\u2028c\ufeffd\U0010ffff"}, ["null", ""])
@example({"title": "- a", "team": "# b", "worker": "trailing ", "status": " leading"}, [])
def test_every_value_reads_back_as_it_went_in(fields, to):
    text = compose(fields, to=to, created=CREATED)
    if not text:
        assert not any(fields.values())
        return
    given_fields = {k: v for k, v in fields.items() if v and k not in {"done", "next"}}
    wanted = {**given_fields, "created": CREATED, **({"to": to} if to else {})}
    assert front_matter(text)[0] == wanted


@given(ODD, ODD)
def test_the_body_holds_done_and_next_whole(done, following):
    text = compose({"team": "x", "done": done, "next": following}, created="")
    _, body = front_matter(text)
    assert done.strip("\r\n") in body or not done.strip()
    assert following.strip("\r\n") in body or not following.strip()


def test_a_lone_surrogate_becomes_the_replacement_character():
    text = compose({"title": "a\udcffb", "done": "\ud800"}, created="")
    assert (text.count("\ufffd"), "a\ufffdb" in text) == (2, True)
    text.encode()


@given(TEXT.map(str.encode), ODD, st.lists(ODD, max_size=3))
def test_a_file_without_front_matter_gets_a_block_in_front(data, title, to):
    data = b"x" + data
    written = with_metadata(data, title=title, to=to)
    assert written.endswith(data)
    wanted = {"title": title, **({"to": to} if to else {})}
    assert load(written[4 : -len(data)].decode().rpartition("---\n")[0]) == wanted


@given(
    st.dictionaries(st.sampled_from(["team", "title", "to", "x"]), ODD, min_size=1),
    ODD,
    st.lists(ODD, min_size=1, max_size=3),
)
def test_an_existing_block_keeps_its_keys_and_gets_the_new_ones(existing, title, to):
    block = yaml.safe_dump(existing, allow_unicode=True)
    data = f"---\n{block}---\nbody\n".encode()
    written = with_metadata(data, title=title, to=to, reads_as_mapping=is_mapping).decode()
    values, body = front_matter(written)
    assert values == {**load(block), "title": title, "to": to}
    assert body == "body\n"


def test_a_block_with_crlf_and_a_byte_order_mark_keeps_both():
    data = b"\xef\xbb\xbf---\r\nteam: windows\r\n---\r\nbody\r\n"
    assert with_metadata(data, title="T", to=()) == (
        b"\xef\xbb\xbf---\r\nteam: windows\r\ntitle: T\r\n---\r\nbody\r\n"
    )


def test_an_empty_block_is_filled():
    assert with_metadata(b"---\n---\nbody", title="T", to=()) == b"---\ntitle: T\n---\nbody"


@pytest.mark.parametrize(
    "data",
    [
        b"---\nstatus: [unclosed\n---\nbody\n",
        b"---\n- a list\n---\nbody\n",
        b"---\nnever closed\n",
        b"---\nname: \xff\n---\nbody\n",
        b"---\n{a: b}\n---\nbody\n",
    ],
)
def test_a_block_that_would_not_read_stays_text_behind_a_new_one(data):
    wanted = b"---\ntitle: T\nto: [owner]\n---\n" + data
    assert with_metadata(data, title="T", to=["owner"], reads_as_mapping=is_mapping) == wanted
    assert with_metadata(data, title="T", to=["owner"]) == wanted


def test_nothing_to_add_changes_nothing():
    assert with_metadata(b"---\na: b\n---\n", title=None, to=()) == b"---\na: b\n---\n"


@given(
    st.one_of(
        TEXT, st.from_regex(r"([a-z]{1,3}: ?[ -~一\x7f\x85\r\t]{0,8}\n){1,3}", fullmatch=True)
    )
)
def test_the_cautious_look_never_takes_for_a_mapping_what_yaml_does_not(text):
    if looks_like_mapping(text):
        assert is_mapping(text + "\nend: x\n")
