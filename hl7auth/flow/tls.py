"""TLS of a channel and of a destination, as people write it: certificates, keys, who is trusted.

Imports flow.admission and rules.strict_yaml only.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from hl7auth.flow.admission import certificate_name
from hl7auth.rules.strict_yaml import Strict

FILE = "file:"
"""Before the path of a file that holds a secret."""


class Tls(Strict):
    """What both sides of TLS have in common. Files are PEM, and relative to the folder of the channel.

    `certificate` is the own one, with those between it and the authority behind it; `key` is the private key, which may
    also stand in the file of the certificate; `passphrase` opens the key, as `${NAME}` or `file:PATH`. `trust` are the
    authorities whose certificates are good. `minimum` is the least version of TLS: 1.2 or 1.3, never less.
    """

    certificate: Path | None = None
    key: Path | None = None
    passphrase: str = ""
    trust: Path | None = None
    minimum: Literal["1.2", "1.3"] = "1.2"

    @field_validator("minimum", mode="before")
    @classmethod
    def _floor(cls, value: Any) -> Any:
        if str(value) in ("1.0", "1.1"):
            raise ValueError(f"TLS {value} is broken: the least is 1.2")
        return str(value) if isinstance(value, float) else value

    @model_validator(mode="after")
    def _whole(self) -> "Tls":
        if self.certificate is None and (self.key is not None or self.passphrase):
            raise ValueError("a key without a certificate is no use")
        return self

    @property
    def key_file(self) -> Path | None:
        """Where the private key is."""
        return self.key or self.certificate

    @property
    def passphrase_file(self) -> Path | None:
        """Where the passphrase is, if in a file."""
        return Path(self.passphrase.removeprefix(FILE)) if self.passphrase.startswith(FILE) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, each once."""
        named = (self.certificate, self.key, self.passphrase_file, self.trust)
        return tuple(dict.fromkeys(path for path in named if path is not None))


class ServerTls(Tls):
    """TLS of a channel. Files are PEM, and relative to the folder of the channel.

    `client_certificates` are not asked for (`none`), asked for (`optional`), or a must (`required`); they are good when
    an authority in `trust` has signed them. `allowed` are names of which the client certificate has one, like
    `CN=ehr.example`, `DNS:*.north.example`, `IP:`, `URI:`, `email:`, `subject:` or `SHA256:`; all good ones without it.
    """

    client_certificates: Literal["none", "optional", "required"] = "none"
    allowed: tuple[str, ...] = ()

    @field_validator("allowed")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(certificate_name, names))

    @model_validator(mode="after")
    def _fits(self) -> "ServerTls":
        if self.certificate is None:
            raise ValueError("a channel with TLS has a certificate")
        if self.client_certificates == "none" and (self.trust is not None or self.allowed):
            raise ValueError("trust and allowed are for client certificates: say client_certificates: required")
        if self.client_certificates != "none" and self.trust is None:
            raise ValueError("client certificates need trust: the file of the authorities that have signed them")
        return self

    @property
    def terms(self) -> tuple[object, ...]:
        """What clients are held to; the own certificate may change under a connection."""
        return self.client_certificates, self.trust, self.allowed, self.minimum


class ClientTls(Tls):
    """TLS of a destination. Files are PEM, and relative to the folder of the channel.

    `certificate` and `key` are for servers that ask for them. `trust` are the authorities that the server's certificate
    may be from; without it those that this machine trusts. `server_name` is the name that it must have: that of the
    address, unless another is said. `check_name: false` takes any name, which is good for nothing but a trial.
    """

    server_name: str = ""
    check_name: bool = True
