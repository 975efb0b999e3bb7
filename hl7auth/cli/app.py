"""The command line: its options, its groups of commands, and how it ends.

Imports typer, errors, and (inside commands) everything.

Heavy imports live inside the commands: `hl7auth check` is to answer in under half a second.
"""

import atexit
import gc
import sys
from typing import Annotated

import typer

from hl7auth import __version__
from hl7auth.cli import (
    archives,
    authorizations,
    channels,
    check,
    databases,
    decide,
    engine,
    figures,
    messages,
    native,
    profiles,
    prove,
    queue,
    replay,
    rules,
    soak,
    tokens,
    trying,
)
from hl7auth.errors import UserError

app = typer.Typer(
    help="The HL7 v2 interface engine that understands prior authorizations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "HL7AUTH", "help_option_names": ["-h", "--help"]},
)
engine.add(app)
check.add(app)
trying.add(app)
prove.add(app)
soak.add(app)
native.add(app)
figures.add(app)
app.add_typer(messages.app, name="message", help="What came in, and what was answered.")
app.add_typer(archives.app, name="archive", help="Sealed packs of days gone by, and how long they are kept.")
app.add_typer(replay.app, name="replay", help="Messages once more, without doing anything twice; and what-if.")
app.add_typer(queue.app, name="queue", help="What is sent on, what waits, and what a person decides about it.")
app.add_typer(authorizations.app, name="authorization", help="What is authorized, and how it came to be.")
app.add_typer(decide.app, name="decide", help="What waits for a decision, and the decision.")
app.add_typer(rules.app, name="rules", help="The rules by which requests are decided.")
app.add_typer(channels.app, name="channel", help="What listens, and how it answers.")
app.add_typer(profiles.app, name="profile", help="What messages are checked against.")
app.add_typer(tokens.app, name="token", help="Who may use the API, and for what.")
app.add_typer(tokens.audit_app, name="audit", help="Who read or changed what.")
app.add_typer(databases.app, name="db", help="The database.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hl7auth {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read by typer: options before the command."""


def main() -> None:
    """Runs the command line; a person's mistake ends in one sentence and exit status 2."""
    _spare_the_collector()
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"hl7auth: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        # the reader of our output has gone (`| head`): nothing is wrong
        sys.stderr.close()
        sys.exit(0)


def _spare_the_collector() -> None:
    """A quarter of the time of a short command went into looking for garbage among what it had imported: at the import,
    and, with everything once more, at its end. What is alive then needs no look: it ends with the process."""
    gc.set_threshold(100_000, 20, 50)
    atexit.register(gc.freeze)
