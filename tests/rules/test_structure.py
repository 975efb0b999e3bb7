"""Layouts: where each segment of the four AUT messages stands, in every version, and what is told of bad orders."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.rules.structure import MESSAGE, UNPLACED, Fault, Layout, StructureFault, layout, layout_of
from hl7auth.rules.syntax import parse_syntax
from hl7auth.wire.versions import VERSIONS, at_least

STRUCTURES = ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12")
#: what an answer has and a request has not
MSA = {"RQA_I08": "", "RPA_I08": "MSA", "REF_I12": "", "RRI_I12": "MSA"}

each_version = pytest.mark.parametrize("version", VERSIONS)
each_structure = pytest.mark.parametrize("name", STRUCTURES)


def laid(names: str, version: str = "2.5", structure: str = "RQA_I08") -> Layout:
    return layout(version, structure, tuple(names.split()))


def told(names: str, version: str = "2.5", structure: str = "RQA_I08") -> list[str]:
    """The faults, as `sequence 3 OBX`."""
    return [f"{fault.fault} {fault.index} {fault.name}" for fault in laid(names, version, structure).faults]


def owner_names(names: str, version: str = "2.5", structure: str = "RQA_I08") -> list[str]:
    """The owner of each segment as its name and index; "-" at message level, "?" where it stands nowhere."""
    segments = names.split()
    marks = {MESSAGE: "-", UNPLACED: "?"}
    return [marks[at] if at < 0 else f"{segments[at]}{at}" for at in laid(names, version, structure).owners]


# --- good messages


@each_version
@each_structure
def test_good_messages_have_no_faults_and_the_right_owners(version: str, name: str) -> None:
    insurance = "" if name == "RRI_I12" else "IN1 IN2 IN3 IN1"
    names = (
        f"MSH {MSA[name]} RF1 AUT CTD PRD CTD CTD PRD PID {insurance} ACC DG1 DG1 DRG AL1 PR1 AUT CTD PR1 PR1 AUT"
        " OBR NTE OBX NTE OBX OBR OBX PV1 PV2 NTE"
    )
    found = laid(names, version, name)
    assert found.faults == ()
    segments = names.split()

    def owned(segment: str) -> list[str]:
        owners = [owner for other, owner in zip(segments, found.owners, strict=True) if other == segment]
        return ["-" if owner == MESSAGE else segments[owner] for owner in owners]

    for segment in ("MSH", "RF1", "PRD", "PID", "ACC", "DG1", "DRG", "AL1", "PR1", "OBR", "PV1"):
        assert set(owned(segment)) == {"-"}
    assert owned("AUT") == ["-", "PR1", "PR1"]
    assert owned("CTD") == ["AUT", "PRD", "PRD", "AUT"]
    assert owned("OBX") == ["OBR"] * 3
    assert owned("PV2") == ["PV1"]
    # the second AUT is that of the first PR1, the third that of the third
    procedures = [at for at, segment in enumerate(segments) if segment == "PR1"]
    assert [found.owners[at] for at, segment in enumerate(segments) if segment == "AUT"] == [
        MESSAGE, procedures[0], procedures[2],
    ]  # fmt: skip
    if insurance:
        assert owned("IN2") == owned("IN3") == ["IN1"]
        # in RQA guarantor and insurance are one group, which the first of them opens
        assert owned("IN1") == (["-", "IN1"] if name == "RQA_I08" else ["-", "-"])


@each_version
@each_structure
def test_the_least_that_each_message_needs(version: str, name: str) -> None:
    least = {
        "RQA_I08": "MSH PRD PID",
        "RPA_I08": "MSH MSA PRD PID PR1",
        "REF_I12": "MSH PRD PID",
        "RRI_I12": "MSH PRD PID",
    }
    assert told(least[name], version, name) == []


@each_version
def test_what_came_with_later_versions(version: str) -> None:
    def fine(names: str) -> bool:
        return told(names, version) == []

    assert fine("MSH SFT SFT PRD PID") is at_least(version, "2.5")
    assert fine("MSH UAC PRD PID") is at_least(version, "2.6")
    assert fine("MSH PRD PID OBR OBX PRT") is at_least(version, "2.8")
    assert fine("MSH PRD PID GSP GSR GSC NK1 GSP GSR NK1") is at_least(version, "2.9.1")


def test_in_2_3_a_note_behind_the_visit_belongs_to_it() -> None:
    assert owner_names("MSH MSA PRD PID PR1 PV1 NTE", "2.3", "RPA_I08")[-1] == "PV15"
    assert owner_names("MSH MSA PRD PID PR1 PV1 NTE", "2.3.1", "RPA_I08")[-1] == "-"


def test_other_structures_with_an_aut_and_with_groups_that_any_child_opens() -> None:
    names = "MSH EVN PID PV1 IN1 AUT AUT IN1 AUT RF1"
    assert told(names, "2.8", "ADT_A01") == []
    assert owner_names(names, "2.8", "ADT_A01")[4:] == ["-", "IN14", "IN14", "-", "IN17", "IN17"]
    assert told("MSH MSA ERR ERR", "2.5", "ACK") == []
    # no child of VISIT (BAR) or of the choice of an order's detail (ORM) has to be there
    assert told("MSH EVN PID DG1 GT1 IN1 PV1 AL1", "2.5", "BAR_P01") == []
    assert owner_names("MSH ORC RXO OBX ORC OBR NTE", "2.5", "ORM_O01") == [
        "-",
        "-",
        "ORC1",
        "RXO2",
        "-",
        "ORC4",
        "OBR5",
    ]


# --- bad messages


@each_version
@pytest.mark.parametrize(
    ("names", "structure", "faults"),
    [
        # the gap is named where it is: behind the last segment before it
        ("MSH MSA PRD PID IN1 OBR OBX", "RPA_I08", ["missing 4 PR1"]),
        ("MSH PRD PID PR1", "RPA_I08", ["missing 0 MSA"]),
        ("MSH RF1 AUT PID PR1 AUT", "RQA_I08", ["missing 2 PRD"]),
        ("MSH RF1 AUT PRD CTD PR1 AUT OBR", "REF_I12", ["missing 4 PID"]),
        ("MSH PRD", "RQA_I08", ["missing 1 PID"]),
        ("MSH MSA", "RPA_I08", ["missing 1 PRD", "missing 1 PID", "missing 1 PR1"]),
        ("PRD PID", "RQA_I08", ["missing -1 MSH"]),
        ("", "RQA_I08", ["missing -1 MSH", "missing -1 PRD", "missing -1 PID"]),
    ],
)
def test_missing_segments(version: str, names: str, structure: str, faults: list[str]) -> None:
    assert told(names, version, structure) == faults


@pytest.mark.parametrize(
    ("names", "faults", "aut"),
    [
        # P28: the message's own AUT stands before PRD; anywhere behind it is out of place and belongs to nothing
        ("MSH AUT PRD PID PR1", [], "-"),
        ("MSH RF1 AUT PRD PID PR1", [], "-"),
        ("MSH PRD AUT PID PR1", ["sequence 2 AUT"], "?"),
        ("MSH PRD PID AUT PR1", ["sequence 3 AUT"], "?"),
        ("MSH PRD PID AUT", ["sequence 3 AUT"], "?"),
        ("MSH PRD PID PR1 OBR OBX AUT", ["sequence 6 AUT"], "?"),
        # P27: what stands between PR1 and AUT does not take the AUT away from it
        ("MSH PRD PID PR1 OBX AUT", ["sequence 4 OBX"], "PR13"),
        ("MSH PRD PID PR1 ZAU AUT", ["unexpected 4 ZAU"], "PR13"),
        ("MSH PRD PID PR1 IN2 DG1 NK1 AUT", ["sequence 4 IN2", "sequence 5 DG1", "sequence 6 NK1"], "PR13"),
        # an AUT is worth more than the RF1 that should stand before it
        ("MSH AUT RF1 PRD PID", ["sequence 2 RF1"], "-"),
        ("MSH AUT CTD PRD PID RF1", ["sequence 5 RF1"], "-"),
    ],
)
def test_aut_in_and_out_of_place(names: str, faults: list[str], aut: str) -> None:
    assert told(names) == faults
    assert owner_names(names)[names.split().index("AUT")] == aut


def test_p27_each_aut_belongs_to_its_own_pr1() -> None:
    names = "MSH PRD PID PR1 OBX AUT PR1 OBX AUT PR1 AUT"
    assert told(names) == ["sequence 4 OBX", "sequence 7 OBX"]
    assert [owner for name, owner in zip(names.split(), owner_names(names), strict=True) if name == "AUT"] == [
        "PR13", "PR16", "PR19",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        ("MSH PRD PID PR1 AUT AUT", ["cardinality 5 AUT"]),  # P29
        ("MSH PRD PID PR1 AUT AUT AUT PR1 AUT", ["cardinality 5 AUT", "cardinality 6 AUT"]),
        ("MSH AUT AUT PRD PID", ["cardinality 2 AUT"]),
        ("MSH AUT CTD CTD PRD PID", ["cardinality 3 CTD"]),
        ("MSH PRD PID PID", ["cardinality 3 PID"]),
        ("MSH RF1 RF1 PRD PID", ["cardinality 2 RF1"]),
        ("MSH PRD PID IN1 IN2 IN2 IN1 IN2", ["cardinality 5 IN2"]),
        ("MSH MSH PRD PID", ["cardinality 1 MSH"]),
    ],
)
def test_more_of_a_segment_than_its_place_holds(names: str, faults: list[str]) -> None:
    assert told(names) == faults


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        ("MSH PRD PID ZAU PR1 ZIN", ["unexpected 3 ZAU", "unexpected 5 ZIN"]),
        ("MSH ERR PRD PID", ["unexpected 1 ERR"]),
        ("MSH MSA PRD PID", ["unexpected 1 MSA"]),
        ("MSH SFT PRD PID UAC", ["unexpected 4 UAC"]),
    ],
)
def test_p67_segments_that_the_structure_does_not_know_disturb_nothing(names: str, faults: list[str]) -> None:
    assert told(names) == faults
    assert owner_names(names)[int(faults[0].split()[1])] == "?"


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        # one segment that came too early or too late is the one that is named, not all between
        ("MSH PID RF1 PRD PR1 AUT", ["sequence 1 PID", "missing 3 PID"]),
        ("MSH PRD PR1 AUT OBR OBX PID", ["missing 1 PID", "sequence 6 PID"]),
        ("MSH PV1 PRD PID PR1 AUT OBR OBX", ["sequence 1 PV1"]),
        ("MSH PRD PID PR1 AUT OBR OBX OBX RF1", ["sequence 8 RF1"]),
        ("MSH PRD PID OBR OBX OBX PR1", ["sequence 6 PR1"]),
        ("MSH PRD PID OBR OBX PR1 AUT CTD PR1 AUT", ["sequence 3 OBR", "sequence 4 OBX"]),
        ("MSH PRD PID OBR OBX OBX PR1 AUT", ["sequence 6 PR1", "sequence 7 AUT"]),
        # within a group too
        ("MSH PRD PID IN1 IN3 IN2 PR1", ["sequence 5 IN2"]),
        ("MSH PRD PID OBR PV1 OBX OBX OBX", ["sequence 4 PV1"]),
        ("MSH PRD PID CTD CTD CTD", ["sequence 2 PID", "missing 5 PID"]),
        # a segment whose group is not open has no place
        ("MSH PRD PID IN2 CTD OBX", ["sequence 3 IN2", "sequence 4 CTD", "sequence 5 OBX"]),
    ],
)
def test_segments_out_of_order(names: str, faults: list[str]) -> None:
    assert told(names) == faults


def test_in_an_answer_too() -> None:
    assert told("MSH PRD PID PR1 AUT OBR MSA", structure="RPA_I08") == ["missing 0 MSA", "sequence 6 MSA"]
    assert owner_names("MSH PRD PID PR1 AUT MSA", structure="RPA_I08") == ["-", "-", "-", "-", "PR13", "?"]


# --- properties

_SOME = "MSH MSA SFT RF1 AUT CTD PRD PID NK1 GT1 IN1 IN2 ACC DG1 AL1 PR1 OBR NTE OBX PV1 PV2 ZZZ XYZ"
_NAMES = st.lists(st.sampled_from(_SOME.split()), max_size=40)


@settings(deadline=None)
@given(st.sampled_from(VERSIONS), st.sampled_from(STRUCTURES), _NAMES)
@example("2.5", "RQA_I08", ["OBR"] * 250)
def test_no_sequence_raises_and_each_segment_has_an_owner(version: str, name: str, names: list[str]) -> None:
    found = layout(version, name, tuple(names))
    assert len(found.owners) == len(names)
    strays = [index for index, owner in enumerate(found.owners) if owner == UNPLACED]
    assert strays == [fault.index for fault in found.faults if fault.fault is not Fault.MISSING]
    for index, owner in enumerate(found.owners):
        assert owner == UNPLACED or MESSAGE <= owner < index or (owner, index) == (MESSAGE, 0)
    for fault in found.faults:
        assert fault.fault is Fault.MISSING or names[fault.index] == fault.name
    assert list(found.faults) == sorted(found.faults, key=lambda fault: fault.index)


@st.composite
def good_messages(draw: st.DrawFn) -> tuple[str, str, list[str]]:
    """A version, a structure and a sequence of names that its abstract syntax allows."""
    version, name = draw(st.sampled_from(VERSIONS)), draw(st.sampled_from(STRUCTURES))

    def drawn(node: Node) -> list[str]:
        if not node.children:
            return [node.name]
        names: list[str] = []
        for child in node.children:
            most = 2 if child.max is None else child.max
            for _ in range(draw(st.integers(child.min, most))):
                names += drawn(child)
        return names

    return version, name, drawn(dictionary(version).structures[name])


@settings(deadline=None)
@given(good_messages())
def test_what_the_syntax_allows_has_no_faults(message: tuple[str, str, list[str]]) -> None:
    version, name, names = message
    found = layout(version, name, tuple(names))
    assert found.faults == ()
    assert UNPLACED not in found.owners


def group_of(found: Layout, index: int) -> set[int]:
    """A segment and all that stand in the groups it opens."""
    group = {index}
    for later in range(index + 1, len(found.owners)):
        if found.owners[later] in group:
            group.add(later)
    return group


@settings(deadline=None)
@given(good_messages(), st.data())
def test_a_missing_required_segment_is_named_and_nothing_else_but_its_group(
    message: tuple[str, str, list[str]], data: st.DataObject
) -> None:
    version, name, names = message
    required = [
        child.name for child in required_leaves(dictionary(version).structures[name]) if names.count(child.name) == 1
    ]
    segment = data.draw(st.sampled_from(required))
    at = names.index(segment)
    orphans = group_of(layout(version, name, tuple(names)), at) - {at}
    assume(not orphans)
    found = layout(version, name, (*names[:at], *names[at + 1 :]))
    assert found.faults == (StructureFault(Fault.MISSING, at - 1, segment),)


def required_leaves(node: Node) -> list[Node]:
    """The segments that every message of the structure has."""
    if not node.children:
        return [node]
    return [leaf for child in node.children if child.min for leaf in required_leaves(child)]


@settings(deadline=None, derandomize=True, max_examples=500)
@given(good_messages(), st.data())
def test_moving_one_segment_spoils_no_more_than_its_group(
    message: tuple[str, str, list[str]], data: st.DataObject
) -> None:
    version, name, names = message
    source = data.draw(st.integers(1, len(names) - 1))
    target = data.draw(st.integers(1, len(names) - 1))
    group = group_of(layout(version, name, tuple(names)), source)
    moved = [*names[:source], *names[source + 1 :]]
    moved.insert(target, names[source])
    faults = layout(version, name, tuple(moved)).faults
    # two more: where a segment lands it may open a group of its own, and so close the one around it
    assert sum(fault.fault is not Fault.MISSING for fault in faults) <= len(group) + 2


def test_a_known_shape_is_remembered_and_a_long_one_is_not() -> None:
    short, long = ("MSH", "PRD", "PID"), ("MSH", "PRD", "PID", *["PR1"] * 200)
    assert layout("2.5", "RQA_I08", short) is layout("2.5", "RQA_I08", short)
    assert layout("2.5", "RQA_I08", long) == layout("2.5", "RQA_I08", long)
    assert layout("2.5", "RQA_I08", long) is not layout("2.5", "RQA_I08", long)
    assert layout("2.4", "RQA_I08", ("MSH", "SFT", "PRD", "PID")) != layout(
        "2.5", "RQA_I08", ("MSH", "SFT", "PRD", "PID")
    )


# --- structures of a profile's own

NETWORK = "MSH MSA [AUT] [ZAU] {<PROVIDER> PRD} PID [{<PROCEDURE> PR1 [{OBX}] [AUT] [ZAU]}] [{NTE}]"


def test_a_structure_of_its_own_is_walked_like_those_of_hl7() -> None:
    root = parse_syntax(NETWORK, "ZPA_Z02")
    names = ("MSH", "MSA", "AUT", "ZAU", "PRD", "PID", "PR1", "OBX", "AUT", "ZAU", "PR1", "AUT", "NTE")
    found = layout_of(root, names)
    assert found.faults == ()
    # P27: with the OBX between them the AUT is still that of its PR1
    assert [owner for name, owner in zip(names, found.owners, strict=True) if name == "AUT"] == [MESSAGE, 6, 10]
    assert layout_of(root, ("MSH", "MSA", "PRD", "PID", "PR1", "AUT", "AUT")).faults == (
        StructureFault(Fault.TOO_MANY, 6, "AUT"),
    )
    assert layout_of(root, ("MSH", "PRD", "PID", "IN1")).faults == (
        StructureFault(Fault.MISSING, 0, "MSA"),
        StructureFault(Fault.UNKNOWN, 3, "IN1"),
    )


def test_a_layout_is_known_by_the_structure_that_it_was_made_for() -> None:
    names = ("MSH", "PID", "AUT")
    loose, tight = parse_syntax("MSH PID [AUT]"), parse_syntax("MSH PID")
    assert layout_of(loose, names) is layout_of(loose, names)
    assert layout_of(loose, names).faults == ()
    assert layout_of(tight, names).faults == (StructureFault(Fault.UNKNOWN, 2, "AUT"),)
    assert layout_of(dictionary("2.5").structures["RQA_I08"], names) is layout("2.5", "RQA_I08", names)


def test_more_structures_than_are_remembered() -> None:
    roots = [parse_syntax("MSH " + "[{NTE}] " * count) for count in range(1, 400)]
    for root in roots:
        assert layout_of(root, ("MSH", "NTE")).faults == ()
    assert layout_of(roots[0], ("NTE",)).faults == (StructureFault(Fault.MISSING, -1, "MSH"),)


def test_a_group_that_repeats_so_and_so_often_and_one_without_a_name() -> None:
    root = parse_syntax("MSH {1..2 <P> PR1 [AUT]} [PV1 [PV2]]")
    assert layout_of(root, ("MSH", "PR1", "PR1", "AUT", "PV1", "PV2")).faults == ()
    assert layout_of(root, ("MSH", "PR1", "PR1", "PR1")).faults == (StructureFault(Fault.TOO_MANY, 3, "PR1"),)
    assert layout_of(root, ("MSH", "PR1", "PV2")).faults == (StructureFault(Fault.OUT_OF_PLACE, 2, "PV2"),)
    assert layout_of(root, ("MSH", "PR1", "PV1", "PV2")).owners == (MESSAGE, MESSAGE, MESSAGE, 2)
