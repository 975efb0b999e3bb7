"""Steps for the tests: from mappings, as a file would hold them, to what they make of a message.

Imports steps, wire and errors only.
"""

from pathlib import Path
from typing import Any

from hl7auth.steps.calls import Runner
from hl7auth.steps.model import StepsFile
from hl7auth.steps.run import Shaped, Steps, compile_steps, run

HEAD = "MSH|^~\\&|FRONT|NORTH|PAYER|SOUTH|20260301101500||RQA^I08^RQA_I08|C1|P|2.5"


def steps_of(*steps: Any, path: Path = Path("channel.yaml")) -> Steps:
    """The compiled steps."""
    return compile_steps(StepsFile.model_validate({"steps": list(steps)}).steps, path)


def message(*segments: str, head: str = HEAD, codec: str = "ascii") -> bytes:
    """A message of those segments under an MSH."""
    return "".join(f"{segment}\r" for segment in (head, *segments)).encode(codec)


def shaped(raw: bytes, *steps: Any, runner: Runner | None = None, path: Path = Path("channel.yaml")) -> Shaped:
    """What the steps make of the bytes."""
    return run(steps_of(*steps, path=path), raw, runner=runner)


def segments(raw: bytes, *steps: Any, codec: str = "ascii") -> list[str]:
    """The segments behind MSH after the steps."""
    return shaped(raw, *steps).raw.decode(codec).removesuffix("\r").split("\r")[1:]


def one(segment: str, *steps: Any) -> str:
    """A segment of a message after the steps."""
    (found,) = segments(message(segment), *steps)
    return found
