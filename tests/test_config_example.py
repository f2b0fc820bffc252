import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from ownerreportd.channels import installed, load
from ownerreportd.config import Destination, Match, Route, Settings, load_settings
from ownerreportd.config.schema import field_at, keys_below

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
TEXT = EXAMPLE.read_text()
UNCOMMENTED = re.sub(r"(?m)^#(?=[^ #:\n])", "", TEXT)
SHOWN = tomllib.loads(UNCOMMENTED)
BY_THE_OPERATOR = {("destinations",), ("routes",)}
SETTINGS = [key for key in keys_below() if key not in BY_THE_OPERATOR]


def value_at(tree, key):
    for name in key:
        tree = tree[name] if isinstance(tree, dict) else getattr(tree, str(name))
    return tree


def leaves(tree, key=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*key, name))
        else:
            yield (*key, name)


def test_as_it_comes_the_example_configures_nothing():
    assert tomllib.loads(TEXT) == {}


@pytest.mark.parametrize("key", SETTINGS, ids=".".join)
def test_every_setting_is_shown_with_its_default(key):
    shown = value_at(SHOWN, key)
    default = value_at(Settings(), key)
    if isinstance(default, Path):
        default = str(default)
    assert (tuple(shown) if isinstance(shown, list) else shown) == default


def test_nothing_is_shown_that_is_no_setting():
    sections = {name: table for name, table in SHOWN.items() if (name,) not in BY_THE_OPERATOR}
    assert set(leaves(sections)) == set(SETTINGS)


def test_a_destination_shows_every_key_with_its_default_where_it_has_one():
    owner = SHOWN["destinations"]["owner"]
    assert set(Destination.model_fields) <= set(owner)
    for name in ("in_doubt", "archive_on", "timeout_s"):
        assert owner[name] == Destination.model_fields[name].default
    options = load(owner["channel"]).Options.model_fields
    assert owner["api_base"] == options["api_base"].default
    assert set(owner) - set(Destination.model_fields) - {"token_file"} <= set(options)


def test_a_route_shows_every_key():
    (route,) = SHOWN["routes"]
    assert set(route) == set(Route.model_fields)
    for field in Match.model_fields:
        assert re.search(rf"(?m)^# .*\b{field}\b", TEXT), field


def test_uncommented_it_loads(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(UNCOMMENTED)
    loaded = load_settings(config_path=str(path), environ={"HOME": str(tmp_path)})
    assert list(loaded.settings.destinations) == ["owner", "archive"]
    assert loaded.settings.routes[0].match.status == ("blocked", "failed")
    assert loaded.warnings == ()
    channels = {given.channel for given in loaded.settings.destinations.values()}
    assert channels <= set(installed())


def test_every_key_is_explained_before_it_is_shown():
    for block in TEXT.split("\n\n"):
        lines = block.strip().splitlines()
        keys = [line for line in lines if re.match(r"#\w+ = ", line)]
        has_words = any(line.startswith("# ") for line in lines)
        assert not keys or has_words or lines[0].startswith("#[gate.adapter"), block


def test_every_number_has_bounds_and_a_reason_for_them():
    for key in [*SETTINGS, ("destinations", "x", "timeout_s")]:
        field = field_at(key)
        if field.annotation in (int, float):
            assert field.description, key
            names = {
                name for item in field.metadata for name in ("ge", "le") if hasattr(item, name)
            }
            assert names == {"ge", "le"}, key


def models_below(model):
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from models_below(field.annotation)


def test_every_section_is_frozen_and_strict_and_forbids_what_it_does_not_know():
    models = [*models_below(Settings), Route, Match, Destination]
    assert len(models) > 14
    for model in models:
        assert model.model_config["frozen"], model
        assert model.model_config["strict"], model
        assert model.model_config["extra"] == ("allow" if model is Destination else "forbid"), model
