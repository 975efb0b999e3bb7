"""The HL7 versions the engine speaks, in order.

Imports nothing.
"""

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2", "2.9", "2.9.1")

_RANK = {version: rank for rank, version in enumerate(VERSIONS)}


def at_least(version: str, floor: str) -> bool:
    """True when `version` is `floor` or newer; an unknown version counts as older than all."""
    return _RANK.get(version, -1) >= _RANK[floor]
