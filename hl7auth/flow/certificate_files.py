"""Which certificates a channel has: the files that it names, and when the first of them ends.

Imports flow.certificate, flow.channel and flow.tls_doubts only.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from hl7auth.flow.certificate import validities
from hl7auth.flow.channel import Channel
from hl7auth.flow.tls_doubts import tls_of


def certificate_files(channel: Channel) -> list[Path]:
    """The files of a channel that hold certificates: its own and those of its destinations."""
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
    """Also of authorities: what these have signed ends with them."""
    for _, tls in tls_of(channel.file):
        yield from (channel.path.parent / path for path in (tls.certificate, tls.trust) if path is not None)
