"""What is written as YAML is read as the same values, whatever the texts hold."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from hl7auth.exchange.yaml_text import yaml_text

TEXTS = some.text(some.characters(exclude_categories=["Cs"]), max_size=30) | some.sampled_from(
    ["no", "N", "Y", "on", "null", "~", "0072", "1e3", "2.5", "2026-01-01", "a: b", "a #b", "- a", "{a}", "", "=", "<<"]
)
KEYS = TEXTS | some.integers(1, 30)
VALUES = some.recursive(
    TEXTS | some.integers(-5, 5) | some.booleans(),
    lambda inner: some.lists(inner, min_size=1, max_size=3) | some.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=12,
)


def shallow(value: Any) -> bool:
    """Our profiles have no list of lists with mappings in them; statements are mappings in a list."""
    if isinstance(value, dict):
        return all(map(shallow, value.values()))
    if isinstance(value, list):
        mappings = [isinstance(each, dict) for each in value]
        plain = all(isinstance(each, str | int) for each in value)
        return plain or (all(mappings) and all(map(shallow, value)))
    return True


@given(some.dictionaries(KEYS, VALUES, min_size=1, max_size=4).filter(shallow), some.text(max_size=40))
def test_it_is_read_as_it_was_written(keys: dict[Any, Any], note: str) -> None:
    comments = {str(key): note for key in keys}
    assert yaml.load(yaml_text(keys, comments, [note]), Loader=yaml.CSafeLoader) == keys


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"a": "RQA^I08", "b": "0072", "c": "No"}, 'a: "RQA^I08"\nb: "0072"\nc: "No"\n'),
        ({"structure": {"essential": ["MSH"]}}, "structure: {essential: [MSH]}\n"),
        (
            {"segments": {"AUT": {"fields": {2: {"usage": "R"}}}}},
            "segments:\n  AUT:\n    fields:\n      2: {usage: R}\n",
        ),
        ({"statements": [{"id": "a", "text": "b"}]}, "statements:\n  - id: a\n    text: b\n"),
        (
            {"list": ["word" * 5] * 9},
            "list: [" + ", ".join(["word" * 5] * 5) + ",\n  " + ", ".join(["word" * 5] * 4) + "]\n",
        ),
    ],
)
def test_it_reads_well(keys: dict[str, Any], text: str) -> None:
    assert yaml_text(keys, {}, []) == text


def test_comments_stand_beside_their_key_and_can_not_end_early() -> None:
    text = yaml_text({"a": {1: {"b": "c"}}}, {"a.1": "first\nsecond\u2028third"}, ["top\r\nx: y", "w " * 100])
    assert text.splitlines()[0] == "# top x: y"
    assert all(len(line) <= 118 for line in text.splitlines())
    assert text.endswith("a:\n  1: {b: c}  # first second third\n")
