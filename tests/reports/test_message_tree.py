"""A message as a described tree: names, types, codes in words, and nothing that hurts a reader."""

from hl7auth.reports.message_tree import MOST_CHARACTERS, MOST_FIELDS, message_tree, tree_lines
from tests.engine import answer, message, msh, request
from tests.store.stored import samples


def test_fields_have_their_names_and_codes_their_words() -> None:
    lines = tree_lines(message_tree(answer("P1", "C1")))
    assert any(line.startswith("  MSA-1 Acknowledgment Code: AA  = ") for line in lines)
    assert "  MSA-2 Message Control ID: C1" in lines
    assert any(line.strip() == "AUT-6.1 Entity Identifier: PA1" for line in lines)
    assert any(line.startswith("    PID-5.1") and line.endswith(": Quill") for line in lines)


def test_repetitions_subcomponents_deletions_and_unknown_segments_have_their_places() -> None:
    head = msh()
    tree = message_tree(message(head, 'PID|1||A^^^N&1&ISO~B||""', "ZZZ|a^b", "PID|2||C"))
    paths = {field["path"]: field for segment in tree for field in segment["fields"]}
    assert paths["PID-3[2]"]["parts"][0]["value"] == "B"
    assert paths["PID-3[1]"]["parts"][1]["parts"][2]["value"] == "ISO"
    assert paths["PID-5"]["parts"][0]["meaning"] == "deleted by the sender"
    assert paths["ZZZ-1"]["parts"][1] == {"path": "ZZZ-1.2", "name": "", "value": "b"}
    assert [segment["occurrence"] for segment in tree if segment["segment"] == "PID"] == [1, 2]


def test_what_is_no_message_has_no_tree_and_a_large_one_is_cut() -> None:
    assert message_tree(b"nothing") == []
    large = message(msh(), "NTE|1||" + "x" * 5_000, *["NTE|1"] * (2 * MOST_FIELDS))
    tree = message_tree(large)
    assert len(tree[1]["fields"][1]["value"]) == MOST_CHARACTERS + 3
    assert sum(len(each["fields"]) for each in tree) == MOST_FIELDS


def test_every_sample_has_every_segment_in_its_tree() -> None:
    for raw in samples():
        text = raw.decode("latin_1").replace("\n", "\r")
        names = [line[:3] for line in text.split("\r") if line[:3].isalnum() and line[3:4] in ("|", "#")]
        if tree := message_tree(raw):
            assert [each["segment"] for each in tree][: len(names)] == names[: len(tree)]
    assert message_tree(request())[0]["segment"] == "MSH"
