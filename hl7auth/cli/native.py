"""compile: the modules that every message goes through, as machine code of this machine.

Imports typer, cli.common and native; cli.native_build inside the command.
"""

from typing import Annotated

import typer

from hl7auth.cli.common import Format, Output, show
from hl7auth.native import FOLDER, in_use


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(name="compile")(compile_modules)


Remove = Annotated[
    bool,
    typer.Option("--remove", envvar="HL7AUTH_REMOVE", help="Take the compiled modules away: Python runs the sources."),
]


def compile_modules(remove: Remove = False, output: Output = Format.TEXT) -> None:
    """Compile the modules that every message goes through; engines that start from then on use them.

    Needs a C compiler, Python's headers and the extra `native`, and takes some minutes. A source that is changed later
    counts again, until it is compiled anew.
    """
    from hl7auth.cli import native_build

    if remove:
        removed = native_build.remove(FOLDER)
        show({"removed": removed}, output, lambda _: "the sources run" if removed else "nothing was compiled")
        return
    native_build.build(FOLDER)
    entry = {"modules": len(native_build.MODULES), "folder": str(FOLDER), "instead_of": in_use()}
    show(entry, output, lambda _: f"{entry['modules']} modules compiled into {FOLDER}")
