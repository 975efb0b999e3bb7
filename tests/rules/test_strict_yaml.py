"""Strict YAML: each mistake of a writer is named by file, line and key, and no file can do harm."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from hl7auth.errors import ConfigError
from hl7auth.rules.strict_yaml import MAX_DEPTH, MAX_FILE_BYTES, Strict, load, place


class Room(Strict):
    """A leaf."""

    number: int = Field(gt=0)
    kind: Literal["ward", "office"] = "ward"
    label: str | None = None


class Nurse(Strict):
    """One shape of a person."""

    badge: str
    office: Room | None = None


class House(Strict):
    """A tree with every kind of branch: a model, an optional one, mappings, sequences and keys of several shapes."""

    name: str
    entrance: Room | None = None
    rooms: dict[str, Room] = {}
    floors: tuple[Room, ...] = ()
    staff: dict[str, Nurse | str] = {}
    doors: int | dict[str, int] = 1

    @model_validator(mode="after")
    def _not_haunted(self) -> "House":
        if self.name == "Usher":
            raise ValueError("this house falls")
        return self


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a file that does not exist yet."""
    return tmp_path / "house.yaml"


def mistake(file: Path, text: str) -> str:
    """What is said of the text, without the path that has to come first."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, House)
    said = str(caught.value)
    assert said.startswith(f"{file}:")
    return said.replace(f"{file}:", "")


def test_a_good_file_becomes_its_model(file: Path) -> None:
    file.write_text(
        "name: Späth\nrooms:\n  a: {number: 1, kind: office}\nfloors:\n- number: 2\nstaff: {x: {badge: q}, y: z}\n"
        "doors: {front: 2}\n",
        encoding="utf-8",
    )
    house = load(file, House)
    assert (house.name, house.rooms["a"].kind, house.floors[0].number) == ("Späth", "office", 2)
    assert house.staff == {"x": Nurse(badge="q"), "y": "z"}
    assert house.doors == {"front": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: A\nroms: {}\n", "2: unknown key 'roms' (did you mean 'rooms'?)"),
        ("name: A\ncolour: red\n", "2: unknown key 'colour' (allowed: doors, entrance, floors, name, rooms, staff)"),
        ("name: A\nentrance:\n  number: 1\n  knd: ward\n", "4: unknown key 'entrance.knd' (did you mean 'kind'?)"),
        (
            "name: A\nrooms:\n  b:\n    number: 1\n    labl: x\n",
            "5: unknown key 'rooms.b.labl' (did you mean 'label'?)",
        ),
        (
            "name: A\nfloors:\n- number: 1\n- {number: 2, size: 3}\n",
            "4: unknown key 'floors.1.size' (allowed: kind, label, number)",
        ),
        (
            "name: A\nstaff:\n  x:\n    bagde: q\n    badge: r\n",
            "4: unknown key 'staff.x.bagde' (did you mean 'badge'?)",
        ),
        (
            "name: A\nstaff:\n  x:\n    badge: q\n    office: {number: 1, knd: office}\n",
            "5: unknown key 'staff.x.office.knd' (did you mean 'kind'?)",
        ),
    ],
)
def test_an_unknown_key_is_named_with_what_was_meant_or_is_allowed(file: Path, text: str, said: str) -> None:
    assert mistake(file, text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rooms: {}\n", "1: key 'name' is missing"),
        ("name: A\nrooms:\n  b:\n    kind: ward\n", "3: key 'rooms.b.number' is missing"),
        ("name: A\n\nfloors:\n- number: 1\n- kind: ward\n", "5: key 'floors.1.number' is missing"),
    ],
)
def test_a_missing_key_is_named_where_it_should_stand(file: Path, text: str, said: str) -> None:
    assert mistake(file, text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: 5\n", "1: name: Input should be a valid string"),
        ("name: 2.5\n", "1: name: Input should be a valid string"),
        ("name: yes\n", "1: name: Input should be a valid string"),
        ("name: A\nentrance: 5\n", "2: entrance: Input should be a valid dictionary or instance of Room"),
        ("name: A\nentrance: {number: 0}\n", "2: entrance.number: Input should be greater than 0"),
        (
            "name: A\nrooms:\n  b:\n    number: 1\n    kind: attic\n",
            "5: rooms.b.kind: Input should be 'ward' or 'office'",
        ),
        ("name: A\nfloors: x\n", "2: floors: Input should be a valid tuple"),
        ("name: Usher\n", "1: (file): this house falls"),
        # of the shapes of a key, the one that fits best speaks, and only one
        ("name: A\ndoors: wide\n", "2: doors: Input should be a valid integer, unable to parse string as an integer"),
        (
            "name: A\ndoors:\n  front: wide\n",
            "3: doors.front: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("name: A\nstaff:\n  x: {}\n", "3: key 'staff.x.badge' is missing"),
    ],
)
def test_a_wrong_value_is_named_by_line_and_key(file: Path, text: str, said: str) -> None:
    assert mistake(file, text) == said


def test_three_mistakes_at_most_in_one_go(file: Path) -> None:
    said = mistake(file, "a: 1\nb: 2\nc: 3\nd: 4\n")
    assert said.split("; ") == [
        "1: key 'name' is missing",
        "1: unknown key 'a' (allowed: doors, entrance, floors, name, rooms, staff)",
        "2: unknown key 'b' (allowed: doors, entrance, floors, name, rooms, staff)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: A\nname: B\n", "2: key 'name' is there twice"),
        ("name: A\nrooms:\n  b: {number: 1}\n  b: {number: 2}\n", "4: key 'b' is there twice"),
        ("name: A\nfloors:\n- number: 1\n  number: 2\n", "4: key 'number' is there twice"),
    ],
)
def test_a_key_that_stands_twice_is_not_silently_the_last(file: Path, text: str, said: str) -> None:
    assert mistake(file, text) == said


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "just text\n", "- a\n- b\n"])
def test_a_file_that_is_no_mapping(file: Path, text: str) -> None:
    assert mistake(file, text) == "1: a mapping of keys is expected"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [\n", "2: not YAML: did not find expected node content"),
        ("name: A\n\tb: 1\n", "2: not YAML: found a tab character"),
        ("name: !!python/object/apply:os.getcwd []\n", "1: not YAML: could not determine a constructor for the tag"),
        ("name: 2026-13-45\n", " not YAML: month must be in 1..12"),
        ("name: 'a\x01b'\n", " not YAML: "),
        ("? [a, b]\n: c\n", "1: not YAML: found unhashable key"),
    ],
)
def test_what_is_not_yaml(file: Path, text: str, said: str) -> None:
    assert mistake(file, text).startswith(said)


def test_aliases_are_refused(file: Path) -> None:
    assert mistake(file, "name: &n A\nstaff: {x: *n}\n") == " YAML aliases (*name) are not allowed"


def test_the_size_has_a_bound(file: Path) -> None:
    text = "name: A\n#"
    file.write_text(text + "x" * (MAX_FILE_BYTES - len(text)))
    assert load(file, House).name == "A"
    assert mistake(file, text + "x" * (MAX_FILE_BYTES - len(text) + 1)) == f" larger than {MAX_FILE_BYTES} bytes"


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}")])
def test_the_depth_has_a_bound(file: Path, opened: str, closed: str) -> None:
    # libyaml would end the process at some ten thousand levels
    for depth in (MAX_DEPTH, 50_000):
        assert mistake(file, f"name: {opened * depth}{closed * depth}\n") == f" more than {MAX_DEPTH} levels"
    assert "valid string" in mistake(file, f"name: {opened * (MAX_DEPTH - 1)}{closed * (MAX_DEPTH - 1)}\n")


def test_text_that_is_not_utf_8(file: Path) -> None:
    file.write_bytes("name: Späth\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"house\.yaml: not UTF-8 text"):
        load(file, House)


def test_a_file_that_can_not_be_read(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"house\.yaml: No such file or directory"):
        load(file, House)
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, House)


def test_the_place_of_a_key_in_a_file_that_was_read_before(file: Path) -> None:
    file.write_text("name: A\nrooms:\n  b:\n    number: 1\nfloors:\n- number: 1\n- number: 2\n")
    assert place(file, "rooms", "b", "number") == f"{file}:4"
    assert place(file, "floors", 1) == f"{file}:7"
    assert place(file, "nothing") == place(file) == f"{file}:1"
    file.write_text("")
    assert place(file, "name") == f"{file}:1"


_YAML = st.recursive(
    st.sampled_from(["A", "5", "yes", "2026-13-45", "''", "*x", "&x 1", "!!int x", "~", "\x07", "name: B", "? a"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.dictionaries(st.sampled_from(["name", "rooms", "floors", "number", "1"]), inner, max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
        ),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), _YAML, _YAML.map(lambda text: f"name: A\nrooms: {text}\n")))
def test_any_text_is_a_model_or_a_config_error(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load(file, House), House)
    except ConfigError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - either way is right
