"""The commands for channels as an analyst uses them: check, test, record, diff and schema, by name and by file."""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from hl7auth.cli.app import main
from hl7auth.flow.channel import load_channel
from hl7auth.resources import shipped
from hl7auth.store.channel_versions import record_versions
from tests.certificates import Authority
from tests.cli.inline import Ran
from tests.engine import answer, request
from tests.flow.json_schema import faults
from tests.store.stored import START, Store

LOCAL = "tcp:4001:interface=127.0.0.1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one channel, where the commands are run."""
    write(tmp_path, "north")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, more: str = "", listen: str = LOCAL) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"channel: {name}\nlisten: {listen}\n{more}", encoding="utf-8")
    return path


def keep(folder: Path, name: str, raw: bytes, channel: str = "north") -> Path:
    """A message among the tests of a channel."""
    path = folder / channel / "tests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def channel(*words: str) -> Ran:
    """`hl7auth channel ...` in the process of the test."""
    return hl7auth("channel", *words)


def hl7auth(*words: str) -> Ran:
    """`hl7auth ...`, likewise."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["hl7auth", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def document(*words: str, code: int = 0) -> Any:
    ran = channel(*words, "--format", "json")
    assert ran.code == code, ran.err
    return ran.document


def test_the_schema_is_one_json_document_that_takes_the_shipped_channel() -> None:
    schema = channel("schema").document
    data = yaml.safe_load((shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8"))
    assert list(faults(data, schema)) == []
    assert schema["$schema"].endswith("2020-12/schema")


def test_the_shipped_channel_is_good_and_its_tests_pass() -> None:
    assert channel("check").code == 0
    (entry,) = document("check")
    assert (entry["good"], entry["channel"], entry["questionable"]) == (True, "referral-intake", [])
    ran = channel("test")
    assert ran.code == 0
    assert "referral-intake/approved: as expected (2 message(s))" in ran.out
    tests = {entry["test"]: entry for entry in document("test", "referral-intake")}
    assert {"approved", "cancelled", "payor-missing", "sent-twice", "test-feed"} <= tests.keys()
    assert all(entry["passed"] for entry in tests.values())


def test_check_takes_a_name_a_file_or_a_folder(folder: Path) -> None:
    write(folder, "south", listen="tcp:4002:interface=127.0.0.1")
    assert [entry["channel"] for entry in document("check", "--channels", ".")] == ["north", "south"]
    assert [entry["channel"] for entry in document("check", "south", "--channels", ".")] == ["south"]
    assert [entry["channel"] for entry in document("check", "south.yaml")] == ["south"]
    ran = channel("check", "east", "--channels", ".")
    assert (ran.code, ran.out) == (2, "")
    assert "unknown channel 'east' (known: north, south)" in ran.err


def test_check_tells_what_fails_by_its_exit_status(folder: Path) -> None:
    write(folder, "south", listen="tcp:4001")
    (entry,) = document("check", "south.yaml", code=1)
    assert not entry["good"]
    assert [each["fails"] for each in entry["questionable"]] == [True, False]
    ran = channel("check", "south.yaml")
    assert ran.code == 1
    assert ran.out.splitlines()[:2] == [
        "south.yaml: channel south would fail in 1 place(s); 1 thing(s) are questionable",
        "  south.yaml:2: fails: listen: port 4001 is already listened on by channel north (north.yaml:2)",
    ]
    assert [entry["good"] for entry in document("check", "--channels", ".", code=1)] == [True, False]


def test_what_is_questionable_does_not_fail(folder: Path) -> None:
    write(folder, "north", "clocks: {expedited_hours: 500}\n")
    ran = channel("check", "north.yaml")
    assert ran.code == 0
    assert "north.yaml: channel north is good; 1 thing(s) are questionable\n  north.yaml:3: clocks" in ran.out


def test_check_reads_certificates(folder: Path) -> None:
    (folder / "own.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    write(folder, "north", "tls: {certificate: own.pem}\n")
    assert "own.pem: it holds a certificate that can not be read" in channel("check", "north.yaml").out


def test_check_tells_who_can_read_a_private_key(folder: Path) -> None:
    Authority(folder).sign("own")
    write(folder, "north", "tls: {certificate: own.pem, key: own.key}\n")
    assert document("check", "north.yaml")[0]["questionable"] == []
    (folder / "own.key").chmod(0o644)
    (found,) = document("check", "north.yaml")[0]["questionable"]
    assert (found["key"], found["fails"]) == ("tls.key", False)
    assert found["text"] == "everybody on this machine can read own.key"


def test_every_wrong_file_of_a_folder_is_told(folder: Path) -> None:
    write(folder, "east", "erors: accept\n")
    write(folder, "west", "profile: nosuch\n")
    entries = document("check", "--channels", ".", code=1)
    assert [entry["good"] for entry in entries] == [True, False, False]
    assert "east.yaml:3: unknown key 'erors'" in entries[1]["mistake"]
    assert "west.yaml:3: profile: unknown profile 'nosuch'" in entries[2]["mistake"]
    assert channel("check", "east.yaml").out.startswith("east.yaml:3: unknown key 'erors'")


def test_a_wrong_neighbour_does_not_keep_a_channel_from_being_checked(folder: Path) -> None:
    (folder / "broken.yaml").write_text("no: channel\n", encoding="utf-8")
    assert document("check", "north.yaml")[0]["good"]


def test_two_channels_of_one_name_are_a_mistake(folder: Path) -> None:
    (folder / "other.yaml").write_text("channel: north\nlisten: tcp:4002\n", encoding="utf-8")
    (entry,) = document("check", "--channels", ".", code=1)
    assert "'north' is already used by" in entry["mistake"]


def test_a_test_is_written_compared_and_fails_with_a_diff(folder: Path) -> None:
    keep(folder, "granted.1.hl7", request("C1", referral="R1"))
    keep(folder, "granted.2.hl7", answer("P1", "C1", referral="R1"))
    ran = channel("test", "north.yaml")
    assert (ran.code, "NOT TESTED" in ran.out) == (1, True)
    ran = channel("test", "north.yaml", "--update")
    assert ran.code == 0
    assert "north/granted: written" in ran.out
    path = folder / "north" / "tests" / "granted.expected.yaml"
    assert [each["file"] for each in yaml.safe_load(path.read_text(encoding="utf-8"))["messages"]] == [
        "granted.1.hl7",
        "granted.2.hl7",
    ]
    assert channel("test", "north", "--channels", ".").code == 0
    write(folder, "north", "accepts: {messages: [RQA]}\n")
    ran = channel("test", "north.yaml")
    assert ran.code == 1
    assert "north/granted: NOT AS EXPECTED" in ran.out
    assert "  -    disposition: accepted" in ran.out
    assert "  +    disposition: refused" in ran.out
    (entry,) = document("test", "north.yaml", code=1)
    assert (entry["passed"], entry["messages"][1]["disposition"]) == (False, "refused")
    assert "+    disposition: refused" in entry["diff"]


def test_what_is_as_expected_is_not_written_again(folder: Path) -> None:
    keep(folder, "asked.hl7", request())
    path = folder / "north" / "tests" / "asked.expected.yaml"
    path.write_text("# short on purpose\nabout: It is taken.\nmessages: [{file: asked.hl7, code: AA}]\n")
    assert [entry["updated"] for entry in document("test", "north.yaml", "--update")] == [False]
    assert path.read_text(encoding="utf-8").startswith("# short on purpose")
    write(folder, "north", "accepts: {messages: [RPA]}\n")
    assert [entry["updated"] for entry in document("test", "north.yaml", "--update")] == [True]
    assert "about: It is taken.\n" in path.read_text(encoding="utf-8")
    assert "code: AR\n" in path.read_text(encoding="utf-8")


def test_tests_leave_no_trace(folder: Path) -> None:
    keep(folder, "asked.hl7", request())
    channel("test", "north.yaml", "--update")
    before = sorted(folder.rglob("*"))
    assert channel("test", "north.yaml").code == 0
    assert sorted(folder.rglob("*")) == before


def test_a_folder_without_tests_and_files_that_miss_their_other_half(folder: Path) -> None:
    ran = channel("test", "north.yaml")
    assert ran.code == 2
    assert "there is no test in north/tests" in ran.err
    keep(folder, "asked.hl7", request())
    keep(folder, "gone.expected.yaml", b"messages: [{file: gone.hl7}]\n")
    ran = channel("test", "north.yaml")
    assert ran.code == 2
    assert "gone.expected.yaml: there is no message gone.hl7 beside it" in ran.err
    keep(folder, "gone.expected.yaml", b"messages: [{file: gone.hl7, rout: []}]\n")
    keep(folder, "gone.hl7", request())
    ran = channel("test", "north.yaml")
    assert ran.code == 2
    assert "gone.expected.yaml:1: unknown key 'messages.0.rout'" in ran.err


def test_a_file_may_hold_several_messages(folder: Path) -> None:
    keep(folder, "both.hl7", request("C1", referral="R1") + answer("P1", "C1", referral="R1"))
    (entry,) = document("test", "north.yaml", "--update")
    assert [each["event"] for each in entry["messages"]] == ["RQA^I08", "RPA^I08"]


def recorded(folder: Path, *words: str) -> Ran:
    """Two messages in a store of this channel, and a test of them."""
    store = Store(folder, migrate=True)
    store.send(request("CTRL-77", referral="REF-77"), answer("ANSW-77", "CTRL-77", "AUTH-77", referral="REF-77"))
    store.close()
    return channel("test", "north.yaml", "--database", store.url, *words)


def test_a_story_is_recorded_with_other_people_in_it(folder: Path) -> None:
    ran = recorded(folder, "--record", "1", "--record", "2", "--as", "granted")
    assert ran.code == 0, ran.err
    files = sorted(path.name for path in (folder / "north" / "tests").iterdir())
    assert files == ["granted.1.hl7", "granted.2.hl7", "granted.expected.yaml"]
    whole = b"".join(path.read_bytes() for path in (folder / "north" / "tests").iterdir())
    for value in (b"Quill", b"Ivo", b"Moss", b"77001", b"19800102", b"CTRL-77", b"REF-77", b"AUTH-77", b"ANSW"):
        assert value not in whole
    (entry,) = document("test", "north.yaml")
    assert entry["passed"]
    assert [(each["disposition"], len(each["changes"])) for each in entry["messages"]] == [
        ("accepted", 1),
        ("accepted", 2),  # the answer still finds its request
    ]
    assert "Read the files before you keep them" in ran.out


def test_what_ended_otherwise_in_the_archive_is_said(folder: Path) -> None:
    ran = recorded(folder, "--record", "1")
    assert (folder / "north" / "tests" / "recorded-1.hl7").exists()
    assert "message 1 was" not in ran.out
    write(folder, "north", "accepts: {messages: [RPA]}\n")
    url = f"sqlite:///{folder}/store.db"
    assert (
        "message 1 was accepted then, and is refused here"
        in channel("test", "north.yaml", "--record", "1", "--as", "refused", "--database", url).out
    )
    entry = document("test", "north.yaml", "--record", "1", "--as", "third", "--database", url)
    assert (entry["test"], entry["messages"]) == ("third", [{"id": "1", "then": "accepted", "now": "refused"}])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--record", "99"], "there is no message 99"),
        (["--record", "1", "--as", "../up"], "'../up' is no name of a test"),
        (["--record", "1", "--as", "taken"], "there is such a test; give another name with --as"),
    ],
)
def test_what_can_not_be_recorded_is_one_sentence(words: list[str], sentence: str, folder: Path) -> None:
    keep(folder, "taken.hl7", request())
    ran = recorded(folder, *words)
    assert (ran.code, ran.out) == (2, "")
    assert sentence in ran.err
    assert [path.name for path in (folder / "north" / "tests").iterdir()] == ["taken.hl7"]


def test_what_is_no_message_can_not_be_disguised(folder: Path) -> None:
    store = Store(folder, migrate=True)
    store.send(b"hello Ivo Quill")
    store.close()
    ran = channel("test", "north.yaml", "--record", "1", "--database", store.url)
    assert ran.code == 2
    assert "what is no HL7 message can not be disguised" in ran.err
    assert "Quill" not in ran.err


def test_differences_in_words(folder: Path) -> None:
    write(folder, "south", "errors: accept\nprofile: aut-standard\n", listen="tcp:4002")
    ran = channel("diff", "north.yaml", "south.yaml")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "south compared with north: 3 difference(s)",
        "  listen is tcp:4002; it was tcp:4001:interface=127.0.0.1",
        "  profile is aut-standard; it was referral",
        "  errors is accept; it was reject",
        "What the profiles differ in: hl7auth profile diff referral aut-standard",
    ]
    whole = document("diff", "north", "south", "--channels", ".")
    assert (whole["before"], whole["after"]) == ("north", "south")
    assert [each["key"] for each in whole["differences"]] == ["listen", "profile", "errors"]
    assert channel("diff", "north.yaml", "north.yaml").out == "north compared with north: no difference\n"
    assert channel("diff", "north", "east", "--channels", ".").code == 2


def test_the_documents_are_json_alone() -> None:
    for words in (("check",), ("test",), ("list",), ("diff", "referral-intake", "referral-intake")):
        json.loads(channel(*words, "--format", "json").out)


def test_values_come_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "destinations: {payer: {mllp: {connect: 'tls:${PAYER_HOST}:${PAYER_PORT:-2575}'}}}\n"
    write(folder, "north", more)
    ran = channel("check", "north.yaml")
    assert ran.code == 1
    assert ran.out.startswith(
        "north.yaml:3: destinations.payer.mllp.connect: the variable PAYER_HOST is not set "
        "(set it, or give a default: ${PAYER_HOST:-...})"
    )
    monkeypatch.setenv("PAYER_HOST", "payer.example")
    for words in (("check",), ("list",)):
        assert channel(*words, "--channels", ".").code == 0
    write(folder, "south", "destinations: {payer: {mllp: {connect: 'tls:payer.example:2576'}}}\n", listen=LOCAL)
    ran = channel("diff", "north.yaml", "south.yaml")
    assert "destinations.payer.mllp.connect is tls:payer.example:2576; it was tls:payer.example:2575" in ran.out


def test_plan_without_files_tries_the_tests_of_the_channel(folder: Path) -> None:
    for name in ("asked", "again"):
        keep(folder, f"{name}.hl7", request())
    ran = hl7auth("plan", "--channel", "north", "--channels", ".", "--format", "json")
    assert [(each["file"], each["disposition"]) for each in ran.document] == [
        ("again.hl7", "accepted"),
        ("asked.hl7", "accepted"),  # each test has a store of its own
    ]


def test_a_channel_is_shown_as_it_is_and_as_it_was(folder: Path) -> None:
    (entry,) = channel("list", "--format", "json", "--channels", str(folder)).document
    version = entry["version"]
    store = Store(folder, on=load_channel(folder / "north.yaml"), migrate=True)
    with store.engine.begin() as connection:
        record_versions(connection, [store.channel], START)
    store.send(request("C1"))
    store.close()
    write(folder, "north", "errors: accept\n")
    now = channel("show", "north", "--channels", str(folder))
    assert now.out.startswith("# channel north, version ")
    assert "errors: accept" in now.out
    assert channel("versions", "north", "--database", store.url, "--format", "json").document == [
        {"version": version, "first_seen": "2026-03-01T10:00:00.000+00:00"}
    ]
    was = channel("show", "north", "--version", version[:5], "--database", store.url)
    assert was.out.splitlines()[0] == f"# channel north, version {version}, first served 2026-03-01T10:00:00.000+00:00"
    assert "errors: accept" not in was.out
    (folder / "again.yaml").write_text(was.out)
    assert load_channel(folder / "again.yaml").version == version
    assert f"on north (version {version}) from" in hl7auth("message", "show", "1", "--database", store.url).out
