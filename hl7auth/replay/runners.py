"""Processes that run the Python steps of channels, as long as somebody works with those.

Imports flow, steps and hl7auth.steps_runner, inside functions: a command that needs none starts without them.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel
    from hl7auth.steps.calls import PythonCall
    from hl7auth.steps_runner import StepProcess


def calls_of(channel: "Channel") -> "list[PythonCall]":
    """The functions that the steps of a channel and of its destinations call. Raises ConfigError."""
    found = [*channel.steps.calls, *(call for steps in channel.steps_out.values() for call in steps.calls)]
    return list(dict.fromkeys(found))


@contextmanager
def running(channel: "Channel") -> "Iterator[StepProcess | None]":
    """A process for the steps of a channel that are in Python; none where there are no such steps."""
    if not calls_of(channel):
        yield None
        return
    from hl7auth.steps_runner import StepProcess

    with StepProcess() as process:
        yield process


@contextmanager
def running_all(channels: "Mapping[str, Channel]") -> "Iterator[Mapping[str, StepProcess]]":
    """A process for each channel that has steps in Python, by its name."""
    with ExitStack() as stack:
        found = {name: stack.enter_context(running(channel)) for name, channel in channels.items()}
        yield {name: each for name, each in found.items() if each is not None}
