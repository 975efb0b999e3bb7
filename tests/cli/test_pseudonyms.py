"""Bundles for support: nobody is left in them, and the check finds what it found."""

from pathlib import Path

import pytest

from hl7auth.cli import pseudonyms
from hl7auth.cli.pseudonyms import bundle_of
from hl7auth.errors import Unreadable, UnsupportedCharset, UserError
from hl7auth.wire.message import parse
from tests.cli.inline import run
from tests.engine import answer, request
from tests.store.stored import Store, samples

CHANNEL = "referral-intake"


def test_the_bundle_of_all_samples_is_judged_as_they_were() -> None:
    found = [(number, CHANNEL, raw) for number, raw in enumerate(samples(), start=1)]
    bundle = bundle_of(found, None)
    assert len(bundle.messages) + len(bundle.skipped) == len(found)
    assert len(bundle.messages) > 90
    assert bundle.judged_otherwise == []
    for number in bundle.skipped:
        with pytest.raises((Unreadable, UnsupportedCharset)):
            parse(samples()[number - 1])


def test_a_patient_is_one_pseudonym_and_an_answer_still_names_its_request() -> None:
    bundle = bundle_of([(1, CHANNEL, request("CASE77", number="PA1")), (2, CHANNEL, answer("P1", "CASE77"))], None)
    asked, answered = (parse(raw) for raw in bundle.messages.values())
    people = {(each.value(3), each.value(5), each.value(7)) for each in (*asked.all("PID"), *answered.all("PID"))}
    assert len(people) == 1
    assert people.isdisjoint({("77001", "Quill", "19800102")})
    assert answered.all("MSA")[0].value(2) == asked.header.control_id
    assert b"Quill" not in b"".join(bundle.messages.values())


def test_the_command_writes_files_without_the_person(tmp_path: Path) -> None:
    store = Store(tmp_path, migrate=True)
    store.send(request("CASE77", number="PA1"), answer("P1", "CASE77"), b"no message at all")
    store.close()
    out = tmp_path / "out"
    words = ("message", "export", "--database", store.url, "--to", str(out), "--pseudonymize")
    done = run(*words)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"2 of 3 message(s) written to {out}", "no HL7 message, left out: 3"]
    assert b"Quill" not in b"".join(each.read_bytes() for each in out.iterdir())
    one = run("message", "export", "--database", store.url, "--to", str(tmp_path / "one"), "--id", "2")
    assert one.code == 0
    assert [each.name for each in (tmp_path / "one").iterdir()] == ["2.hl7"]


def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudonyms, "MOST_MESSAGES", 1)
    with pytest.raises(UserError, match="at most 1 messages"):
        bundle_of([(1, CHANNEL, request()), (2, CHANNEL, request())], None)
