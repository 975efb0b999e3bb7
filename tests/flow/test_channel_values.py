"""Values of the environment in channel files: what they become, and what is said where one is missing."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_values import NO_ENVIRONMENT, filled, load_filled, variables

MINIMAL = "channel: north\nlisten: tcp:4001\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "north.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistake(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_filled(write(folder, text), ChannelFile, environment)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("plain", "plain"),
        ("tcp:${HOST}:${PORT}", "tcp:payer.example:2575"),
        ("${MISSING:-tcp:1}", "tcp:1"),
        ("${HOST:-other}", "payer.example"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${MISSING:-}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST costs 5$", "$HOST costs 5$"),
        ("${NESTED}", "${HOST}"),
    ],
)
def test_what_a_text_becomes(text: str, becomes: str) -> None:
    environment = {"HOST": "payer.example", "PORT": "2575", "EMPTY": "", "NESTED": "${HOST}"}
    assert filled(text, environment) == becomes


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A B}", "${A"])
def test_what_is_no_variable(text: str) -> None:
    with pytest.raises(ValueError, match="begins a variable"):
        filled(text, {"A": "1"})


def test_the_names_in_a_text() -> None:
    assert variables("${A}${B:-${A}$${C}") == ["A", "B"]


def test_texts_numbers_and_entries_of_lists_are_filled(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "channel: ${NAME}\nlisten: tcp:${PORT:-2575}\naccepts: {versions: ['${VERSION}']}\n"
        "limits: {connections: '${MOST}'}\nframing: {lenient: '${LENIENT}'}\n",
    )
    environment = {"NAME": "south", "VERSION": "2.5", "MOST": "7", "LENIENT": "false"}
    file = load_filled(path, ChannelFile, environment)
    assert type(file) is ChannelFile
    assert (file.channel, file.listen, file.accepts.versions) == ("south", "tcp:2575", ("2.5",))
    assert (file.limits.connections, file.framing.lenient) == (7, False)
    assert file == ChannelFile.model_validate(file.model_dump())


def test_a_file_without_variables_is_what_it_was(tmp_path: Path) -> None:
    assert load_filled(write(tmp_path, MINIMAL), ChannelFile, NO_ENVIRONMENT) == ChannelFile(
        channel="north", listen="tcp:4001"
    )


def test_a_missing_variable_is_named_by_file_line_key_and_variable(tmp_path: Path) -> None:
    text = "channel: north\nlisten: tcp:${PORT}\naccepts:\n  versions:\n  - '2.5'\n  - ${VERSION}\n"
    assert mistake(tmp_path, text) == (
        "north.yaml:2: listen: the variable PORT is not set (set it, or give a default: ${PORT:-...}); "
        "north.yaml:6: accepts.versions.1: the variable VERSION is not set "
        "(set it, or give a default: ${VERSION:-...})"
    )


def test_no_more_than_three_are_named(tmp_path: Path) -> None:
    text = "channel: ${A}\nlisten: ${B}\ntitle: ${C}\nprofile: ${D}\n"
    assert mistake(tmp_path, text).count("is not set") == 3


def test_a_value_is_checked_as_if_it_stood_in_the_file(tmp_path: Path) -> None:
    text = "channel: north\nlisten: tcp:1\nerrors: ${ERRORS}\nlimits: {connections: '${MOST}'}\n"
    said = mistake(tmp_path, text, ERRORS="maybe", MOST="many")
    assert "north.yaml:3: errors: Input should be 'reject' or 'accept'" in said
    assert "north.yaml:4: limits.connections: Input should be a valid integer" in said


def test_what_a_variable_holds_is_text_and_never_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "title: ${TITLE}\n")
    assert load_filled(path, ChannelFile, {"TITLE": "a\nerrors: accept"}).errors == "reject"


def test_mistakes_are_explained_as_ever(tmp_path: Path) -> None:
    said = mistake(tmp_path, MINIMAL + "erors: ${ERRORS:-reject}\n")
    assert said == "north.yaml:3: unknown key 'erors' (did you mean 'errors'?)"


def test_keys_are_never_filled(tmp_path: Path) -> None:
    assert "unknown key '${KEY}'" in mistake(tmp_path, MINIMAL + "${KEY}: 1\n", KEY="title")
