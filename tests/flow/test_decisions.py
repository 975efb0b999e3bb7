"""The key `decisions` of a channel, and the rules that are shipped as an example."""

from pathlib import Path

import pytest

from hl7auth.domain.rule_model import load_rules
from hl7auth.errors import ConfigError
from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_doubts import channel_doubts
from hl7auth.resources import shipped

CHANNEL = "channel: north\nlisten: tcp:0:interface=127.0.0.1\n"
RULES = "rules: r\nsteps:\n  - step: a\n    callouts: [{callout: used, python: 'benefit:used'}]\n"


def _written(folder: Path, rules: str, named: str = "rules/r.yaml") -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "r.yaml").write_text(rules, encoding="utf-8")
    path = folder / "north.yaml"
    path.write_text(f"{CHANNEL}decisions:\n  rules: {named}\n", encoding="utf-8")
    return path


def test_the_version_of_a_channel_is_also_that_of_its_rules(tmp_path: Path) -> None:
    first = load_channel(_written(tmp_path, RULES))
    assert first.rules is not None
    assert [each.callout for each in first.rules.callouts] == ["used"]
    second = load_channel(_written(tmp_path, RULES.replace("step: a", "step: b")))
    assert first.version != second.version


@pytest.mark.parametrize(
    ("rules", "named", "said"),
    [
        ("rules: r\nsteps: []\n", "rules/r.yaml", "r.yaml:2: steps"),
        (RULES, "rules/none.yaml", "none.yaml: No such file"),
        (RULES, "r.yaml", "north.yaml:4: decisions.rules: what is beside a channel would be a channel"),
        (RULES, "rules/r.csv", "'rules/r.csv' is no YAML file"),
    ],
)
def test_a_mistake_stops_the_channel(tmp_path: Path, rules: str, named: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        load_channel(_written(tmp_path, rules, named))
    assert said in str(told.value)


def test_what_is_doubtful_about_decisions(tmp_path: Path) -> None:
    channel = load_channel(_written(tmp_path, RULES))
    found = channel_doubts(channel, (), lambda _: None, 0, lambda call: f"{call.function} is not there")
    said = {each.key: (each.text, each.fails) for each in found if each.key.startswith("decisions")}
    assert said["decisions.rules"] == ("callout used: benefit:used is not there", True)
    assert said["decisions"][1] is False


def test_the_rules_that_are_shipped_are_good() -> None:
    rules = load_rules(shipped("channels") / "referral-intake" / "rules" / "therapy.yaml")
    assert [each.step for each in rules.steps] == ["complete", "decide"]
