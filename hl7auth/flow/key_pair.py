"""Certificates and private keys as they stand in files: read, compared, and the names in them.

Imports flow.certificate, and cryptography inside the functions: it is heavy, and few channels need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def certificates(pem: bytes) -> "list[Certificate]":
    """The certificates of a PEM file, in order. Raises ValueError where there is none, or one can not be read."""
    from cryptography.x509 import load_pem_x509_certificates

    if b"CERTIFICATE-----" not in pem:
        raise ValueError("it holds no certificate (PEM: -----BEGIN CERTIFICATE-----)")
    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError("it holds a certificate that can not be read") from None


def private_key(pem: bytes, passphrase: str) -> Any:
    """The private key of a PEM file. Raises ValueError where there is none, or the passphrase does not open it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    start = pem.find(b"-----BEGIN ")
    while start >= 0 and b"PRIVATE KEY-----" not in pem[start:].partition(b"\n")[0]:
        start = pem.find(b"-----BEGIN ", start + 1)
    if start < 0:
        raise ValueError("it holds no private key (PEM: -----BEGIN PRIVATE KEY-----)")
    block = pem[start:]
    secret = b"ENCRYPTED" in block[:200]
    if secret and not passphrase:
        raise ValueError("the private key needs a passphrase")
    try:
        return load_pem_private_key(block, passphrase.encode() if secret else None)
    except (ValueError, TypeError):
        if secret:
            raise ValueError("the passphrase does not open the private key, or the key can not be read") from None
        raise ValueError("the private key can not be read") from None
    except UnsupportedAlgorithm:
        raise ValueError("the private key is of a kind that is not supported") from None


def belong_together(certificate: "Certificate", key: Any) -> bool:
    """Is it the private key of that certificate?"""
    return bool(certificate.public_key() == key.public_key())


def names(certificate: "Certificate") -> tuple[str, ...]:
    """The names of a certificate, with their kinds, as `flow.admission.certificate_name` knows them."""
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        found = [*_subject(certificate), *_alternatives(certificate)]
    except ValueError:  # an extension that is broken: the certificate is nobody's by name
        found = []
    return (*found, f"SHA256:{certificate.fingerprint(SHA256()).hex()}")


def _subject(certificate: "Certificate") -> Iterator[str]:
    from cryptography.x509.oid import NameOID

    subject = certificate.subject
    yield f"subject:{subject.rfc4514_string()}"
    for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield f"CN={each.value!s}"


def _alternatives(certificate: "Certificate") -> Iterator[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for prefix, kind in _KINDS:
        for value in extension.get_values_for_type(getattr(x509, kind)):
            yield f"{prefix}{value!s}"


_KINDS = (
    ("DNS:", "DNSName"),
    ("IP:", "IPAddress"),
    ("URI:", "UniformResourceIdentifier"),
    ("email:", "RFC822Name"),
)
