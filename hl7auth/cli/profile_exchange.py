"""profile import and export: profiles of other tools, and ours for other tools.

Imports typer, cli.common, errors, and inside the commands exchange and rules.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import Format, Output, show
from hl7auth.errors import Fault, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hl7auth.exchange.model import Loss
    from hl7auth.rules.compiled import CompiledProfile

_To = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", envvar="HL7AUTH_OUTPUT", help="The file to write, instead of standard output.", metavar="FILE"
    ),
]


def add(app: typer.Typer) -> None:
    """Adds the commands to a group of commands."""
    app.command("import")(import_)
    app.command("export")(export)


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="XML files, zip archives or folders that belong to one profile."),
    ],
    to: _To = None,
    message: Annotated[
        str,
        typer.Option(
            "--message", envvar="HL7AUTH_MESSAGE", help="Which message, where there are several.", metavar="RQA^I08"
        ),
    ] = "",
    name: Annotated[
        str, typer.Option("--name", envvar="HL7AUTH_NAME", help="Name of the profile, instead of its title.")
    ] = "",
    output: Output = Format.TEXT,
) -> None:
    """A profile from an HL7 message profile (XML) or a NIST bundle (Profile, Constraints, ValueSets XML).

    What could not be carried over is listed, and stands as comments on top of the profile. Exit 0 also then.
    """
    from hl7auth.exchange.importing import import_profile

    found = import_profile(files, name=name or (to.stem if to else ""), message=message)
    try:
        found.compiled()
    except Fault as fault:
        raise UserError(f"{found.name}: {fault}") from None
    report = {"profile": found.name, "hl7_version": found.version, "file": str(to) if to else None}
    _deliver(found.text, found.losses, to, output, report)


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a profile, or its file.")],
    message: Annotated[
        str, typer.Option("--message", envvar="HL7AUTH_MESSAGE", help="The message.", metavar="RQA^I08")
    ],
    version: Annotated[
        str, typer.Option("--hl7-version", envvar="HL7AUTH_HL7_VERSION", help="The version of HL7.")
    ] = "2.8.2",
    to: _To = None,
    output: Output = Format.TEXT,
) -> None:
    """A profile of ours for one message, as an HL7 message profile (XML) that other tools read."""
    from hl7auth.exchange.hl7_writer import export_profile

    written = export_profile(_rules(name, version), message)
    report = {"profile": name, "hl7_version": version, "message": message, "file": str(to) if to else None}
    _deliver(written.text, written.losses, to, output, report)


def _rules(name: str, version: str) -> "CompiledProfile":
    from hl7auth.rules.compiled import compile_profile, compiled
    from hl7auth.rules.profile import load_profile

    try:
        return compile_profile(load_profile(Path(name)), version) if name.endswith(".yaml") else compiled(name, version)
    except Fault as fault:
        raise UserError(f"{fault} ({version})") from None


def _deliver(text: str, losses: "Sequence[Loss]", to: Path | None, output: Format, report: dict[str, Any]) -> None:
    """The text goes to its file, and the list of losses to standard output; without a file, to standard error."""
    if to is not None:
        try:
            to.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{to}: {(error.strerror or str(error)).lower()}") from None
    entries = [each._asdict() for each in losses]
    whole = {**report, **({} if to else {"text": text}), "not_carried_over": entries}
    if to is not None or output is Format.JSON:
        show(whole, output, lambda _: _listed(losses, f"{to}: written"))
        return
    typer.echo(text, nl=False)
    sys.stderr.write(_listed(losses, "") + "\n" if losses else "")


def _listed(losses: "Sequence[Loss]", head: str) -> str:
    lines = [head] if head else []
    lines.append(f"not carried over: {len(losses)}" if losses else "everything was carried over")
    return "\n".join([*lines, *(f"  {loss}" for loss in losses)])
