"""What a step can say about a message instead of shaping it.

Imports errors only.
"""

from hl7auth.errors import Fault


class StepRefused(Fault):
    """A step refuses the message."""


class StepFailed(Fault):
    """A Python step failed."""


class UnmappedRefused(StepRefused):
    """A code table does not have a value, and the step says to refuse then (table 0357: table value not found)."""

    code = "103"


class UnreadableRefused(StepRefused):
    """A value is not of the form that the step reads, and the step says to refuse then (table 0357: data type)."""

    code = "102"
