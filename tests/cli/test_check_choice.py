"""Which profile a message chooses by MSH-21, MSH-12 and MSH-9."""

from pathlib import Path

import pytest

from hl7auth.cli.check_choice import Choice, check_folder
from hl7auth.errors import ConfigError, UserError
from hl7auth.wire.message import parse
from tests.rules.said import head


def chosen(folder: Path | None, kind: str = "RQA^I08", version: str = "2.5", identifier: str = "") -> str:
    msh = head(version, kind) + ("|" * (20 - head(version, kind).count("|")) + identifier if identifier else "")
    return Choice(folder).of(parse(msh.encode()))


def profile(folder: Path, name: str, applies: str) -> None:
    (folder / f"{name}.yaml").write_text(f"profile: {name}\ntitle: t\n{applies}\nsegments: {{}}\n")


@pytest.mark.parametrize("kind", ["RQA^I08", "RPA^I09", "REF^I12", "RRI^I15", "QQQ^Q01", "RQA"])
def test_without_anything_else_it_is_the_referral_profile(kind: str, tmp_path: Path) -> None:
    assert chosen(None, kind) == "referral"
    assert chosen(tmp_path, kind) == "referral"


def test_an_identifier_that_nobody_knows_changes_nothing() -> None:
    assert chosen(None, identifier="NOBODY^X") == "referral"


@pytest.mark.parametrize("identifier", ["OWN-1", "OWN-1^NS", "OTHER~OWN-1^NS", "~OWN-1"])
def test_an_identifier_in_any_repetition(identifier: str, tmp_path: Path) -> None:
    profile(tmp_path, "own", "applies: {identifiers: [OWN-1, OWN-2]}")
    assert chosen(tmp_path, identifier=identifier) == "own"
    assert chosen(tmp_path, identifier="OWN") == "referral"


def test_all_that_is_said_must_fit(tmp_path: Path) -> None:
    profile(tmp_path, "own", 'applies:\n  messages: [ZXA^Z02]\n  # a comment\n  versions: ["2.4", "2.5"]\n')
    assert chosen(tmp_path, "ZXA^Z02", "2.4") == "own"
    assert chosen(tmp_path, "ZXA^Z02", "2.6") == "referral"
    assert chosen(tmp_path, "ZXA^Z04", "2.4") == "referral"


def test_who_says_more_wins(tmp_path: Path) -> None:
    profile(tmp_path, "any-event", "applies: {messages: [ZXA]}")
    profile(tmp_path, "one-event", "applies: {messages: [ZXA^Z02]}")
    profile(tmp_path, "one-version", 'applies: {messages: [ZXA^Z02], versions: ["2.5"]}')
    profile(tmp_path, "by-name", "applies: {identifiers: [N]}")
    assert chosen(tmp_path, "ZXA^Z04") == "any-event"
    assert chosen(tmp_path, "ZXA^Z02", "2.4") == "one-event"
    assert chosen(tmp_path, "ZXA^Z02", "2.5") == "one-version"
    assert chosen(tmp_path, "ZXA^Z02", "2.5", "N") == "by-name"


def test_a_profile_of_ones_own_goes_before_the_shipped(tmp_path: Path) -> None:
    profile(tmp_path, "mine", "applies: {messages: [RQA^I08]}")
    assert chosen(tmp_path) == "mine"


def test_what_a_profile_inherits_does_not_choose_it(tmp_path: Path) -> None:
    profile(tmp_path, "base", "applies: {messages: [ZXA^Z02]}")
    profile(tmp_path, "derived", "extends: base")
    assert chosen(tmp_path, "ZXA^Z02") == "base"


@pytest.mark.parametrize("applies", ["applies: {message: [RQA^I08]}", "applies: [RQA]", "applies: {messages: [RQA"])
def test_a_mistake_is_named_with_its_file(applies: str, tmp_path: Path) -> None:
    profile(tmp_path, "own", applies)
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        chosen(tmp_path)


def test_a_sender_who_always_says_something_else_is_not_remembered_for_ever(tmp_path: Path) -> None:
    choice = Choice(tmp_path)
    for number in range(1_100):
        text = head() + "|" * (20 - head().count("|")) + f"ID{number}"
        assert choice.of(parse(text.encode())) == "referral"
    assert len(choice._chosen) <= 1_000


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    check_folder(None)
    check_folder(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        check_folder(tmp_path / "nowhere")
