"""Tables of codes: what the shipped ones hold in each version, and the files that a site brings."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.resources import shipped
from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.rules.profile import load_profile
from hl7auth.rules.strict_yaml import load
from hl7auth.rules.tables import MAX_FILE_BYTES, Code, Table, Tables, filled, shipped_tables
from hl7auth.wire.versions import VERSIONS, at_least

DICTIONARY = shipped("profiles") / "dictionary"
NO_OFFICIAL_VALUES = ("0072", "0285", "0522", "0546", "0551", "0563", "0573", "0574")


def codes(number: str, version: str) -> set[str]:
    return set(shipped_tables()[number].codes(version))


# --- the shipped tables


def test_the_files_of_the_shipped_tables_are_right() -> None:
    listed = load(DICTIONARY / "tables.yaml", Tables).tables
    assert list(listed) == sorted(listed)
    with (DICTIONARY / "codes.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["table", "code", "text", "since", "until"]
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
    for number, code, text, since, until in rows:
        assert number in listed, number
        assert code == code.strip() != ""
        assert text == text.strip()
        assert since in ("", *VERSIONS)
        assert until in ("", *VERSIONS)
        assert not (since and until and at_least(since, until)) or since == until
    with_codes = {row[0] for row in rows}
    assert {number for number, each in listed.items() if each.kind == "site"} == set(listed) - with_codes
    assert all(re.fullmatch(r"\d{4}", number) and each.name for number, each in listed.items())


@pytest.mark.parametrize("version", VERSIONS)
def test_p40_segment_action_codes_by_version(version: str) -> None:
    expected = {"A", "D", "U"}
    expected |= {"X"} if at_least(version, "2.6") else set()
    expected |= {"S"} if at_least(version, "2.9") else set()
    assert codes("0206", version) == expected


@pytest.mark.parametrize(
    ("number", "kind", "first", "last"),
    [
        ("0008", "hl7", "AA AE AR CA CE CR", "AA AE AR CA CE CR"),
        ("0103", "hl7", "D P T", "D P T N V"),
        ("0155", "hl7", "AL NE ER SU", "AL NE ER SU"),
        ("0205", "user", "AP DC IC PF TF TP UP", "AP DC IC PF TF TP UP"),
        ("0206", "hl7", "A D U", "A D U X S"),
        ("0207", "hl7", "A I R T", "A I R T"),
        ("0280", "user", "S A R", "S A R"),
        ("0282", "user", "WR RP AM SO", "WR RP AM SO"),
        ("0283", "user", "A P R E", "A P R E"),
        ("0284", "user", "I O A E", "I O A E"),
        ("0286", "user", "RP PP CP RT", "RP PP CP RT"),
        ("0336", "user", "S P O W", "S P O W"),
        ("0516", "hl7", "E I W", "E F I W"),
        ("0517", "user", "PAT NPAT USR HD", "PAT NPAT USR HD"),
        ("0518", "user", "EXTN INLV EQV", "EXTN INLV EQV"),
    ],
)
def test_the_shipped_tables(number: str, kind: str, first: str, last: str) -> None:
    table = shipped_tables()[number]
    assert (table.kind, table.name != "", table.configured) == (kind, True, True)
    assert codes(number, "2.3") == set(first.split())
    assert codes(number, "2.9.1") == set(last.split())


@pytest.mark.parametrize("version", VERSIONS)
def test_message_types_and_events_of_the_referral_chapter_are_known_in_every_version(version: str) -> None:
    assert {"RQA", "RPA", "REF", "RRI", "RQI", "RPI", "RQP", "ADT", "ACK"} <= codes("0076", version)
    assert {f"I{number:02}" for number in range(1, 16)} <= codes("0003", version)
    assert not {"ZQA", "RQX"} & codes("0076", version)
    assert ("EHC" in codes("0076", version)) is at_least(version, "2.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_event_of_the_dictionary_is_a_code(version: str) -> None:
    unknown = {event for _, event in dictionary(version).events if not event.startswith("Z")} - codes("0003", version)
    assert unknown == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_error_codes_by_version(version: str) -> None:
    found = codes("0357", version)
    assert {"0", "100", "101", "102", "103", "200", "201", "202", "203", "204", "205", "206", "207"} <= found
    assert ("104" in found) is at_least(version, "2.7")
    assert ("198" in found) is ("199" in found) is at_least(version, "2.9")
    assert ("F" in codes("0516", version)) is at_least(version, "2.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_character_sets_by_version(version: str) -> None:
    found = codes("0211", version)
    assert {"ASCII", "8859/1", "8859/9", "UNICODE"} <= found
    assert ("UNICODE UTF-8" in found) is at_least(version, "2.5")
    assert ("8859/15" in found) is at_least(version, "2.6")
    assert ("UNICODE UTF-16" in found) is (at_least(version, "2.5") and not at_least(version, "2.8"))
    assert ("JAS2020" in found) is (version == "2.3")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_may_say_its_own_version_and_no_later_one(version: str) -> None:
    known = codes("0104", version)
    assert known & set(VERSIONS) == {each for each in VERSIONS if at_least(version, each)}


def test_referral_types_in_both_spellings_that_hl7_prints() -> None:
    assert codes("0281", "2.4") == {
        spelt(each) for each in ("Lab", "Rad", "Med", "Skn", "Psy", "Hom") for spelt in (str, str.upper)
    }


@pytest.mark.parametrize("number", NO_OFFICIAL_VALUES)
def test_tables_without_official_values_are_there_and_empty(number: str) -> None:
    table = shipped_tables()[number]
    assert (table.kind, table.configured, table.name != "") == ("site", False, True)


@pytest.mark.parametrize("version", [each for each in VERSIONS if at_least(each, "2.5")])
def test_every_hl7_defined_code_field_of_the_four_messages_has_its_table(version: str) -> None:
    """From 2.5 on ID means codes that HL7 defines (chapter 2A); none of their tables may be missing, but these."""
    elsewhere = {"0399", "0354"}  # countries (ISO 3166); structures, which the dictionary has
    missing = {
        (f"{segment}-{number}", field.table)
        for name in ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12")
        for segment in leaves(dictionary(version).structures[name])
        for number, field in enumerate(dictionary(version).segments[segment].fields, start=1)
        if field.datatype == "ID" and field.table and field.table not in {*shipped_tables(), *elsewhere}
    }
    ranks = {("DG1-15", "0359"), ("PR1-14", "0418")}  # 1 is the first, 2 the second, and so on
    assert missing <= {*ranks, ("DG1-2", "0053")}  # the coding method of DG1-3: lists that others keep


def leaves(node: Node) -> set[str]:
    return {node.name} if not node.children else set().union(*(leaves(child) for child in node.children))


# --- what a table says


def test_a_code_exists_from_one_version_to_another() -> None:
    table = Table(
        name="t", kind="user", values={"A": "always", "B": Code(text="from 2.6", since="2.6"), "C": Code(until="2.5.1")}
    )
    assert [sorted(table.codes(version)) for version in ("2.3", "2.5.1", "2.6", "2.9.1")] == [
        ["A", "C"], ["A", "C"], ["A", "B"], ["A", "B"],
    ]  # fmt: skip
    assert (table.text("A"), table.text("B"), table.text("Z")) == ("always", "from 2.6", "")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{name: t, kind: local, values: {}}", "tables.0001.kind: Input should be 'hl7', 'user' or 'site'"),
        ("{name: t, kind: hl7}", "a table of kind hl7 needs values, or a file that has them"),
        ("{name: t, kind: user}", "a table of kind user needs values, or a file that has them"),
        ("{name: t, kind: hl7, values: {1: one}}", "tables.0001.values.1: Input should be a valid string"),
        ("{name: t, kind: hl7, values: {A: {text: a, since: '2.10'}}}", "unknown version '2.10' (known: 2.3, 2.3.1,"),
        ("{name: t, kind: hl7, values: {A: {txt: a}}}", "did you mean 'text'?"),
        ("{file: t.csv, values: {A: a}}", "only one of them may stand here"),
        ("{file: ../t.csv}", "tables.0001.file: '../t.csv' must lie in or below the folder of the profile"),
        ("{file: /etc/passwd}", "tables.0001.file: '/etc/passwd' must lie in or below the folder of the profile"),
        ("{file: passwd}", "tables.0001.file: 'passwd' is neither a .csv nor a .yaml file"),
        ("{file: gone.csv}", "tables.0001.file: there is no file "),
    ],
)
def test_mistakes_in_a_table(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f'profile: site\ntitle: A site\ntables:\n  "0001": {table}\n')
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert f"{path}:4: " in str(caught.value)
    assert said in str(caught.value)


# --- the files of a site

Write = Callable[..., Table]


@pytest.fixture
def site(tmp_path: Path) -> Write:
    """The table 0563 with the codes of a file of that name and content."""

    def read(text: str | bytes, name: str = "tables/0563.csv") -> Table:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        profile = tmp_path / "site.yaml"
        profile.write_text(
            f'profile: site\ntitle: A site\nextends: aut-standard\ntables:\n  "0563": {{file: {name}}}\n'
        )
        return load_profile(profile).tables["0563"]

    return read


@pytest.mark.parametrize(
    "text",
    [
        "code,text,since\nAP,granted,\nRF,refused,2.8\n",
        "code;text;since\r\nAP;granted;\r\n\r\nRF;refused;2.8\r\n",  # as spreadsheets write it where a comma is decimal
        "\ufeffCode, Text, Since\nAP, granted\nRF,refused , 2.8",
        '"code","text","since","until"\n"AP","granted","",""\n"RF","refused","2.8",""\n',
        "text,since,code\ngranted,,AP\nrefused,2.8,RF\n",
    ],
)
def test_a_csv_file_of_a_site(site: Write, text: str) -> None:
    table = site(text)
    assert (table.name, table.kind, table.file) == ("Approval Status", "site", "tables/0563.csv")
    assert dict(table.values) == {"AP": "granted", "RF": Code(text="refused", since="2.8")}
    assert table.codes("2.7.1") == {"AP"}


def test_a_csv_file_without_more_than_codes(site: Write) -> None:
    assert site("code\nAP\nRF\n").codes("2.8") == {"AP", "RF"}


def test_a_yaml_file_of_a_site(site: Write) -> None:
    table = site("values:\n  AP: granted\n  RF: {text: refused, since: '2.8'}\n", "tables/0563.yaml")
    assert dict(table.values) == {"AP": "granted", "RF": Code(text="refused", since="2.8")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0563.csv:1: the columns are code, text, and where needed since and until, not: "),
        ("number,text\n1,one\n", "0563.csv:1: the columns are code, text"),
        ("code,text,code\n", "0563.csv:1: the columns are code, text"),
        ("code,text\nAP,granted\n,nothing\n", "0563.csv:3: the code is missing"),
        ("code,text\nAP,granted\nAP,again\n", "0563.csv:3: the code 'AP' is there twice"),
        ("code,text,since\nAP,granted,2.10\n", "0563.csv:2: unknown version '2.10'"),
        (b"code,text\nAP,conc\xe9d\xe9\n", "0563.csv: not UTF-8 text"),
        (b"code,text\n" + b"A" * MAX_FILE_BYTES, "0563.csv: larger than 20000000 bytes"),
    ],
)
def test_mistakes_in_a_csv_file(site: Write, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site(text)
    assert said in str(caught.value)


def test_mistakes_in_a_yaml_file(site: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        site("values: {}\n", "0563.yml")
    assert "0563.yml:1: values" in str(caught.value)


def test_a_file_that_a_link_leads_out_to_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("code\nA\n")
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "t.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(ConfigError, match=r"site\.yaml:3: tables\.0563\.file: there is no file"):
        filled(Table(file="t.csv"), "0563", folder, "site.yaml:3")


def test_each_profile_reads_the_files_of_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("code\nAP\n")
    (tmp_path / "site.yaml").write_text(
        'profile: site\ntitle: A site\nextends: network-zqa\ntables:\n  "0563": {file: codes.csv}\n'
    )
    tables = load_profile(tmp_path / "site.yaml").tables
    assert tables["0563"].codes("2.8") == {"AP"}
    assert "B000" in tables["zqa-result"].codes("2.4")
