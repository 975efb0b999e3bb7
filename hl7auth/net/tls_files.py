"""The files of TLS, read and put together, and looked at again: mistakes in them by file, line and key.

Imports flow, rules.strict_yaml, yaml, observe and errors, and cryptography through flow.key_pair.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from yaml import YAMLError

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_leaves import Keys, spelled
from hl7auth.flow.destination import Destination
from hl7auth.flow.key_pair import belong_together, certificates, private_key
from hl7auth.flow.tls import Tls
from hl7auth.observe import log
from hl7auth.rules.strict_yaml import place

LOOK_SECONDS = 5.0
"""How often the files are looked at, at most: when somebody connects, and not without."""

Made = TypeVar("Made")
Fault = Callable[[str, str], UserError]
"""The mistake to raise: about a key (`certificate`), a sentence."""


class Material(NamedTuple):
    """What the files hold: the own certificates with the private key of the first, and the authorities.

    `chain` is empty and `key` None where there is no certificate; `trust` is None where the machine's own is meant.
    """

    chain: list[Any]
    key: Any
    trust: list[Any] | None


class Place(NamedTuple):
    """Where TLS stands in a channel: at these keys."""

    channel: Channel
    keys: Keys

    @property
    def destination(self) -> Destination:
        """The destination whose TLS it is."""
        return self.channel.file.destinations[str(self.keys[1])]

    @property
    def folder(self) -> Path:
        """What files are relative to."""
        return self.channel.path.parent

    @property
    def owner(self) -> str:
        """The channel, or channel/destination."""
        return "/".join([self.channel.name, *map(str, self.keys[1:2])])

    def fault(self, key: str, text: str) -> UserError:
        """A mistake, by file, line and key."""
        keys = (*self.keys, key)
        try:
            where = place(self.channel.path, *keys)
        except (OSError, ValueError, YAMLError):  # it was another file when the channel was read
            where = str(self.channel.path)
        return ConfigError(f"{where}: {spelled(keys)}: {text}")


def read_material(tls: Tls, folder: Path, fault: Fault) -> Material:
    """What the files of TLS hold. Raises what `fault` makes for a file that is missing or wrong."""
    trust = None if tls.trust is None else _certificates(folder / tls.trust, "trust", fault)
    if tls.certificate is None or tls.key_file is None:
        return Material([], None, trust)
    chain = _certificates(folder / tls.certificate, "certificate", fault)
    path = folder / tls.key_file
    try:
        key = private_key(_read(path, "key", fault), passphrase(tls, folder, fault))
    except ValueError as error:
        raise fault("key", f"{path}: {error}") from None
    if not belong_together(chain[0], key):
        raise fault("key", f"{path}: it is not the key of the certificate in {folder / tls.certificate}")
    return Material(chain, key, trust)


def passphrase(tls: Tls, folder: Path, fault: Fault) -> str:
    """What opens the private key. From a file, without the end of its line."""
    if tls.passphrase_file is None:
        return tls.passphrase
    content = _read(folder / tls.passphrase_file, "passphrase", fault)
    return content.decode("utf-8", "replace").rstrip("\r\n")


class Renewed(Generic[Made]):
    """What is made of files, and made anew when they have changed; while the new ones are wrong, the old one stays."""

    def __init__(
        self, owner: str, files: Sequence[Path], make: Callable[[], Made], seconds: Callable[[], float]
    ) -> None:
        """Raises what `make` raises."""
        self._owner = owner
        self._files = files
        self._make = make
        self._seconds = seconds
        self._state = self._look()
        self._looked = seconds()
        self._made = make()

    def get(self) -> Made:
        """The one of now."""
        now = self._seconds()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._look() != self._state:
                self.renew()
        return self._made

    def renew(self) -> bool:
        """Makes it anew; False where the files are wrong."""
        self._state = self._look()  # before they are read: what changes meanwhile is seen next time
        try:
            self._made = self._make()
        except UserError as error:
            log("certificate.failed", str(error), level=logging.ERROR, owner=self._owner)
            return False
        log("certificate.renewed", "certificates were read anew", owner=self._owner)
        return True

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._files]


def _certificates(path: Path, key: str, fault: Fault) -> list[Any]:
    try:
        return certificates(_read(path, key, fault))
    except ValueError as error:
        raise fault(key, f"{path}: {error}") from None


def _read(path: Path, key: str, fault: Fault) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise fault(key, f"{path}: {(error.strerror or str(error)).lower()}") from None


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
