"""The proposed profile: it loads, it says what was learned, and it holds nothing of a patient."""

import random
from pathlib import Path

import pytest

from hl7auth.rules.compiled import compile_profile
from hl7auth.rules.learn import LEAST, Use
from hl7auth.rules.profile import Profile, load_profile
from hl7auth.rules.proposal import propose
from hl7auth.wire.message import parse
from hl7auth.wire.versions import VERSIONS
from tests.rules.said import checked, head
from tests.rules.test_learn import PID, learned


def proposed(use: Use, folder: Path) -> Profile:
    path = folder / "partner.yaml"
    path.write_text(propose(use, "partner"), encoding="utf-8")
    return load_profile(path)


def test_what_always_came_shall_come(tmp_path: Path) -> None:
    fields = proposed(learned(PID, "AUT|GOLD|ACME"), tmp_path).segments["AUT"].fields
    assert (fields[1].verb, fields[1].cardinality) == ("SHALL", "1..1")


def test_of_few_messages_nothing_new_is_asked_for(tmp_path: Path) -> None:
    assert proposed(learned(PID, "AUT|GOLD|ACME", times=LEAST - 1), tmp_path).segments["AUT"].fields[1].verb == "MAY"


def test_what_nearly_always_came_should_come(tmp_path: Path) -> None:
    use = learned("AUT|GOLD|ACME", times=19)
    use.learn(parse("\r".join((head(), "AUT||ACME")).encode()))
    assert proposed(use, tmp_path).segments["AUT"].fields[1].verb == "SHOULD"


def test_a_requirement_that_was_not_met_is_a_departure(tmp_path: Path) -> None:
    profile = proposed(learned(PID, "AUT|GOLD"), tmp_path)
    assert "AUT-2" in profile.departs
    assert profile.segments["AUT"].fields[2].verb == "SHOULD"


def test_lengths_are_rounded_up_and_dates_have_none(tmp_path: Path) -> None:
    fields = proposed(learned("AUT|GOLD^Plan of gold|ACME||20260401"), tmp_path).segments["AUT"].fields
    assert fields[1].length == 20
    assert fields[4].length != 8


def test_repetitions_are_those_that_came(tmp_path: Path) -> None:
    fields = proposed(learned("AUT|A~B~C|ACME||||" + "~".join("abcdefg")), tmp_path).segments["AUT"].fields
    assert (fields[1].cardinality, fields[6].cardinality) == ("1..3", "1..*")


def test_codes_that_few_messages_share_are_not_told(tmp_path: Path) -> None:
    use = learned(PID, "AUT|GOLD|ACME")
    for _ in range(LEAST - 1):
        use.learn(parse("\r".join((head(), "AUT|SILVER|ACME")).encode()))
    text = propose(use, "partner")
    assert "SILVER" not in text
    profile = proposed(use, tmp_path)
    assert set(profile.tables["0072"].values) == {"GOLD"}
    assert profile.tables["0072"].kind == "user"


def test_a_segment_of_the_partners_own_is_defined(tmp_path: Path) -> None:
    profile = proposed(learned("ZAU|A^B|C"), tmp_path)
    assert profile.segments["ZAU"].fields[1].type == "CWE"
    assert profile.segments["ZAU"].fields[2].name == "ZAU-2"


def test_a_field_of_a_later_version_is_pre_adopted(tmp_path: Path) -> None:
    fields = proposed(learned("AUT|GOLD|ACME" + "|" * 27 + "U"), tmp_path).segments["AUT"].fields
    assert fields[29].pre_adopted


@pytest.mark.parametrize("version", VERSIONS)
def test_the_traffic_has_no_errors_under_its_own_profile(version: str, tmp_path: Path) -> None:
    segments = ("PRD|RP|Moss^Ada", PID, "PR1|1||99213^Visit^C4||20260401", "AUT|GOLD|||20260401|||175.0&USD|3")
    profile = compile_profile(proposed(learned(*segments, version=version), tmp_path), version)
    message = parse("\r".join((head(version), *segments)).encode())
    assert [each.rule for each in checked(message, profile) if each.severity == "error"] == []


def test_it_can_be_compiled_for_every_version(tmp_path: Path) -> None:
    profile = proposed(learned(PID, "PR1|1|C4|99213|x|20260401", "AUT|GOLD", version="2.4"), tmp_path)
    assert [compile_profile(profile, version).version for version in VERSIONS] == list(VERSIONS)


def test_without_messages_there_is_nothing_to_propose() -> None:
    with pytest.raises(ValueError, match="nothing was learned"):
        propose(Use(None), "partner")


def test_no_value_of_a_message_gets_in() -> None:
    """Every place of every message holds a word of its own; none of them may be in the proposal."""
    chance = random.Random(7)
    names = ("RF1", "AUT", "CTD", "PRD", "PID", "NK1", "GT1", "IN1", "DG1", "AL1", "PR1", "OBX", "NTE", "PV1", "ZAU")
    secrets: set[str] = set()

    def word() -> str:
        text = "".join(chance.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(chance.randint(5, 12)))
        secrets.add(text)
        return text

    use = Use(None)
    for _ in range(40):
        segments = ["|".join([name, *("^".join((word(), word())) for _ in range(20))]) for name in names]
        use.learn(parse("\r".join((head("2.8", kind=f"{word()}^{word()}"), *segments)).encode()))
    text = propose(use, "partner")
    assert not [secret for secret in secrets if secret in text]


def test_not_even_what_all_messages_share_of_a_person() -> None:
    segments = (
        "PID|1|H77|77001442^^^NORTH^MR||Quillfeather^Tamsin^J||19770131|F||2106-3|5 Maple Road^^Cedarton||5550142",
        "NK1|1|Orrell^Edwin|SPO|5 Maple Road",
        "GT1|1||Orrell^Edwin",
        "IN1|1|GOLD|HH001|Harbor Mutual||||GRP5521|||||||Quillfeather^Tamsin|SEL|19770131",
        "DG1|1||M17.11^Osteoarthritis|Knee",
        "OBX|1|ST|NOTE||walks with a cane",
        "NTE|1||call Edwin",
        "AUT|GOLD|ACME|Harbor Mutual|||Q7001^ACME|||||||REF|AP|||Pain at rest",
    )
    text = propose(learned(*segments, times=50, version="2.8"), "partner")
    for value in "|".join(segments).replace("^", "|").split("|"):
        if len(value) > 3 and value not in ("GOLD", "ACME"):
            assert value not in text, value
    assert '"GOLD"' in text
