"""profile list, show, check, diff and learn; import and export stand in cli.profile_exchange.

Imports typer, cli.common, cli.profile_exchange, and inside the commands rules and reports.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli import profile_exchange
from hl7auth.cli.common import Format, Output, show, table
from hl7auth.errors import ConfigError, UserError

if TYPE_CHECKING:
    from hl7auth.rules.diff import Difference
    from hl7auth.rules.profile import Profile

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a profile, or its file.")]
Version = Annotated[str, typer.Option("--hl7-version", envvar="HL7AUTH_HL7_VERSION", help="The version of HL7.")]
Folder = Annotated[
    Path | None,
    typer.Option("--profiles", envvar="HL7AUTH_PROFILES", help="Folder of profiles beside the shipped.", metavar="DIR"),
]


@app.command("list")
def list_(profiles: Folder = None, output: Output = Format.TEXT) -> None:
    """The profiles that messages can be checked against."""
    from hl7auth.rules.profile import profile_files, resolved

    found = [resolved(name, profiles) for name in profile_files(profiles)]
    rows = [{"profile": each.profile, "extends": each.extends, "title": each.title} for each in found]
    show(rows, output, lambda rows: table(rows, ("profile", "extends", "title"), ""))


@app.command("show")
def show_(
    name: Name,
    version: Version = "2.8.2",
    segment: Annotated[
        list[str] | None,
        typer.Option(envvar="HL7AUTH_SEGMENT", help="This segment alone; may be given again.", metavar="AUT"),
    ] = None,
    profiles: Folder = None,
    output: Output = Format.TEXT,
) -> None:
    """A profile as its rules stand for one version, drawn as HL7 draws its tables: what it inherits included."""
    from hl7auth.errors import Fault
    from hl7auth.reports.attributes import rows
    from hl7auth.rules.compiled import compile_profile

    profile = _profile(name, profiles)
    try:
        rules = compile_profile(profile, version)
    except Fault as fault:
        raise UserError(f"{fault} ({version})") from None
    chosen = {each: rules.segments[each] for each in rules.segments if not segment or each in segment}
    if missing := sorted(set(segment or ()) - chosen.keys()):
        raise UserError(
            f"{profile.profile} says nothing of {', '.join(missing)} (it speaks of {', '.join(rules.segments)})"
        )
    whole = {
        "profile": profile.profile,
        "title": profile.title,
        "source": profile.source,
        "hl7_version": version,
        "segments": {each: rows(profile, one, version) for each, one in chosen.items()},
        "statements": [
            {"id": each.id, "segment": each.segment, "severity": each.severity, "text": each.text, "holds": each.holds}
            for each in profile.statements
            if not segment or each.segment in segment
        ],
        "structures": profile.structures,
    }
    show(whole, output, _drawn)


@app.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Profile files.")],
    output: Output = Format.TEXT,
) -> None:
    """Is a profile file right, and what is questionable in it? Exit 0 if right, 1 with the mistakes if not."""
    from hl7auth.rules.doubts import doubts
    from hl7auth.rules.profile import load_profile

    entries: list[dict[str, Any]] = []
    for file in files:
        try:
            profile = load_profile(file)
            found = [each.entry() for each in doubts(profile)]
            entries.append({"file": str(file), "good": True, "profile": profile.profile, "questionable": found})
        except ConfigError as error:
            entries.append({"file": str(file), "good": False, "mistake": str(error), "questionable": []})
    show(entries, output, lambda found: "\n".join(map(_checked, found)))
    raise typer.Exit(int(not all(entry["good"] for entry in entries)))


@app.command("diff")
def diff_(
    before: Annotated[str, typer.Argument(metavar="A", help="Name of a profile, or its file.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Name of a profile, or its file.")],
    version: Annotated[
        list[str] | None,
        typer.Option(
            "--hl7-version", envvar="HL7AUTH_HL7_VERSION", help="This version alone; may be given again. Else all."
        ),
    ] = None,
    profiles: Folder = None,
    output: Output = Format.TEXT,
) -> None:
    """What B asks for that A does not, and the other way round: what is stricter, looser, new and gone."""
    from hl7auth.errors import Fault
    from hl7auth.rules.diff import diff
    from hl7auth.wire.versions import VERSIONS

    one, other = _profile(before, profiles), _profile(after, profiles)
    try:
        found = diff(one, other, tuple(version or VERSIONS))
    except Fault as fault:
        raise UserError(str(fault)) from None
    whole = {"before": one.profile, "after": other.profile, "differences": [each.entry() for each in found]}
    show(whole, output, lambda _: _differences(one, other, found))


@app.command("learn")
def learn(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Messages of a partner; - is standard input.")
    ],
    name: Annotated[
        str, typer.Option(envvar="HL7AUTH_NAME", help="Name of the new profile, and of its file.", metavar="NAME")
    ] = "learned",
    extends: Annotated[
        str | None,
        typer.Option(
            envvar="HL7AUTH_EXTENDS", help="The profile beneath; 'none' for none. Else what the messages are for.",
            metavar="NAME",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", envvar="HL7AUTH_OUTPUT", help="Write NAME.yaml there.", metavar="FILE|DIR"),
    ] = None,
    profiles: Folder = None,
) -> None:  # fmt: skip
    """Proposes a profile from traffic: how often, how long, which codes. It never holds anything of a patient."""
    from hl7auth.cli.profile_learning import learned

    use, text = learned(files, name, extends, profiles)
    if to is None:
        typer.echo(text, nl=False)
        return
    path = to / f"{name}.yaml" if to.is_dir() else to
    if path.stem != name or path.suffix != ".yaml":
        raise UserError(f"{path}: the file of profile '{name}' is called {name}.yaml")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    typer.echo(f"{path}: proposed from {use.messages} messages; read it, then: hl7auth profile check {path}")


profile_exchange.add(app)


def _profile(name: str, folder: Path | None) -> "Profile":
    """The profile of that name or file. Raises UserError."""
    from hl7auth.rules.profile import load_profile, resolved

    return load_profile(Path(name)) if name.endswith((".yaml", ".yml")) else resolved(name, folder)


def _drawn(whole: dict[str, Any]) -> str:
    from hl7auth.reports.attributes import FLAGS, TITLES, flat

    parts = [f"{whole['profile']}: {whole['title']} (HL7 {whole['hl7_version']})"]
    for segment, fields in whole["segments"].items():
        rows = list(flat(fields))
        if rows:
            titled = [{title: _shown(row, key) for key, title in TITLES.items()} for row in rows]
            parts.append(f"\n{segment}\n{table(titled, list(TITLES.values()), '')}")
        parts += [
            f"  {segment}-{row['number']} is asked for where {row['condition']}" for row in rows if row.get("condition")
        ]
    parts += ["", "Flags: " + ", ".join(f"{flag} {meaning}" for flag, meaning in FLAGS.items())]
    if whole["statements"]:
        parts.append("\nStatements")
        parts += [f"  {each['id']} ({each['severity']}): {each['text']}" for each in whole["statements"]]
    if whole["structures"]:
        parts.append("\nStructures")
        parts += [f"  {name}: {text}" for name, text in whole["structures"].items()]
    return "\n".join(parts)


def _shown(row: dict[str, Any], key: str) -> Any:
    value = row[key]
    if key == "cardinality" and value:
        return f"[{value}]"
    return f"{value} {row['type_name']}" if key == "type" and row["type_name"] else value


def _checked(entry: dict[str, Any]) -> str:
    if not entry["good"]:
        return str(entry["mistake"])
    count = len(entry["questionable"])
    said = f"{count} thing(s) are questionable" if count else "nothing is questionable"
    lines = [f"{entry['file']}: profile {entry['profile']} is good; {said}"]
    lines += [f"  {each['place'] or entry['file']}: {each['path']}: {each['text']}" for each in entry["questionable"]]
    return "\n".join(lines)


def _differences(one: "Profile", other: "Profile", found: "list[Difference]") -> str:
    from hl7auth.rules.diff import KINDS
    from hl7auth.wire.versions import VERSIONS

    parts = [f"{other.profile} compared with {one.profile}: " + ("no difference" if not found else "")]
    parts[0] += ", ".join(f"{count} {kind}" for kind in KINDS if (count := sum(each.kind == kind for each in found)))
    for kind in KINDS:
        some = [each for each in found if each.kind == kind]
        parts += [f"\n{kind}"] if some else []
        parts += [f"  {each.text}{_in(each.versions, VERSIONS)}" for each in some]
    return "\n".join(parts)


def _in(versions: tuple[str, ...], known: tuple[str, ...]) -> str:
    """` (2.8 to 2.9.1)`; nothing where it holds in all."""
    if versions == known or len(versions) == 0:
        return ""
    at = known.index(versions[0])
    if len(versions) > 2 and versions == known[at : at + len(versions)]:
        return f" ({versions[0]} to {versions[-1]})"
    return f" ({', '.join(versions)})"
