"""TLS of a client over blocking sockets: a context of Python's own ssl from the files that people name.

Imports flow.tls, net.tls_files and the standard library only.
"""

import ssl
from pathlib import Path

from hl7auth.flow.tls import ClientTls
from hl7auth.net.tls_files import Fault, passphrase, read_material

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(tls: ClientTls, folder: Path, fault: Fault) -> ssl.SSLContext:
    """A context. Raises what `fault` makes for files that are missing or wrong."""
    read_material(tls, folder, fault)  # finds the mistakes, and says them better than ssl does
    try:
        made = ssl.create_default_context(cafile=None if tls.trust is None else str(folder / tls.trust))
        if tls.certificate is not None and tls.key_file is not None:
            secret = passphrase(tls, folder, fault)
            made.load_cert_chain(folder / tls.certificate, folder / tls.key_file, secret or None)
    except OSError as error:  # ssl.SSLError is one
        raise fault("certificate", f"OpenSSL does not take it: {error.strerror or error}") from None
    made.minimum_version = _VERSIONS[tls.minimum]
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as net.tls does
    made.check_hostname = tls.check_name
    return made
