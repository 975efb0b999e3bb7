"""The JSON Schema of channels: it takes what loading takes, refuses what loading refuses, and says what keys mean."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from hl7auth.errors import ConfigError
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_schema import DIALECT, channel_schema, meanings
from hl7auth.flow.channel_values import load_filled
from hl7auth.resources import shipped
from hl7auth.rules.strict_yaml import Strict
from hl7auth.steps.model import StepsFile
from tests.flow.json_schema import faults

SCHEMA = channel_schema()
MINIMAL = {"channel": "north", "listen": "tcp:4001"}
ENVIRONMENT = {"NAME": "north", "MOST": "8", "YES": "true", "WORD": "accept", "VERSION": "2.5"}


def test_it_says_which_json_schema_it_is() -> None:
    assert SCHEMA["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert (SCHEMA["type"], SCHEMA["additionalProperties"]) == ("object", False)
    assert set(SCHEMA["required"]) == {"channel", "listen"}


def test_the_shipped_channel_is_as_the_schema_wants_it() -> None:
    (path,) = shipped("channels").glob("*.yaml")
    assert list(faults(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMA)) == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"errors": "accept", "limits": {"connections": 8}},
        {"errors": "${WORD}", "limits": {"connections": "${MOST}"}, "framing": {"lenient": "${YES}"}},
        {"accepts": {"versions": ["${VERSION}"]}, "clocks": {"expedited_hours": "${MOST:-72}"}},
        {"channel": "${NAME}"},
        {"snapshot": {"delete_pattern": ["key"]}},
    ],
)
def test_what_both_take(more: dict[str, Any], tmp_path: Path) -> None:
    assert list(faults(MINIMAL | more, SCHEMA)) == []
    assert loaded(MINIMAL | more, tmp_path) is not None


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ({"channel": "north"}, "(top): required ['channel', 'listen']"),
        (MINIMAL | {"erors": "accept"}, "erors: no such key"),
        (MINIMAL | {"limits": {"speed": 1}}, "limits.speed: no such key"),
        (MINIMAL | {"errors": "maybe"}, "errors: anyOf of 2 fits 0"),
        (MINIMAL | {"limits": {"connections": 0}}, "limits.connections: anyOf of 2 fits 0"),
        (MINIMAL | {"framing": {"max_bytes": "many"}}, "framing.max_bytes: anyOf of 2 fits 0"),
        (MINIMAL | {"title": 5}, "title: type string"),
        (MINIMAL | {"accepts": {"versions": "2.5"}}, "accepts.versions: type array"),
        (MINIMAL | {"channel": "North Wing"}, "channel: anyOf of 2 fits 0"),
    ],
)
def test_what_both_refuse(whole: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert list(faults(whole, SCHEMA)) == [said]
    with pytest.raises(ConfigError):
        loaded(whole, tmp_path)


def loaded(whole: dict[str, Any], folder: Path) -> ChannelFile:
    path = folder / "channel.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return load_filled(path, ChannelFile, ENVIRONMENT)


def test_every_key_has_a_title_or_a_model_and_says_what_it_means() -> None:
    def keys(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return list(schema.get("properties", {}).items())

    told = [*keys(SCHEMA), *(pair for each in SCHEMA["$defs"].values() for pair in keys(each))]
    assert [name for name, each in told if not (each.get("title") or "$ref" in each or "anyOf" in each)] == []
    # what a model has no words for is told in its docstring, or in the table of the schema for the keys at the top
    assert [name for name, each in keys(SCHEMA) if not each.get("description")] == []


def test_what_the_docstrings_say_stands_at_the_keys() -> None:
    found = meanings(SCHEMA)
    assert found["snapshot.empty"] == "What an empty field does to the stored value."
    assert found["listen"].startswith("Where it listens")
    assert found["limits.idle_seconds"].startswith("Bounds on connections")
    assert not any(text.endswith(";") for text in found.values())


def test_keys_of_any_name_and_optional_models_are_followed() -> None:
    class Inner(Strict):
        """An inner one. `host`: where it is."""

        host: str
        port: int = Field(1, description="Its port.")

    class Outer(Strict):
        """An outer one."""

        places: dict[str, Inner] = {}
        one: Inner | None = None

    schema = channel_schema(Outer)
    assert meanings(schema) == {
        "places": "An inner one. `host`: where it is.",
        "places.*.host": "Where it is.",
        "places.*.port": "Its port.",
        "one": "An inner one. `host`: where it is.",
        "one.host": "Where it is.",
        "one.port": "Its port.",
    }
    assert list(faults({"places": {"a": {"host": "x", "port": "${PORT}"}}, "one": None}, schema)) == []
    assert list(faults({"places": {"a": {"host": "x", "port": "y"}}}, schema)) != []


def test_a_list_of_steps_is_followed_and_ends() -> None:
    schema = channel_schema(StepsFile)
    steps = [{"match": "MSH-9.1 = 'RQA'"}, {"when": "PV1 present", "steps": [{"set": {"PID-8": "U"}}]}]
    assert list(faults({"steps": steps}, schema)) == []
    assert list(faults({"steps": [{"match": "MSH-9.1 = 'RQA'", "drop": "x"}]}, schema)) != []
    assert meanings(schema)["steps.when"] != ""
