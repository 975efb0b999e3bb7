"""`hl7auth profile list | show | check | diff | learn`."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hl7auth.cli.app import made
from tests.cli.test_commands import ENVIRONMENT, hl7auth, write
from tests.engine import request

OWN = """profile: own
title: Own
extends: aut-standard
segments:
  AUT:
    fields:
      3: {verb: SHALL, constant: Acme, conformance_length: 20=}
      6: {components: {1: {verb: SHALL, length: [8, 10]}}}
statements: [{id: own-1, segment: AUT, holds: AUT-1 valued, text: a plan is named}]
structures: {ZQA_Z02: "MSH PID [AUT]"}
events: {ZQA^Z02: ZQA_Z02}
"""


def profile(*words: str | Path) -> Result:
    return CliRunner(env=dict.fromkeys(ENVIRONMENT)).invoke(made(), ["profile", *map(str, words)])


def document(*words: str | Path) -> Any:
    result = profile(*words, "--format", "json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


class TestShow:
    def test_the_table_of_a_segment_as_hl7_draws_it(self) -> None:
        lines = profile("show", "aut-standard", "--hl7-version", "2.8.2", "--segment", "AUT").stdout.splitlines()
        titles = "Seq#|Data Element|Description|Flags|Implement|Cardinality|Length|C.LEN|Vocabulary|Data Type"
        header = next(line for line in lines if line.startswith("Seq#"))
        assert [header.find(title) >= 0 for title in titles.split("|")] == [True] * 10
        company = next(line for line in lines if "01147" in line)
        assert company.split()[:2] == ["2", "01147"]
        for word in ("Authorizing Payor, Company ID", "SHALL", "[1..1]", "0285", "CWE Coded with Exceptions"):
            assert word in company
        assert "#" in next(line for line in lines if "01148" in line)
        assert any(line.strip().startswith("AUT-6 is asked for where message.MSH-9.1 in") for line in lines)
        assert any(line.startswith("Flags: C condition") for line in lines)

    def test_as_plain_data(self, own: Path) -> None:
        whole = document("show", own, "--hl7-version", "2.8", "--segment", "AUT")
        rows = {str(row["number"]): row for row in whole["segments"]["AUT"]}
        assert len(rows) == 29
        rows |= {row["number"]: row for row in rows["6"]["components"]}
        assert (rows["3"]["verb"], rows["3"]["vocabulary"], rows["3"]["conformance_length"]) == ("SHALL", "'Acme'", 20)
        assert rows["3"]["flags"] == "="
        assert rows["3"]["source"].endswith("own.yaml:7")
        assert (rows["6.1"]["verb"], rows["6.1"]["length"], rows["6.1"]["cardinality"]) == ("SHALL", "8, 10", None)
        assert rows["6"]["conditional"] is True
        assert whole["structures"] == {"ZQA_Z02": "MSH PID [AUT]"}
        assert [each["id"] for each in whole["statements"]] == ["own-1"]

    def test_lengths_are_those_of_the_version(self) -> None:
        def row(version: str) -> Any:
            return document("show", "aut-standard", "--hl7-version", version)["segments"]["AUT"][2]

        assert (row("2.5")["length"], row("2.5")["conformance_length"]) == (45, None)
        assert (row("2.8")["length"], row("2.8")["conformance_length"]) == (None, 45)

    def test_a_withdrawn_field_is_marked(self) -> None:
        rows = document("show", "referral", "--hl7-version", "2.7", "--segment", "PR1")["segments"]["PR1"]
        assert (rows[1]["verb"], rows[1]["flags"]) == ("withdrawn", "W")

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["show", "nosuch"], "unknown profile 'nosuch'"),
            (["show", "aut-standard", "--hl7-version", "7"], "(7)"),
            (["show", "aut-standard", "--segment", "PID"], "says nothing of PID"),
            (["diff", "aut-standard", "nosuch"], "unknown profile 'nosuch'"),
            (["diff", "aut-standard", "referral", "--hl7-version", "7"], "7"),
            (["learn", "nowhere.hl7"], "no such file"),
            (["learn", "a.hl7", "--name", "x", "--output", "y.yaml"], "is called x.yaml"),
            (["learn", "a.hl7", "--extends", "nosuch"], "unknown profile 'nosuch'"),
            (["learn", "old.hl7"], "nothing to learn from"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, words: list[str], sentence: str, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", request())
        write(tmp_path, "old.hl7", request().replace(b"|P|2.5", b"|P|1.0"))
        result = hl7auth("profile", *words, folder=tmp_path)
        assert (result.returncode, result.stdout) == (2, b"")
        assert sentence in result.stderr.decode()
        assert len(result.stderr.splitlines()) == 1


class TestCheck:
    def test_a_good_file_with_its_doubts(self, own: Path) -> None:
        result = profile("check", own)
        assert result.exit_code == 0
        assert "profile own is good" in result.stdout
        assert "table 0551" in result.stdout

    def test_a_mistake_names_file_line_and_key(self, own: Path) -> None:
        own.write_text(OWN.replace("verb: SHALL, constant", "verb: SHALL, constnat"))
        (entry,) = document("check", own)
        assert entry["good"] is False
        assert "own.yaml:7: unknown key" in entry["mistake"]
        assert profile("check", own).exit_code == 1

    def test_several_files(self, own: Path, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("profile: bad\n")
        result = profile("check", own, tmp_path / "bad.yaml")
        assert result.exit_code == 1
        assert "own is good" in result.stdout
        assert "key 'title' is missing" in result.stdout


class TestDiff:
    def test_what_changed_in_words(self, own: Path) -> None:
        text = profile("diff", "aut-standard", own).stdout
        assert text.startswith("own compared with aut-standard: ")
        assert (
            "\nstricter\n  AUT-3 Authorizing Payor, Company Name: usage: required (SHALL) (before: optional (MAY))"
            in text
        )
        assert "own-1: statement" in text

    def test_versions_are_named_where_it_is_not_all(self) -> None:
        text = profile("diff", "aut-framework", "aut-standard").stdout
        lines = [line.strip() for line in text.splitlines() if "usage" in line]
        assert lines[0].startswith("AUT-2 ")
        assert not lines[0].endswith("2.9.1)")
        assert lines[1].startswith("AUT-13 ")
        assert lines[1].endswith("(2.8 to 2.9.1)")

    def test_as_plain_data(self, own: Path) -> None:
        whole = document("diff", own, "aut-standard", "--hl7-version", "2.5", "--hl7-version", "2.8")
        assert (whole["before"], whole["after"]) == ("own", "aut-standard")
        (usage,) = [each for each in whole["differences"] if (each["path"], each["what"]) == ("AUT-3", "usage")]
        assert (usage["kind"], usage["versions"]) == ("looser", ["2.5", "2.8"])

    def test_no_difference(self) -> None:
        assert "no difference" in profile("diff", "referral", "referral", "--hl7-version", "2.5").stdout


class TestLearn:
    def traffic(self, folder: Path) -> Path:
        inner = folder / "traffic"
        inner.mkdir()
        for number in range(6):
            write(inner, f"{number}.hl7", request(f"C{number}"))
        write(inner, "broken.hl7", b"MSH|^~\\&")
        return inner

    def test_a_profile_that_can_be_used_at_once(self, tmp_path: Path) -> None:
        traffic = self.traffic(tmp_path)
        result = profile("learn", traffic, "--name", "partner", "--output", tmp_path)
        assert result.exit_code == 0
        assert "proposed from 6 messages" in result.stdout
        path = tmp_path / "partner.yaml"
        assert profile("check", path).exit_code == 0
        text = path.read_text()
        assert "extends: referral" in text
        assert "Quill" not in text
        assert "77001" not in text
        checked = CliRunner().invoke(made(), ["check", str(traffic / "0.hl7"), "--profile", str(path)])
        assert checked.exit_code == 0, checked.stdout

    def test_to_the_terminal_and_over_nothing(self, tmp_path: Path) -> None:
        result = profile("learn", self.traffic(tmp_path), "--extends", "none")
        assert 'profile: "learned"' in result.stdout
        assert "extends" not in result.stdout

    def test_a_file_that_can_not_be_written(self, tmp_path: Path) -> None:
        result = hl7auth("profile", "learn", str(self.traffic(tmp_path)), "-o", "no/learned.yaml", folder=tmp_path)
        assert (result.returncode, b"no such file" in result.stderr) == (2, True)


def test_the_list_takes_a_folder_of_ones_own(own: Path) -> None:
    rows = document("list", "--profiles", own.parent)
    assert ("own", "aut-standard") in [(row["profile"], row["extends"]) for row in rows]
    assert "own" in profile("list", "--profiles", own.parent).stdout
