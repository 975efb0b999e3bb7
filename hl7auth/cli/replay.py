"""The group `replay`: a configuration tried against the archive.

Imports typer, cli.replay_compare only.
"""

import typer

from hl7auth.cli.replay_compare import compare

app = typer.Typer(no_args_is_help=True)
app.command()(compare)


@app.callback()
def _group() -> None:
    """A group also while it has one command."""
