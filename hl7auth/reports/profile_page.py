"""The documentation page of a profile, drawn from its YAML file and what that extends, as Markdown.

Imports rules, reports.attributes and wire only.

`python -m hl7auth.reports.profile_page docs/reference/profiles` writes the pages of all shipped profiles anew, and
takes away those of profiles that are gone.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hl7auth.reports.attributes import FLAGS, TITLES, flat, rows
from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.dictionary import Dictionary, dictionary
from hl7auth.rules.elements import table_of
from hl7auth.rules.profile import Profile, profile_files, resolved
from hl7auth.rules.shape import own_structures
from hl7auth.rules.syntax import write_syntax
from hl7auth.rules.tables import Table
from hl7auth.wire.versions import VERSIONS

_WHOLE = frozenset({"AUT"})
"""Segments that are shown with all their fields; of the others only those that the profile speaks of."""


def page(profile: Profile, version: str) -> str:
    """The page of a resolved profile; its segments and tables as they stand in that version.

    Raises ConfigError where the profile can not be compiled for one of the versions that it is for.
    """
    rules = compile_profile(profile, version)
    parts = [
        [f"# {profile.profile}", "", f"{profile.title}."],
        _about(profile),
        _head(profile, rules),
        _structures(profile),
        _segments(profile, rules),
        _statements(profile),
        _tables(profile, rules),
        _severities(profile),
        _decisions(profile),
        _written(profile),
        [_footer(profile, version)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def newest(profile: Profile) -> str:
    """The newest version that a profile is for."""
    return versions(profile)[-1]


def versions(profile: Profile) -> tuple[str, ...]:
    """The versions that a profile is for: all where it names none."""
    named = profile.applies.versions if profile.applies else ()
    return tuple(version for version in VERSIONS if not named or version in named)


def pages() -> dict[str, str]:
    """The pages of the shipped profiles by file name, with an index."""
    profiles = [resolved(name) for name in profile_files()]
    found = {f"{each.profile}.md": page(each, newest(each)) for each in profiles}
    return found | {"README.md": _index(profiles)}


def write_pages(folder: Path) -> list[str]:
    """Writes the pages into a folder, and takes away what is none of them; returns the names that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    for name in there.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        if there.get(name) != text:
            (folder / name).write_text(text, encoding="utf-8")
    return sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))


def _index(profiles: Sequence[Profile]) -> str:
    listed = _table(
        ("Profile", "For", "Extends"),
        ((f"[{each.profile}]({each.profile}.md)", each.title, each.extends or "") for each in profiles),
    )
    intro = (
        "The profiles that come with the engine. These pages are drawn from the files in `profiles/`;"
        " `hl7auth profile show NAME --hl7-version VERSION` draws one for any version."
    )
    return "\n".join(["# Profiles", "", intro, "", *listed]) + "\n"


def _about(profile: Profile) -> list[str]:
    """What the file says of itself in the comment at its head."""
    path, _, _ = profile.place("profile").rpartition(":")
    said: list[str] = []
    for line in Path(path).read_text(encoding="utf-8").splitlines() if path else ():
        if not line.startswith("#"):
            break
        said.append(line.removeprefix("#").strip())
    return said


def _head(profile: Profile, rules: CompiledProfile) -> list[str]:
    applies = profile.applies
    above = profile.extends
    facts = {
        "Source": profile.source,
        "Extends": f"[{above}]({above}.md)" if above else "",
        "Messages": ", ".join(map(_code, applies.messages)) if applies else "",
        "Versions": ", ".join(applies.versions) if applies and applies.versions else "all, 2.3 to " + VERSIONS[-1],
        "Departs from what HL7, or a profile beneath, requires": ", ".join(map(_code, _departs(profile, rules))),
        "An error where out of place or missing": ", ".join(profile.structure.essential) if profile.structure else "",
    }
    return _table(("", ""), ((name, value) for name, value in facts.items() if value))


def _departs(profile: Profile, rules: CompiledProfile) -> Iterator[str]:
    """What is relaxed; a profile may inherit the word and require the field again."""
    required = {field.path for segment in rules.segments.values() for field in segment.fields[1:] if field.usage == "R"}
    return (path for path in profile.departs if path not in required)


def _structures(profile: Profile) -> list[str]:
    """Each structure that the profile brings along, changes or is for, with the versions that have it so."""
    known = {version: dictionary(version) for version in versions(profile)}
    own = {version: own_structures(profile, each) for version, each in known.items()}
    meant = (name for each in known.values() for name in _meant(profile, each))
    lines: list[str] = []
    for name in dict.fromkeys((*profile.structures, *profile.groups, *meant)):
        roots = ((version, own[version].get(name) or known[version].structures.get(name)) for version in known)
        drawn = [(version, write_syntax(root)) for version, root in roots if root is not None]
        for text, same in groupby(drawn, key=lambda pair: pair[1]):
            found = [version for version, _ in same]
            span = found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"
            lines += ["", f"{name}, {span}:", "", "```", *_folded(text), "```"]
    return ["## Structures", *lines] if lines else []


def _meant(profile: Profile, known: Dictionary) -> Iterator[str]:
    """The structures of the messages that the profile is for."""
    for message in profile.applies.messages if profile.applies else ():
        structure = profile.events.get(message) or known.structure_of(*message.split("^", 1))
        if structure is not None:
            yield structure


def _folded(text: str) -> Iterator[str]:
    """Lines of at most some hundred characters, broken between the items of the message itself."""
    line, depth = "", 0
    for word in text.split():
        if depth == 0 and len(line) > 100:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
        depth += sum(word.count(mark) for mark in "[{(") - sum(word.count(mark) for mark in "]})")
    yield line


def _segments(profile: Profile, rules: CompiledProfile) -> list[str]:
    lines = [f"## Segments in HL7 {rules.version}", ""]
    silent: list[str] = []
    for name in (each for each in profile.segments if each in rules.segments):
        segment, said = rules.segments[name], profile.segments[name]
        shown = [
            row
            for row in flat(rows(profile, segment, rules.version))
            if name in _WHOLE or name.startswith("Z") or int(str(row["number"]).partition(".")[0]) in said.fields
        ]
        if not shown:
            silent.append(name)
            continue
        breach = f"A breach is an {said.severity}" if said.severity[0] in "aeio" else f"A breach is a {said.severity}"
        lines += [f"### {name} {said.name}".rstrip(), "", f"{breach}, unless a field says otherwise.", ""]
        lines += [*_table(tuple(TITLES.values()), (_cells(row) for row in shown)), ""]
        lines += [*_conditions(name, shown)]
    if silent:
        lines += [f"Checked as HL7 has them, with nothing of its own: {', '.join(silent)}.", ""]
    used = ", ".join(f"{flag} {meaning}" for flag, meaning in FLAGS.items())
    return [*lines, f"Flags: {used}."] if rules.segments else []


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for key in TITLES:
        value = row[key]
        if key == "cardinality" and value:
            yield f"[{value}]"
        elif key == "type" and row["type_name"]:
            yield f"{value} {row['type_name']}"
        else:
            yield "" if value is None else str(value)


def _conditions(name: str, shown: Iterable[dict[str, Any]]) -> list[str]:
    lines = [
        f"* {name}-{row['number']} is required where {_code(row['condition'])}" for row in shown if row.get("condition")
    ]
    return [*lines, ""] if lines else []


def _statements(profile: Profile) -> list[str]:
    if not profile.statements:
        return []
    lines = _table(
        ("Id", "Of", "Severity", "Says", "Holds where"),
        (
            (each.id, _scope(each.scope, each.segment), each.severity, each.text, _code(each.holds))
            for each in profile.statements
        ),
    )
    return ["## Conformance statements", "", *lines]


def _scope(scope: str, segment: str) -> str:
    return {"segment": f"each {segment}", "group": f"each {segment}, within its group"}.get(scope, "the message")


def _tables(profile: Profile, rules: CompiledProfile) -> list[str]:
    bound = dict.fromkeys(
        field.table for segment in rules.segments.values() for field in segment.fields[1:] if field.table
    )
    known = {number: table for number in bound if (table := table_of(profile, number)) is not None} | profile.tables
    empty = [f"{number} {table.name}" for number, table in sorted(known.items()) if not table.configured]
    lines: list[str] = []
    for number, table in profile.tables.items():
        if table.configured:
            lines += [f"### {number} {table.name}", "", *_codes(table, rules.version), ""]
    if empty:
        lines += [f"Without codes, so that every value is right until a profile brings some: {', '.join(empty)}.", ""]
    return ["## Tables", "", *lines[:-1]] if lines else []


def _codes(table: Table, version: str) -> list[str]:
    there = table.codes(version)
    return _table(("Code", "Meaning"), ((_code(code), table.text(code)) for code in table.values if code in there))


def _severities(profile: Profile) -> list[str]:
    if not profile.severities:
        return []
    lines = _table(("Rule", "Severity"), ((_code(rule), each) for rule, each in profile.severities.items()))
    return ["## Severities of single rules", "", *lines]


def _decisions(profile: Profile) -> list[str]:
    """What codes of a decision mean to the engine."""
    found: list[tuple[str, str, str]] = []
    if profile.status is not None:
        found += [("AUT-14", _code(code), status) for code, status in profile.status.approval_status.items()]
        found += [("RF1-1", _code(code), status) for code, status in profile.status.referral_status.items()]
        found += [("AUT-18, else AUT-9", _code(row.authorized), row.status) for row in profile.status.treatments]
        if "dated" in profile.status.model_fields_set:
            found += [("AUT-6 with AUT-4", "valued", profile.status.dated)]
        found += [("MSH-9", _code(event), status) for event, status in profile.status.events.items()]
    if profile.dialect is not None and profile.dialect.status is not None:
        said = profile.dialect.status
        found += [(said.source, _code(code), status) for code, status in said.codes.items()]
        found += [(said.source, f"any other that begins with {_code(code)}", s) for code, s in said.prefixes.items()]
    return ["## Decisions", "", *_table(("Field", "Code", "Means"), found)] if found else []


def _written(profile: Profile) -> list[str]:
    """How a decision of ours is written in a partner's own codes."""
    status = profile.dialect.status if profile.dialect is not None else None
    if status is None or not status.says:
        return []
    rows = ((name, status.source, _code(said.code), said.text) for name, said in status.says.items())
    return ["## What is decided here", "", *_table(("Decision", "Field", "Code", "Text"), rows)]


def _footer(profile: Profile, version: str) -> str:
    return (
        f"Drawn from the profile itself. For another version than {version}:"
        f" `hl7auth profile show {profile.profile} --hl7-version VERSION`"
    )


def _code(text: str) -> str:
    return f"`{text}`"


def _table(titles: Sequence[str], lines: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table; a bar within a cell would end it."""
    drawn = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) for line in lines)
    return [f"| {' | '.join(titles)} |", f"| {' | '.join('---' for _ in titles)} |", *(f"| {line} |" for line in drawn)]


def main(arguments: Sequence[str]) -> int:
    """Writes the pages into the folder that is named, and prints the names of those that changed; exit 2 without."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m hl7auth.reports.profile_page FOLDER\n")
        return 2
    for name in write_pages(Path(arguments[0])):
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
