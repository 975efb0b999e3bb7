"""profile list and show.

Imports typer, cli.common, and inside the commands rules.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import Format, Output, show, table
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.rules.compiled import FieldRule

app = typer.Typer(no_args_is_help=True)

_COLUMNS = ("number", "name", "verb", "cardinality", "length", "type", "table")


@app.command("list")
def list_(output: Output = Format.TEXT) -> None:
    """The profiles that messages can be checked against."""
    from hl7auth.rules.profile import profile_files, resolved

    rows = [
        {"profile": name, "extends": resolved(name).extends, "title": resolved(name).title} for name in profile_files()
    ]
    show(rows, output, lambda found: table(found, ("profile", "extends", "title"), ""))


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    version: Annotated[
        str, typer.Option("--hl7-version", envvar="HL7AUTH_HL7_VERSION", help="The version of HL7.")
    ] = "2.8.2",
    output: Output = Format.TEXT,
) -> None:
    """A profile as its rules stand for one version: what it inherits included."""
    from hl7auth.errors import Fault
    from hl7auth.rules.compiled import compiled

    try:
        rules = compiled(name, version)
    except Fault as fault:
        raise UserError(f"{fault} ({version})") from None
    profile = rules.profile
    named = {
        segment: [_row(rule) for rule in each.fields[1:] if not rule.beyond] for segment, each in rules.segments.items()
    }
    whole = {
        "profile": profile.profile,
        "title": profile.title,
        "source": profile.source,
        "hl7_version": version,
        "segments": named,
    }
    show(whole, output, _text)


def _row(rule: "FieldRule") -> dict[str, Any]:
    high = "*" if rule.max is None else rule.max
    row = {
        "number": rule.number,
        "name": rule.name,
        "verb": "withdrawn" if rule.withdrawn else str(rule.verb),
        "cardinality": f"{rule.min}..{high}",
        "length": rule.length or (f"C.LEN {rule.truncated_at}#" if rule.truncated_at else None),
        "type": rule.datatype,
        "table": rule.table or None,
    }
    return row | ({"conditional": True} if rule.condition else {})


def _text(whole: dict[str, Any]) -> str:
    parts = [f"{whole['profile']}: {whole['title']} (HL7 {whole['hl7_version']})"]
    for segment, rows in whole["segments"].items():
        parts.append(f"\n{segment}\n{table(rows, _COLUMNS, '')}")
    return "\n".join(parts)
