"""Certificates that are made for a test: an authority, and what it signs for servers and clients."""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

BEGINS = datetime(2020, 1, 1, tzinfo=UTC)
ENDS = datetime(2050, 1, 1, tzinfo=UTC)


class Authority:
    """Signs certificates, and writes them into a folder: `name.pem` and `name.key`, and its own as `ca.pem`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._key = generate_private_key(SECP256R1())
        self._name = _subject(f"{name}.example")
        builder = _builder(self._name, self._name, self._key, BEGINS, ENDS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.pem)

    def sign(
        self,
        name: str,
        *alternatives: str,
        ends: datetime = ENDS,
        begins: datetime = BEGINS,
        passphrase: str = "",
        subject: str = "",
    ) -> Path:
        """A certificate of that name, for these DNS names and addresses. Returns its path; its key is beside it."""
        key = generate_private_key(SECP256R1())
        builder = _builder(_subject(subject or f"{name}.example"), self._name, key, begins, ends)
        if alternatives:
            names = x509.SubjectAlternativeName([_alternative(each) for each in alternatives])
            builder = builder.add_extension(names, critical=False)
        path = self.folder / f"{name}.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        write_key(path.with_suffix(".key"), key, passphrase)
        return path


def write_key(path: Path, key: EllipticCurvePrivateKey, passphrase: str = "") -> None:
    """A private key that its owner alone can read."""
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    path.chmod(0o600)


def _alternative(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(text)) if text[0].isdigit() else x509.DNSName(text)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends)
