"""The pages of the shipped profiles: drawn from the profiles, complete, and not older than them."""

import subprocess
import sys
from pathlib import Path

import pytest

from hl7auth.reports.profile_page import main, newest, page, pages, versions, write_pages
from hl7auth.rules.profile import load_profile, profile_files, resolved
from hl7auth.wire.versions import VERSIONS

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "profiles"
AGAIN = "draw them anew: python -m hl7auth.reports.profile_page docs/reference/profiles"


def test_the_pages_are_those_of_the_profiles() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
    drawn = pages()
    assert sorted(there) == sorted(drawn), AGAIN
    for name, text in drawn.items():
        assert there[name] == text, f"{name} is older than its profile; {AGAIN}"


def test_every_shipped_profile_has_a_page_and_a_line_in_the_index() -> None:
    drawn = pages()
    assert set(drawn) == {f"{name}.md" for name in profile_files()} | {"README.md"}
    for name in profile_files():
        assert f"| [{name}]({name}.md) | {resolved(name).title} |" in drawn["README.md"]
        assert drawn[f"{name}.md"].startswith(f"# {name}\n\n{resolved(name).title}.\n")


def test_a_page_says_what_the_profile_says() -> None:
    text = page(resolved("rpa-i08"), "2.8.2")
    assert "| Extends | [authorization-message](authorization-message.md) |" in text
    assert "| Messages | `RPA^I08`, `RPA^I09`, `RPA^I10`, `RPA^I11` |" in text
    assert "RPA_I08, 2.3.1 to 2.4:" in text
    assert "{<PROCEDURE> PR1 [<AUTHORIZATION> AUT [CTD]]}" in text
    assert "## Segments in HL7 2.8.2" in text
    assert "| 2 | 01147 | Authorizing Payor, Company ID |  | SHALL | [1..1] |  |  | 0285" in text
    assert "| 3 | 01148 | Authorizing Payor, Company Name | # | MAY | [0..1] |  | 45 |  | ST String Data |" in text
    assert "* AUT-6 is required where `" in text
    assert "| RPA-final | each MSH | warning |" in text


def test_a_page_of_a_network_with_structures_segments_and_codes_of_its_own() -> None:
    profile = resolved("network-zqa")
    text = page(profile, newest(profile))
    assert versions(profile) == ("2.4",)
    assert "### ZAU Authorization of a procedure" in text
    assert "ZPA_Z02, 2.4:" in text
    assert "| `M024` | needs manual authorization |" in text
    assert "| ZAU-3 | any other that begins with `B` | approved |" in text
    assert "`AUT-2`" in text
    assert "`AUT-13`" not in text.partition("## Structures")[0]


def test_a_bar_within_a_condition_does_not_end_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "# What this is for.\nprofile: site\ntitle: A site\nextends: aut-standard\nstatements:\n"
        "  - {id: S1, segment: AUT, holds: AUT-6.1 matches 'A|B', text: an odd number}\n"
    )
    text = page(load_profile(path), "2.5")
    assert "A site.\n\nWhat this is for.\n" in text
    assert "| S1 | each AUT | warning | an odd number | `AUT-6.1 matches 'A\\|B'` |" in text
    assert "## Structures" not in text


def test_a_profile_that_says_little_has_a_short_page(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text("profile: bare\ntitle: Nothing but a name\n")
    text = page(load_profile(path), "2.5")
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# bare"]
    assert f"all, 2.3 to {VERSIONS[-1]}" in text


def test_pages_are_written_only_where_they_changed_and_old_ones_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "reference" / "profiles"
    assert write_pages(folder) == sorted(pages())
    assert write_pages(folder) == []
    (folder / "gone.md").write_text("a profile of yesterday")
    (folder / "referral.md").write_text("an old page")
    (folder / "notes.txt").write_text("not ours")
    assert write_pages(folder) == ["gone.md", "referral.md"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*pages(), "notes.txt"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: python -m hl7auth.reports.profile_page FOLDER" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 0
    assert "referral.md" in capsys.readouterr().out.splitlines()
    again = subprocess.run(
        [sys.executable, "-m", "hl7auth.reports.profile_page", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == ""
