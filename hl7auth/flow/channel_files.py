"""Which files of a folder are channels.

Imports the standard library only.
"""

from collections.abc import Iterable
from pathlib import Path

ALERTS = "alerts.yaml"
"""Beside the channels, and none of them."""


def channel_paths(found: Iterable[Path]) -> list[Path]:
    """Those of the YAML files of a folder that are channels, in their order."""
    return sorted(path for path in found if path.name != ALERTS)
