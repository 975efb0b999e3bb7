"""The command line: its options, its groups of commands, and how it ends.

Imports typer, errors, and (inside commands) everything.

Heavy imports live inside the commands, and of the commands only what is called is imported: `hl7auth check` is to
answer in under half a second.
"""

import atexit
import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from hl7auth import __version__
from hl7auth.errors import UserError

SINGLE: Mapping[str, tuple[str, ...]] = {
    "engine": ("serve", "send", "bench"), "check": ("check",), "trying": ("plan",), "prove": ("prove-durability",),
    "soak": ("soak",), "native": ("compile",), "figures": ("figures",),
}  # fmt: skip
"""Modules here with the commands that their `add` adds."""

GROUPS: Mapping[str, tuple[str, str]] = {
    "message": ("messages.app", "What came in, and what was answered."),
    "archive": ("archives.app", "Sealed packs of days gone by, and how long they are kept."),
    "replay": ("replay.app", "Messages once more, without doing anything twice; and what-if."),
    "queue": ("queue.app", "What is sent on, what waits, and what a person decides about it."),
    "authorization": ("authorizations.app", "What is authorized, and how it came to be."),
    "decide": ("decide.app", "What waits for a decision, and the decision."),
    "rules": ("rules.app", "The rules by which requests are decided."),
    "channel": ("channels.app", "What listens, and how it answers."),
    "profile": ("profiles.app", "What messages are checked against."),
    "token": ("tokens.app", "Who may use the API, and for what."),
    "audit": ("tokens.audit_app", "Who read or changed what."),
    "db": ("databases.app", "The database."),
}
"""Groups of commands: where each is, and what it is about."""


def made(word: str = "") -> typer.Typer:
    """The command line; or, where `word` is a command or a group, as much of it as that needs: to import all of the
    others takes longer than many a command."""
    app = typer.Typer(
        help="The HL7 v2 interface engine that understands prior authorizations.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"auto_envvar_prefix": "HL7AUTH", "help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    every = word not in GROUPS and not any(word in words for words in SINGLE.values())
    for module, words in SINGLE.items():
        if every or word in words:
            _of(module).add(app)
    for name, (place, about) in GROUPS.items():
        if every or word == name:
            module, _, attribute = place.partition(".")
            app.add_typer(getattr(_of(module), attribute), name=name, help=about)
    return app


def _of(module: str) -> Any:
    return import_module(f"hl7auth.cli.{module}")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hl7auth {__version__}")
        raise typer.Exit


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
        made(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))()
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
