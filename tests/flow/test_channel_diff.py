"""What differs between two channels, in words: values, lists, steps, and secrets that stay secrets."""

from typing import Any

import pytest

from hl7auth.flow.channel_diff import channel_diff
from hl7auth.flow.channel_leaves import is_secret, leaves, spelled
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.rules.strict_yaml import Strict
from hl7auth.steps.model import Step


class Login(Strict):
    """Who."""

    user: str = ""
    password: str | None = None


class Wide(ChannelFile):
    """A channel with more keys."""

    shape: tuple[Step, ...] = ()
    login: Login | None = None


def wide(**changes: Any) -> Wide:
    return Wide.model_validate({"channel": "north", "listen": "tcp:1", **changes})


def said(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [each.text for each in channel_diff(wide(**before), wide(**after))]


def test_equal_channels_and_other_names_are_no_difference() -> None:
    assert said({}, {}) == []
    assert said({"channel": "north"}, {"channel": "south"}) == []


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({}, {"listen": "tcp:2"}, "listen is tcp:2; it was tcp:1"),
        ({}, {"errors": "accept"}, "errors is accept; it was reject"),
        ({}, {"title": "North"}, "title is North; it was empty"),
        ({}, {"limits": {"idle_seconds": 30}}, "limits.idle_seconds is 30.0; it was 600.0"),
        ({}, {"framing": {"lenient": False}}, "framing.lenient is false; it was true"),
        (
            {"accepts": {"versions": ["2.3", "2.5"]}},
            {"accepts": {"versions": ["2.5", "2.8"]}},
            "accepts.versions also has '2.8' and no longer has '2.3'",
        ),
        (
            {"accepts": {"processing_ids": ["P", "T"]}},
            {"accepts": {"processing_ids": ["T", "P"]}},
            "accepts.processing_ids is in another order: T, P; it was P, T",
        ),
        ({}, {"login": {"user": "ada"}}, "login is new: {user: ada}"),
        ({"login": {"user": "ada"}}, {}, "login is gone; it was {user: ada}"),
    ],
)
def test_one_difference_in_words(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    assert said(before, after) == [text]


def test_a_difference_as_plain_data() -> None:
    (one,) = channel_diff(wide(), wide(snapshot={"empty": "keep"}))
    assert one.entry() == {
        "key": "snapshot.empty",
        "kind": "changed",
        "before": "clear",
        "after": "keep",
        "text": "snapshot.empty is keep; it was clear",
        "meaning": "What an empty field does to the stored value.",
    }


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (["P"], ["P", "T"], ["new"]),
        (["P", "T"], ["P"], ["gone"]),
        (["P"], ["T"], ["changed"]),
        (["P", "T"], ["T", "P"], ["moved"]),
    ],
)
def test_kinds_of_lists(before: list[str], after: list[str], kinds: list[str]) -> None:
    one, other = wide(accepts={"processing_ids": before}), wide(accepts={"processing_ids": after})
    assert [each.kind for each in channel_diff(one, other)] == kinds


def test_steps_are_compared_with_those_that_they_come_from() -> None:
    before = [
        {"match": "MSH-9.1 = 'RQA'"},
        {"set": {"PID-8": "U"}},
        {"when": "AUT-1 = 'X'", "steps": [{"drop": "AUT-2 = 'X'"}]},
    ]
    after = [
        {"set": {"PID-8": "F"}},
        {"when": "AUT-1 = 'X'", "steps": [{"drop": "AUT-2 = 'Y'"}]},
        {"version": "2.4"},
    ]
    assert said({"shape": before}, {"shape": after}) == [
        "shape.1 is gone; it was {match: MSH-9.1 = 'RQA'}",
        "shape.1.set.PID-8 is F; it was U",
        "shape.2.steps.1.drop is AUT-2 = 'Y'; it was AUT-2 = 'X'",
        "shape.3 is new: {version: '2.4'}",
    ]
    assert said({"shape": before}, {"shape": []}) == [
        "shape.1 is gone; it was {match: MSH-9.1 = 'RQA'}",
        "shape.2 is gone; it was {set: {PID-8: U}}",
        "shape.3 is gone; it was {when: AUT-1 = 'X', steps: [{drop: AUT-2 = 'X'}], otherwise: []}",
    ]


def test_equal_steps_are_passed_over() -> None:
    same = {"match": "MSH-9.1 = 'RQA'"}
    before, after = [same, {"drop": "PV1 present"}], [same, {"charset": "ASCII"}, {"drop": "PV1 present"}]
    assert said({"shape": before}, {"shape": after}) == ["shape.2 is new: {charset: ASCII}"]
    assert said({"shape": before}, {"shape": before}) == []


def test_a_secret_is_never_told() -> None:
    before, after = {"login": {"user": "ada", "password": "first"}}, {"login": {"user": "ada", "password": "second"}}
    found = channel_diff(wide(**before), wide(**after))
    found += channel_diff(wide(), wide(**after))
    found += channel_diff(wide(**before), wide())
    assert [each.text for each in found] == [
        "login.password is another secret",
        "login is new: {user: ada, password: (a secret)}",
        "login is gone; it was {user: ada, password: (a secret)}",
    ]
    assert not any(secret in str(found) for secret in ("first", "second"))
    assert said(before, {"login": {"user": "ada"}}) == ["login.password is gone; it was (a secret)"]


def test_a_long_value_is_cut() -> None:
    (text,) = said({}, {"title": "x" * 500})
    assert len(text) < 150
    assert text.endswith("...; it was empty")


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("api_key", True),
        ("tokens", True),
        ("Authorization", True),
        ("password_file", False),
        ("order_by", False),
        ("tokenize", False),
        ("private_key", False),
    ],
)
def test_which_keys_hold_secrets(key: str, secret: bool) -> None:
    assert is_secret(("destinations", key)) is secret
    assert is_secret(()) is False


def test_values_by_their_keys() -> None:
    data = {"a": [{"b": 1}, {"b": None}], "c": "x"}
    assert [(spelled(keys), value) for keys, value in leaves(data)] == [("a.1.b", 1), ("a.2.b", None), ("c", "x")]
