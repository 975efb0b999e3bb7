"""A report of one message: its exit status, its place, and the excerpts of its findings."""

from hl7auth.reports.report import remarks
from tests.reports.reported import BAD, BAD_AUT, GOOD, SECRETS, SEGMENTS, UNUSABLE, message, report


def test_the_exit_status_is_that_of_the_worst() -> None:
    assert report(GOOD).exit == 0
    assert report(BAD).exit == 1
    assert UNUSABLE.exit == 2


def test_a_warning_is_no_error() -> None:
    warned = report(message(*SEGMENTS, "AUT|GOLD|ACME||||||123"))
    assert (warned.count("error"), warned.count("warning"), warned.exit) == (0, 1, 0)
    assert warned.counts == "0 error(s), 1 warning(s)"


def test_only_the_second_message_of_a_file_is_numbered() -> None:
    assert report(GOOD).place == "a/b.hl7"
    assert report(GOOD, number=2).place == "a/b.hl7[2]"


def test_the_place_of_a_finding_is_cut_out_of_its_segment() -> None:
    (date,) = [each for each in report(BAD, values=True).remarks if each.finding.path.startswith("AUT-4")]
    assert date.value == "2026-04-01"
    assert date.excerpt is not None
    assert date.excerpt.text[date.excerpt.start : date.excerpt.end] == "2026-04-01"


def test_the_place_is_right_behind_letters_of_several_bytes() -> None:
    text = BAD_AUT.replace("Maple", "Ångström")
    found = report(message(*SEGMENTS, text, codec="utf-8"), values=True)
    (date,) = [each for each in found.remarks if each.finding.path.startswith("AUT-4")]
    assert date.value == "2026-04-01"


def test_without_values_nothing_is_told() -> None:
    told = repr([(each.excerpt, each.value, each.finding) for each in report(BAD).remarks])
    assert not [secret for secret in SECRETS if secret in told]


def test_a_finding_without_a_segment_has_no_excerpt() -> None:
    finding = report(BAD).remarks[0].finding._replace(line=99)
    (remark,) = remarks(BAD, [finding], values=True)
    assert (remark.excerpt, remark.value) == (None, "")
