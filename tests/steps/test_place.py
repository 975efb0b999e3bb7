"""Places: what people write, what it names, and what is said of a mistake."""

import pytest

from hl7auth.steps.place import ALL, LAST, Place, read_place, read_segment


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("AUT-6", Place("AUT", 0, 6)),
        ("AUT-6.1", Place("AUT", 0, 6, 0, 1)),
        ("PID-3[2].4.1", Place("PID", 0, 3, 2, 4, 1)),
        ("AUT[*]-6", Place("AUT", ALL, 6)),
        ("AUT[last]-11[last]", Place("AUT", LAST, 11, LAST)),
        ("AUT[12]-11[*]", Place("AUT", 12, 11, ALL)),
        ("ZA1-30", Place("ZA1", 0, 30)),
        ("MSH-3", Place("MSH", 0, 3)),
    ],
)
def test_a_place_names_segment_field_and_deeper(text: str, place: Place) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize(
    "text", ["AUT", "aut-6", "AUT-0", "AUT-6.0", "AUT[0]-6", "AUT-6.1.1.1", "AUT-6 ", "AUT 6", "AUT-٣", "AUT-1000", ""]
)
def test_what_is_no_place_is_answered_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no place: write AUT-6, PID-3\[2\].4"):
        read_place(text)


@pytest.mark.parametrize("text", ["MSH-1", "MSH-2", "BHS-1", "FHS-2.1"])
def test_delimiters_are_no_data(text: str) -> None:
    with pytest.raises(ValueError, match="holds the delimiters"):
        read_place(text)


def test_a_segment_may_say_which() -> None:
    assert [read_segment(text).occurrence for text in ("AUT", "AUT[2]", "AUT[*]", "AUT[last]")] == [0, 2, ALL, LAST]
    with pytest.raises(ValueError, match="is no segment"):
        read_segment("AUT-6")


def test_levels_go_from_the_field_down() -> None:
    assert [read_place(text).level for text in ("PID-3", "PID-3[*]", "PID-3.1", "PID-3.1.2")] == [0, 1, 2, 3]
    assert read_place("AUT-14").deep() == read_place("AUT-14.1")
    assert read_place("AUT-14.2").deep() == read_place("AUT-14.2")
