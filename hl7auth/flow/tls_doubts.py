"""What would fail or surprise at run time in the files of TLS: missing, ended or soon to end, not belonging together.

Imports flow.certificate, flow.channel, flow.channel_leaves, flow.key_pair and flow.tls only.

What a file holds, and who may read it, is asked of functions, and the time is a parameter.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hl7auth.flow.certificate import Validity, validities
from hl7auth.flow.channel_leaves import Keys
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.key_pair import belong_together, certificates, private_key
from hl7auth.flow.tls import ClientTls, Tls

CERTIFICATE_DAYS = 30
"""A certificate that ends sooner is worth a word: a new one takes its time."""

_DAY = 86_400 * 1_000_000


class Files(NamedTuple):
    """What lies around a channel: `folder` is what its files are relative to.

    `read` gives the bytes of a file, or None where it can not be read; `is_public` tells whether everybody on the
    machine may read it.
    """

    folder: Path
    read: Callable[[Path], bytes | None]
    is_public: Callable[[Path], bool]


class Said(NamedTuple):
    """One doubt: at these keys, in a sentence; `fails` where it would not work."""

    keys: Keys
    text: str
    fails: bool = True


def tls_of(file: ChannelFile) -> Iterator[tuple[Keys, Tls]]:
    """Every place in a channel where TLS is, with its keys."""
    if file.tls is not None:
        yield ("tls",), file.tls
    for name, destination in file.destinations.items():
        for way, found in (("mllp", destination.mllp), ("http", destination.http)):
            if found is not None and found.tls is not None:
                yield ("destinations", name, way, "tls"), found.tls


def tls_doubts(tls: Tls, keys: Keys, files: Files, now: int) -> Iterator[Said]:
    """What is doubtful about TLS at one place; `now` is in microseconds since 1970."""
    if tls.certificate is not None:
        yield from _certificate(tls.certificate, (*keys, "certificate"), files, now)
        yield from _key(tls, (*keys, "key"), files)
    if tls.passphrase_file is not None:
        yield from _secret(tls.passphrase_file, (*keys, "passphrase"), files)
    if tls.trust is not None:
        yield from _trust(tls.trust, (*keys, "trust"), files, now)
    if isinstance(tls, ClientTls) and not tls.check_name:
        yield Said((*keys, "check_name"), "anybody with a certificate of the same authority can be the server", False)


def _certificate(path: Path, keys: Keys, files: Files, now: int) -> Iterator[Said]:
    try:
        for each in _validities(path, files):
            yield from _ending(each, keys, files.folder / path, now)
    except ValueError as error:
        yield Said(keys, str(error))


def _key(tls: Tls, keys: Keys, files: Files) -> Iterator[Said]:
    assert tls.certificate is not None
    assert tls.key_file is not None
    path, chain = files.folder / tls.key_file, files.read(files.folder / tls.certificate)
    yield from _secret(tls.key_file, keys, files)
    content, passphrase = files.read(path), _passphrase(tls, files)
    if content is None or chain is None or passphrase is None:
        return
    try:
        key = private_key(content, passphrase)
    except ValueError as error:
        yield Said(keys, f"{path}: {error}")
        return
    try:
        if not belong_together(certificates(chain)[0], key):
            yield Said(keys, f"{path}: it is not the key of the certificate in {files.folder / tls.certificate}")
    except ValueError:
        return  # that is told of the certificate


def _secret(path: Path, keys: Keys, files: Files) -> Iterator[Said]:
    whole = files.folder / path
    if files.read(whole) is None:
        yield Said(keys, _no_file(whole))
    elif files.is_public(whole):
        yield Said(keys, f"everybody on this machine can read {whole}", False)


def _trust(path: Path, keys: Keys, files: Files, now: int) -> Iterator[Said]:
    """Authorities that have ended are of no use, and no harm as long as there are others."""
    try:
        found = _validities(path, files)
    except ValueError as error:
        yield Said(keys, str(error))
        return
    said = [each for validity in found for each in _ending(validity, keys, files.folder / path, now)]
    all_fail = sum(each.fails for each in said) == len(found)
    yield from (each._replace(fails=all_fail) for each in said)


def _validities(path: Path, files: Files) -> list[Validity]:
    whole = files.folder / path
    content = files.read(whole)
    if content is None:
        raise ValueError(_no_file(whole))
    try:
        certificates(content)
        return validities(content)
    except ValueError as error:
        raise ValueError(f"{whole}: {error}") from None


def _passphrase(tls: Tls, files: Files) -> str | None:
    if tls.passphrase_file is None:
        return tls.passphrase
    content = files.read(files.folder / tls.passphrase_file)
    return None if content is None else content.decode("utf-8", "replace").rstrip("\r\n")


def _ending(validity: Validity, keys: Keys, path: Path, now: int) -> Iterator[Said]:
    begins, ends = (datetime.fromtimestamp(each // 1_000_000, UTC).date().isoformat() for each in validity)
    left = (validity.ends - now) // _DAY
    if now > validity.ends:
        yield Said(keys, f"the certificate in {path} ended on {ends}")
    elif now < validity.begins:
        yield Said(keys, f"the certificate in {path} begins only on {begins}")
    elif left < CERTIFICATE_DAYS:
        yield Said(keys, f"the certificate in {path} ends in {left} day{'s'[: left != 1]}, on {ends}", False)


def _no_file(path: Path) -> str:
    return f"there is no file {path}, or it can not be read"
