"""profile import and export as a person uses them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hl7auth.cli.profile_exchange import add
from hl7auth.errors import UserError
from hl7auth.rules.compiled import compile_profile
from hl7auth.rules.profile import load_profile
from tests.exchange.foreign import BUNDLE, REQUEST, TABLES

app = typer.Typer()
add(app)


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_profile_is_imported_into_a_file_and_the_losses_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "north.yaml"
    result = run("import", REQUEST, TABLES, "--output", path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        f"{path}: written",
        "not carried over: 9",
        "  referral-request.xml:6: DynamicDef: how messages are acknowledged is said by the channel",
    ]
    assert len(lines) == 11
    assert compile_profile(load_profile(path), "2.5.1").profile.profile == "north"


def test_without_a_file_the_profile_is_standard_output_and_nothing_else(tmp_path: Path) -> None:
    result = run("import", BUNDLE, "--message", "EAST-RQA", "--name", "east")
    (tmp_path / "east.yaml").write_text(result.stdout, encoding="utf-8")
    assert load_profile(tmp_path / "east.yaml").title == "Eastern authorization request"
    assert result.stderr.startswith("not carried over: 9\n  Slicings.xml:2: slices")


def test_a_report_as_json(tmp_path: Path) -> None:
    written = json.loads(run("import", REQUEST, "--format", "json", "--output", tmp_path / "n.yaml").stdout)
    assert (written["profile"], written["hl7_version"]) == ("n", "2.5.1")
    assert written["not_carried_over"][0] == {
        "place": "referral-request.xml:6",
        "what": "DynamicDef",
        "reason": "how messages are acknowledged is said by the channel",
    }
    shown = json.loads(run("import", REQUEST, "--format", "json").stdout)
    assert shown["text"].startswith("# Imported from Northern Clinics")


def test_a_profile_goes_out_and_comes_back(tmp_path: Path) -> None:
    out, again = tmp_path / "aut.xml", tmp_path / "aut.yaml"
    result = run("export", "aut-standard", "--hl7-version", "2.8.2", "--message", "RQA^I08", "--output", out)
    assert result.stdout.splitlines() == [
        f"{out}: written",
        "not carried over: 1",
        "  AUT-3: conformance length: the form has a greatest length only",
    ]
    assert run("import", out, "--output", again).exit_code == 0
    assert load_profile(again).events == {"RQA^I08": "RQA_I08"}
    text = run("export", again, "--message", "RQA^I08").stdout
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<HL7v2xConformanceProfile HL7Version="2.8.2"')


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("import", "nowhere.xml"), "nowhere.xml: no such file"),
        (("import", REQUEST, "--output", "/nowhere/there.yaml"), "/nowhere/there.yaml: no such file"),
        (
            ("export", "aut-standard", "--message", "RQA^I08", "--hl7-version", "3.0"),
            "HL7 version 3.0 is not supported",
        ),
        (("export", "no-such", "--message", "RQA^I08"), "unknown profile 'no-such'"),
        (("export", "aut-standard", "--message", "ABC^A01"), "ABC\\^A01 has no known structure"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str | Path, ...], problem: str) -> None:
    result = run(*words)
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=problem):
        raise result.exception
