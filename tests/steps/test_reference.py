"""The reference page says what the models say, and its examples are read."""

from pathlib import Path

import pytest

from hl7auth.flow.channel import ChannelFile
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
    blocks = (DOCS / "howto" / "shape-a-message.md").read_text().split("```yaml\n")[1:]
    assert blocks
    for block in blocks:
        path = tmp_path / "own.yaml"
        path.write_text(block.partition("```")[0])
        model: type[StepsFile | ChannelFile] = ChannelFile if block.startswith("channel:") else StepsFile
        assert load(path, model).steps


def test_every_key_has_a_meaning_on_the_page() -> None:
    for line in page().splitlines():
        cells = line.split(" | ")
        assert len(cells) < 4 or cells[0] in ("| `text`", "| `hl7`") or cells[3].strip(" |"), line
