"""`hl7auth check` as analysts, builds and partners use it: real files, real processes, every form of report."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from hl7auth.cli.app import made
from hl7auth.cli.check_input import BLOCK
from hl7auth.wire.framing import frame
from tests.cli.test_commands import ENVIRONMENT, hl7auth, write
from tests.engine import request

GOOD = request()
BAD = request("C2").replace(b"|ACME|", b"||")
SAMPLES = Path(__file__).parents[2] / "sample_messages"
PROFILE = """
profile: strict
title: A partner's own
extends: referral
applies: {identifiers: [STRICT-1]}
segments: {AUT: {fields: {3: {verb: SHALL NOT}}}}
"""


def check(*words: str | Path, stdin: bytes = b"") -> Result:
    """In this process: the exit code, standard output and what was raised."""
    return CliRunner(env=dict.fromkeys(ENVIRONMENT)).invoke(made(), ["check", *map(str, words)], input=stdin)


def reports(*words: str | Path, stdin: bytes = b"") -> Any:
    return json.loads(check(*words, "--format", "json", stdin=stdin).stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four messages in three files, and two files that are something else."""
    inner = tmp_path / "in" / "deeper"
    inner.mkdir(parents=True)
    (inner / "bad.ER7").write_bytes(BAD)
    (tmp_path / "in" / "two.hl7").write_bytes(GOOD + request("C3"))
    (tmp_path / "in" / "capture.bin").write_bytes(frame(GOOD))
    (tmp_path / "in" / "notes.md").write_text("nothing\nMSH|^~\\&|in a text\n")
    (tmp_path / "in" / ".hidden.hl7").write_bytes(BAD)
    return tmp_path / "in"


class TestWhatIsRead:
    def test_a_folder_with_all_that_is_below_it(self, folder: Path) -> None:
        found = reports(folder)
        assert [(Path(each["file"]).name, each["number"], each["exit"]) for each in found] == [
            ("capture.bin", 1, 0), ("two.hl7", 1, 0), ("two.hl7", 2, 0), ("bad.ER7", 1, 1),
        ]  # fmt: skip

    def test_files_that_hold_no_message_are_counted(self, folder: Path) -> None:
        assert "1 file without any message left out" in check(folder).stdout

    def test_a_file_that_is_called_a_message_must_be_one(self, folder: Path) -> None:
        (folder / "odd.hl7").write_text("hello")
        (folder / "empty.txt").write_text("\r\n")
        result = check(folder)
        assert result.exit_code == 2
        assert "odd.hl7: (no control id): unusable" in result.stdout
        assert "empty.txt: (no control id): unusable: holds no HL7 message" in result.stdout

    def test_segments_joined_by_blanks_are_told_as_what_they_are(self, folder: Path) -> None:
        (folder / "joined.hl7").write_bytes(GOOD.replace(b"\r", b" "))
        result = check(folder / "joined.hl7")
        assert result.exit_code == 2
        assert "joined.hl7: C1: unusable: the segments are joined by blanks" in result.stdout

    def test_standard_input(self) -> None:
        (report,) = reports("-", stdin=BAD)
        assert (report["file"], report["control_id"], report["exit"]) == ("-", "C2", 1)

    def test_a_batch_whose_count_is_wrong(self, tmp_path: Path) -> None:
        (tmp_path / "b.hl7").write_bytes(b"BHS|^~\\&\r" + GOOD + request("C3") + b"BTS|3\r")
        first, last = reports(tmp_path / "b.hl7")
        assert first["findings"] == []
        assert (last["findings"][0]["rule"], last["findings"][0]["path"]) == ("batch.count", "BTS-1")
        assert "BTS-1 says 3 messages, 2 found" in last["findings"][0]["text"]
        assert last["findings"][0]["mend"] == "Send in BTS-1 how many messages the batch has."
        assert last["exit"] == 0

    def test_a_file_larger_than_a_block(self, tmp_path: Path) -> None:
        path = tmp_path / "large.hl7"
        count = 2 * BLOCK // len(request("C100000")) + 10
        path.write_bytes(b"".join(request(f"C{100_000 + number}") for number in range(count)) + BAD)
        found = json.loads(check(path, "--format", "json", "--summary").stdout)
        assert (found["files"], found["messages"], found["failed"]) == (1, count + 1, 1)
        assert found["rules"][0]["example"].endswith(f"large.hl7[{count + 1}], AUT-2")

    def test_nothing_to_check_is_a_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "x.md").write_text("text")
        for path in (tmp_path, tmp_path / "nowhere"):
            assert hl7auth("check", str(path), folder=tmp_path).returncode == 2
        assert b"no such file" in hl7auth("check", "nowhere", folder=tmp_path).stderr

    def test_a_file_that_can_not_be_read_does_not_stop_the_others(self, folder: Path) -> None:
        (folder / "gone.hl7").symlink_to(folder / "nowhere")
        (folder / "loop").symlink_to(folder)
        assert len(reports(folder)) == 4


class TestWhichProfile:
    def test_the_referral_types_are_checked_as_referrals(self, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", GOOD)
        assert reports(tmp_path / "a.hl7")[0]["profile"] == "referral"
        assert "profile referral" in check(tmp_path / "a.hl7").stdout

    def test_msh_21_names_another(self, tmp_path: Path) -> None:
        (tmp_path / "strict.yaml").write_text(PROFILE)
        write(tmp_path, "a.hl7", GOOD.replace(b"|P|2.5", b"|P|2.5|||||||||X~STRICT-1^PAYER"))
        (report,) = reports(tmp_path / "a.hl7", "--profiles", tmp_path)
        assert report["profile"] == "strict"
        assert report["findings"][0]["rule"] == "AUT-3.usage"

    def test_a_name_or_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "strict.yaml").write_text(PROFILE)
        write(tmp_path, "a.hl7", GOOD)
        assert reports(tmp_path / "a.hl7", "--profile", tmp_path / "strict.yaml")[0]["profile"] == "strict"
        by_name = reports(tmp_path / "a.hl7", "--profile", "strict", "--profiles", tmp_path)
        assert by_name[0]["findings"][0]["rule"] == "AUT-3.usage"
        assert reports(tmp_path / "a.hl7", "--profile", "aut-framework")[0]["profile"] == "aut-framework"

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--profile", "nosuch"], "unknown profile 'nosuch'"),
            (["--profile", "nosuch.yaml"], "nosuch.yaml"),
            (["--profiles", "nowhere"], "no such folder of profiles"),
            (["--output", "nowhere/x.html"], "no such file or directory"),
            (["--summary", "--format", "junit"], "JUnit has a case for each message"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, words: list[str], sentence: str, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", GOOD)
        result = hl7auth("check", "a.hl7", *words, folder=tmp_path)
        assert result.returncode == 2
        assert result.stdout == b""
        assert result.stderr.decode().startswith("hl7auth: ")
        assert sentence.lower() in result.stderr.decode().lower()
        assert len(result.stderr.splitlines()) == 1


class TestReports:
    def test_the_segment_has_a_caret_and_no_values(self, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", BAD.replace(b"Acme Health|", b"Quill|2026-13-01"))
        text = check(tmp_path / "a.hl7").stdout
        assert "line 5: AUT|AAAA||Aaaaa|9999-99-99||||9" in text
        assert "^^^^^^^^^^" in text
        assert "Quill" not in text
        assert "AUT|GOLD||Quill|2026-13-01||||3" in check(tmp_path / "a.hl7", "--values").stdout

    def test_junit_counts_messages(self, folder: Path) -> None:
        root = ElementTree.fromstring(check(folder, "--format", "junit").stdout)
        assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "0")
        assert len(root.findall("testsuite")) == 3

    def test_html_goes_to_a_file(self, folder: Path, tmp_path: Path) -> None:
        page = folder / "report.html"
        for _ in range(2):  # the second time the page lies among what is checked
            result = check(folder, "--format", "html", "--output", page)
            assert (result.exit_code, result.stdout) == (1, "")
            assert page.read_text().startswith("<!DOCTYPE html>")
        assert "4 messages in 3 files" in page.read_text()
        assert str(tmp_path) in result.stderr

    def test_a_summary_of_all(self, folder: Path) -> None:
        text = check(folder, "--summary").stdout
        assert text.startswith("4 messages in 3 files: 3 clean, 0 with warnings, 1 with errors, 0 not usable")
        assert "profiles: referral (4)" in text
        assert "AUT-2.usage" in text
        assert "bad.ER7, AUT-2" in text
        assert check(folder, "--summary", "--format", "html").stdout.endswith("</html>\n")

    def test_what_is_right_is_told_where_it_is_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", GOOD)
        (report,) = reports(tmp_path / "a.hl7", "--affirmative")
        severities = {finding["severity"] for finding in report["findings"]}
        assert {"affirmative", "specification"} <= severities
        assert report["exit"] == 0

    def test_an_event_without_a_structure(self, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", GOOD.replace(b"RQA^I08", b"ZZZ^Z99"))
        (report,) = reports(tmp_path / "a.hl7")
        (finding,) = [each for each in report["findings"] if each["rule"] == "MSH-9.structure"]
        first, last = finding["bytes"]
        assert GOOD.replace(b"RQA^I08", b"ZZZ^Z99")[first:last] == b"ZZZ^Z99"

    def test_an_unknown_version_is_unusable(self, tmp_path: Path) -> None:
        write(tmp_path, "a.hl7", GOOD.replace(b"|P|2.5", b"|P|2.99"))
        result = check(tmp_path / "a.hl7", "--format", "json")
        assert result.exit_code == 2
        assert "2.99" in json.loads(result.stdout)[0]["unusable"]

    def test_no_value_of_the_samples_is_on_the_page(self) -> None:
        page = check(SAMPLES, "--format", "html").stdout
        allowed = page.partition("<body>")[0] + " ".join(path.name for path in SAMPLES.iterdir())
        shown = page.partition("<body>")[2]
        for path in SAMPLES.glob("*.hl7"):
            for segment in path.read_bytes().decode("latin_1").replace("\n", "\r").split("\r"):
                if segment[:3] in ("PID", "NK1", "GT1", "PRD"):
                    values = {each for each in segment[4:].replace("^", "|").split("|") if len(each) > 5}
                    assert not [each for each in values if each in shown and each not in allowed], path.name


class TestManyFiles:
    def many(self, folder: Path, count: int) -> None:
        for number in range(count):
            (folder / f"{number:04}.hl7").write_bytes(
                (BAD if number % 7 == 0 else GOOD).replace(b"C1", b"M%d" % number)
            )

    def test_several_processes_report_what_one_does(self, tmp_path: Path) -> None:
        self.many(tmp_path, 150)
        alone = hl7auth("check", ".", "--format", "json", "--jobs", "1", folder=tmp_path)
        together = hl7auth("check", ".", "--format", "json", "--jobs", "3", folder=tmp_path)
        assert (alone.returncode, together.returncode) == (1, 1)
        assert alone.stdout == together.stdout
        assert together.stderr == b""

    def test_two_hundred_files_are_shared_by_themselves(self, tmp_path: Path) -> None:
        self.many(tmp_path, 200)
        result = hl7auth("check", ".", "--summary", folder=tmp_path)
        assert result.stdout.startswith(b"200 messages in 200 files: 171 clean")

    def test_a_mistake_in_another_process_is_one_sentence(self, tmp_path: Path) -> None:
        self.many(tmp_path, 40)
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "mine.yaml").write_text("profile: mine\ntitle: t\napplies: {messages: [RQA^I08]}\nodd: 1\n")
        result = hl7auth("check", ".", "--jobs", "2", "--profiles", "own", folder=tmp_path)
        assert result.returncode == 2
        assert b"unknown key 'odd'" in result.stderr
        assert b"Traceback" not in result.stderr

    def test_a_bar_on_a_terminal_and_none_in_the_report(self, tmp_path: Path) -> None:
        self.many(tmp_path, 70)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "hl7auth", "check", ".", "--output", "report.txt"],
            cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL, env=ENVIRONMENT | {"TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        drawn = _read_all(ours)
        assert process.wait(timeout=60) == 1
        assert b"checking" in drawn
        assert b"70/70" in drawn
        assert "checking" not in (tmp_path / "report.txt").read_text()


def _read_all(terminal: int) -> bytes:
    drawn = b""
    try:
        while block := os.read(terminal, 4096):
            drawn += block
    except OSError:  # the other end was closed
        pass
    os.close(terminal)
    return drawn


def test_it_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    """The budget of half a second is kept by what is not imported."""
    write(tmp_path, "a.hl7", GOOD)
    script = (
        "import sys; sys.argv = ['hl7auth', 'check', 'a.hl7']\n"
        "from hl7auth.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'twisted', 'sqlalchemy', 'alembic', 'rich', 'multiprocessing', 'hl7auth.flow', 'hl7auth.domain'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("form", ["text", "json", "junit", "html"])
def test_a_report_tells_no_value_that_stands_where_a_code_should(tmp_path: Path, form: str) -> None:
    head = "MSH|^~\\&|A|B|C|D|20260101||{event}|1|P|{version}||||||{charset}"
    tails = (
        head.format(event="RQA^Quillfeather", version="2.5", charset=""),
        head.format(event="RQA^I08", version="Quillfeather", charset=""),
        head.format(event="RQA^I08", version="2.5", charset="Quillfeather"),
        "BHS|^~\\&\r" + head.format(event="RQA^I08", version="2.5", charset="") + "\rBTS|Quillfeather",
    )
    for number, text in enumerate(tails):
        (tmp_path / f"{number}.hl7").write_text(text + "\r")
    result = CliRunner().invoke(made(), ["check", str(tmp_path), "--format", form], env=ENVIRONMENT)
    assert result.exit_code == 2
    assert "Quill" not in result.output
