"""The group `replay`: messages once more, without doing anything twice, or through another configuration in memory.

Imports typer, and the modules of its commands: cli.replay_plan, cli.replay_run and cli.replay_compare.
"""

import typer

from hl7auth.cli.replay_compare import compare
from hl7auth.cli.replay_plan import plan
from hl7auth.cli.replay_run import list_, pause, report, run

app = typer.Typer(no_args_is_help=True)
app.command()(plan)
app.command()(run)
app.command()(pause)
app.command()(report)
app.command("list")(list_)
app.command()(compare)
