"""Who answers, and what goes where, as `hl7auth plan` and `hl7auth channel test` say it."""

from pathlib import Path

import pytest
import yaml

from tests.cli.test_channels import channel, hl7auth, keep, write
from tests.engine import answer, request

FORWARDS = """destinations:
  payer: {mllp: {connect: "tls:payer.example:2575"}}
  ehr: {mllp: {connect: "tls:ehr.example:2575"}}
replies:
  answer: forward
  forward: {to: payer, within_seconds: 20}
  to: ehr
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A channel that forwards; its test asks, and the payor answers."""
    write(tmp_path, "north", FORWARDS)
    keep(tmp_path, "asked.hl7", request("C1") + b"\r" + answer("D1", "C1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plan_says_who_answers_and_what_goes_where(folder: Path) -> None:
    ran = hl7auth("plan", "--channel", "north", "--channels", ".", "--format", "json")
    asked, answered = ran.document
    assert asked["answered"] == "payer, on the connection within 20 s, later to ehr"
    assert list(asked["goes"]) == ["payer"]
    assert "|RQA^I08" in str(asked["goes"]["payer"])
    assert "|C1|" not in str(asked["goes"]["payer"])  # the payor sees a control id of ours
    assert answered["answered"].startswith("brings back: the answer")
    assert "MSA|AA|C1" in str(answered["goes"])


def test_plan_says_nothing_of_it_where_the_channel_does_not(folder: Path) -> None:
    write(folder, "north")
    for entry in hl7auth("plan", "--channel", "north", "--channels", ".", "--format", "json").document:
        assert {"answered", "goes"}.isdisjoint(entry)


def test_channel_test_holds_the_channel_to_it(folder: Path) -> None:
    assert channel("test", "north", "--channels", ".", "--update").code == 0
    path = folder / "north" / "tests" / "asked.expected.yaml"
    expected = yaml.safe_load(path.read_text())["messages"]
    assert expected[0]["answered"] == "payer, on the connection within 20 s, later to ehr"
    assert list(expected[0]["goes"]) == ["payer"]
    assert channel("test", "north", "--channels", ".").code == 0
    write(folder, "north", FORWARDS.replace("to: ehr", "to: connection"))
    ran = channel("test", "north", "--channels", ".")
    assert ran.code == 1
    assert "later to ehr" in ran.out
