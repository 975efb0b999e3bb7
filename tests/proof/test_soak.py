"""The soak: a short one with a real engine, and its plot."""

import random
from pathlib import Path
from xml.etree import ElementTree

from hl7auth.proof.mixture import Mixture
from hl7auth.proof.plot import Curve, drawn
from hl7auth.proof.soak import Reading, soak

SVG = "{http://www.w3.org/2000/svg}"


def test_good_and_bad_messages_are_all_answered_as_they_are_due(tmp_path: Path) -> None:
    told: list[Reading] = []
    soaked = soak(tmp_path, 0.04, 200, 8, told.append)
    assert soaked.missing == 0
    assert soaked.sent > 100
    assert soaked.negative > 0
    assert soaked.answered - soaked.negative > soaked.sent / 2
    assert told == soaked.readings
    assert len(told) >= 2
    last = told[-1]
    assert last.database_mb > 0
    assert 0 < last.p50_ms <= last.p99_ms
    assert last.resident_mb is None or last.resident_mb > 20


def test_the_mixture_holds_all_kinds() -> None:
    mixture = Mixture("T", random.Random(1))
    parcels = [mixture.next() for _ in range(1_000)]
    kinds = {parcel.data.split(b"|", 9)[8].split(b"^")[0] for parcel in parcels if parcel.data.count(b"|") > 9}
    assert {b"RQA", b"RPA", b"REF", b"RRI"} <= kinds
    assert sum(parcel.ends for parcel in parcels) > 10
    ids = [parcel.data.split(b"|", 10)[9] for parcel in parcels if not parcel.ends and parcel.data.count(b"|") > 10]
    assert len(set(ids)) == len(ids)


def test_nobody_waits_for_what_is_never_said() -> None:
    """An answer, and a message whose sender wants neither receipt nor answer."""
    mixture = Mixture("T", random.Random(1))
    parcels = [mixture.next() for _ in range(5_000)]
    assert {parcel.expects for parcel in parcels if b"|NE|NE\r" in parcel.data} == {False}
    assert {parcel.expects for parcel in parcels if b"||RPA^" in parcel.data} == {False}
    assert {parcel.expects for parcel in parcels if b"||RQA^I08^RQA_I08|T" in parcel.data} == {True, False}


def test_a_plot_is_one_document_with_a_line_for_each_curve() -> None:
    text = drawn("a < b", [1.0, 2.0, 3.0], [Curve("one", [1.0, None, 30.0]), Curve("none", [0.0, 0.0, 0.0])])
    root = ElementTree.fromstring(text)
    lines = root.findall(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 3]
    assert "a < b" in [each.text for each in root.findall(f"{SVG}text")]
    assert "50" in [each.text for each in root.findall(f"{SVG}text")]
