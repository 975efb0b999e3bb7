"""The reference page says what the models say, and its examples are read."""

import re
from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel
from hl7auth.rules.strict_yaml import load
from hl7auth.steps.model import STEPS, StepsFile, verb_of
from hl7auth.steps.reference import EXAMPLES, page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "reference" / "steps.md").read_text() == page()


@pytest.mark.parametrize("verb", STEPS)
def test_every_example_is_read(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"steps:\n{EXAMPLES[verb]}\n")
    assert {verb_of(step) for step in load(path, StepsFile).steps} == {verb}


def test_the_steps_of_the_howto_are_read(tmp_path: Path) -> None:
    channel, *blocks = blocks_of_the_howto("yaml")
    assert channel.startswith("channel: ")
    assert blocks
    for block in blocks:
        path = tmp_path / "own.yaml"
        path.write_text(block)
        assert load(path, StepsFile).steps


def test_the_channel_of_the_howto_is_read_with_its_table_and_function(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "payors.csv").write_text(
        next(block for block in blocks_of_the_howto("") if block.startswith("from,to"))
    )
    (tmp_path / "site_steps.py").write_text(blocks_of_the_howto("python")[0])
    path = tmp_path / "cedar.yaml"
    path.write_text(blocks_of_the_howto("yaml")[0])
    channel = load_channel(path)
    assert channel.steps  # reads the table
    assert set(channel.steps_out) == {"county"}
    assert {verb_of(step) for step in channel.file.steps} == {"match", "translate", "python"}
    assert {verb_of(step) for step in channel.file.destinations["county"].steps} == {
        "drop",
        "remove",
        "version",
        "charset",
    }


def blocks_of_the_howto(language: str) -> list[str]:
    """The fenced blocks of that language, in their order; without a language those that name none."""
    text = (DOCS / "howto" / "shape-a-message.md").read_text()
    return [
        body for name, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if name == language
    ]


def test_every_key_has_a_meaning_on_the_page() -> None:
    for line in page().splitlines():
        cells = line.split(" | ")
        assert len(cells) < 4 or cells[0] in ("| `text`", "| `hl7`") or cells[3].strip(" |"), line
