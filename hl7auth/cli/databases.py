"""db upgrade and check.

Imports typer, cli.common, and inside the commands the store.
"""

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, Database, Format, Output, show
from hl7auth.errors import UserError

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Make the database, or bring it to the schema of this version."""
    from hl7auth.store.database import open_database
    from hl7auth.store.database import upgrade as run

    before, after = run(open_database(database))
    result = {"database": database, "before": before, "after": after}
    show(result, output, lambda it: f"{it['database']}: schema {it['before'] or 'none'} -> {it['after']}")


@app.command()
def check(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Is the database there, of this version, and sound? Exit 0 if so, 1 if not."""
    from hl7auth.store.database import HEAD, open_database, require_current, soundness

    try:
        engine = open_database(database, create=False)
        require_current(engine)
        faults = soundness(engine)
    except UserError as error:
        faults = [str(error)]
    result = {"database": database, "schema": HEAD, "good": not faults, "faults": faults}
    show(result, output, lambda it: f"{it['database']}: " + ("good" if it["good"] else "; ".join(it["faults"])))
    if faults:
        raise typer.Exit(1)
