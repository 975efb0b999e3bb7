"""Abstract syntax: every structure of HL7 is written and read back the same; each mistake is told with its place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.rules.syntax import parse_syntax, write_syntax
from hl7auth.wire.versions import VERSIONS

MANY = None


def leaf(name: str, low: int = 1, high: int | None = 1) -> Node:
    return Node(name, low, high)


def group(name: str, low: int, high: int | None, *children: Node) -> Node:
    return Node(name, low, high, children)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_structure_of_a_version_is_written_and_read_back(version: str) -> None:
    structures = dictionary(version).structures
    assert len(structures) > 100
    for name, root in structures.items():
        assert parse_syntax(write_syntax(root), name) == root


@pytest.mark.parametrize(
    ("text", "children"),
    [
        ("MSH PID", (leaf("MSH"), leaf("PID"))),
        ("MSH [{SFT}] {PRD} [RF1]", (leaf("MSH"), leaf("SFT", 0, MANY), leaf("PRD", 1, MANY), leaf("RF1", 0))),
        ("{[NTE]}", (leaf("NTE", 0, MANY),)),
        ("[{<PROCEDURE> PR1 [AUT]}]", (group("PROCEDURE", 0, MANY, leaf("PR1"), leaf("AUT", 0)),)),
        ("(<INVOICE> IVC)", (group("INVOICE", 1, 1, leaf("IVC")),)),
        # a group without a name, and one within another
        ("[PV1 [PV2]]", (group("", 0, 1, leaf("PV1"), leaf("PV2", 0)),)),
        ("{<A> PRD {<B> CTD}}", (group("A", 1, MANY, leaf("PRD"), group("B", 1, MANY, leaf("CTD"))),)),
        # one of several
        ("ORC (OBR|RQD)", (leaf("ORC"), group("", 1, 1, leaf("OBR", 0), leaf("RQD", 0)))),
        ("[OBR|RQD|RXO]", (group("", 0, 1, leaf("OBR", 0), leaf("RQD", 0), leaf("RXO", 0)),)),
        # counts of our own
        ("{2..5 DG1}", (leaf("DG1", 2, 5),)),
        ("{0..3 <P> PR1 AUT}", (group("P", 0, 3, leaf("PR1"), leaf("AUT")),)),
        ("{2..* ZAU}", (leaf("ZAU", 2, MANY),)),
        ("[{2..3 ZAU}]", (leaf("ZAU", 0, 3),)),
        ("\n  MSH\n  [ PID ]\n", (leaf("MSH"), leaf("PID", 0))),
    ],
)  # fmt: skip
def test_what_a_syntax_says(text: str, children: tuple[Node, ...]) -> None:
    assert parse_syntax(text, "ZZZ_Z01") == Node("ZZZ_Z01", 1, 1, children)
    assert parse_syntax(write_syntax(Node("", 1, 1, children))) == Node("", 1, 1, children)


def test_what_may_not_come_is_left_out_of_the_text() -> None:
    assert write_syntax(Node("X", 1, 1, (leaf("MSH"), leaf("NK1", 0, 0), leaf("PID")))) == "MSH PID"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing before character 1 of the syntax"),
        ("  ", "there is nothing before character 3 of the syntax"),
        ("MSH [] PID", "there is nothing before character 6 of the syntax"),
        ("MSH [<GROUP>]", "there is nothing before character 13 of the syntax"),
        ("MSH pid", "can not read 'pid' at character 5 of the syntax"),
        ("MSH PIDX", "can not read 'PIDX' at character 5 of the syntax"),
        ("MSH <group> PID", "can not read '<group>' at character 5 of the syntax"),
        ("MSH [PID", "a segment, a bracket or ']' is expected instead of the end at character 9 of the syntax"),
        ("MSH [PID}", "a segment, a bracket or ']' is expected instead of '}' at character 9 of the syntax"),
        ("MSH ] PID", "a segment or a bracket is expected instead of ']' at character 5 of the syntax"),
        ("MSH <A> PID", "a segment or a bracket is expected instead of '<A>' at character 5 of the syntax"),
        ("MSH [PID <A> NK1]", "a segment, a bracket or ']' is expected instead of '<A>' at character 10 of the syntax"),
        ("MSH (OBR|", "a segment, a bracket or ')' is expected instead of '|' at character 9 of the syntax"),
        ("MSH [2..5 PID]", "a segment, a bracket or ']' is expected instead of '2..5' at character 6 of the syntax"),
        ("MSH {5..2 PID}", "5..2 allows nothing, at character 6 of the syntax"),
        ("MSH {0..0 PID}", "0..0 allows nothing, at character 6 of the syntax"),
        ("[" * 40 + "PID" + "]" * 40, "more than 30 levels at character 31 of the syntax"),
        ("PID " * 10_000, "an abstract syntax has at most 20000 characters"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"of the syntax|at most") as caught:
        parse_syntax(text)
    assert str(caught.value) == said


_SEGMENTS = st.sampled_from(["MSH", "PID", "PR1", "AUT", "ZAU", "NTE"])
_LOW = st.integers(0, 3)
_HIGH = st.one_of(st.none(), st.integers(1, 5))


@st.composite
def nodes(draw: st.DrawFn, depth: int = 3) -> Node:
    low, high = draw(_LOW), draw(_HIGH)
    high = None if high is None else max(low, high)
    if depth == 0 or draw(st.booleans()):
        return Node(draw(_SEGMENTS), low, high)
    children = tuple(draw(st.lists(nodes(depth - 1), min_size=1, max_size=3)))
    return Node(draw(st.sampled_from(["A", "B_2", "LONG_NAME"])), low, high, children)


@settings(deadline=None)
@given(st.lists(nodes(), min_size=1, max_size=4))
def test_any_structure_survives_being_written(children: list[Node]) -> None:
    root = Node("ROOT", 1, 1, tuple(children))
    assert parse_syntax(write_syntax(root), "ROOT") == root


@given(st.text(alphabet="MSHPID[]{}()<>|.* \n0129a", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    said = ""
    try:
        root = parse_syntax(text)
    except ValueError as error:
        said = str(error)
    assert "character" in said or parse_syntax(write_syntax(root)) == root
