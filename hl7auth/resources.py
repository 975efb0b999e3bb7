"""Where the shipped profiles, channels, samples and benchmarks lie: inside the package, or at the top of a checkout.

Imports the standard library only.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Path:
    """The folder of the shipped `profiles`, `channels`, `sample_messages` or `benchmarks`.

    An installed wheel carries them inside the package; in a checkout (also an editable install) they stand beside it.
    """
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind
