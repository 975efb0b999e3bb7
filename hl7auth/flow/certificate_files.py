"""Which certificates a channel has: the files that it names, and when the first of them ends.

Imports flow.certificate, flow.channel, flow.channel_leaves and flow.endpoint only.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from hl7auth.flow.certificate import validities
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_leaves import leaves, plain
from hl7auth.flow.endpoint import endpoint

_ENDINGS = (".pem", ".crt", ".cer")
_IN_ENDPOINT = ("privateKey", "certKey", "extraCertChain")


def certificate_files(channel: Channel) -> list[Path]:
    """The files of a channel that may hold certificates: those of keys beside it, those of endpoints as they are."""
    return list(dict.fromkeys(_files(channel)))


def first_end(paths: list[Path], read: Callable[[Path], bytes | None]) -> int | None:
    """When the first of the certificates in these files ends, in microseconds since 1970; None where there is none.

    What can not be read has no end: `channel check` tells of it.
    """
    found = []
    for path in paths:
        try:
            found += [each.ends for each in validities(read(path) or b"")]
        except ValueError:
            continue
    return min(found, default=None)


def _files(channel: Channel) -> Iterator[Path]:
    for keys, value in leaves(plain(channel.file)):
        if not isinstance(value, str):
            continue
        if keys[-1] in ("listen", "connect"):
            options = endpoint(value).options
            yield from (Path(options[name]) for name in _IN_ENDPOINT if name in options)
        elif value.endswith(_ENDINGS):
            yield channel.path.parent / value
