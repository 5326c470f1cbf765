"""A certificate authority for tests, and contexts for both ends."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


class Certificates:
    """TLS for localhost, made anew for a run of the tests.

    ``server`` and ``client`` are contexts that know each other; ``ca_file``,
    ``cert_file`` and ``key_file`` are PEM files for other programs. ``stranger`` is a
    client context that trusts nobody.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert(*NAMES)
        self.ca_file = folder / "ca.pem"
        self.cert_file = folder / "cert.pem"
        self.key_file = folder / "key.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self.cert_file.write_bytes(
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        )
        certificate.private_key_pem.write_to_path(self.key_file)

        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.cert_file, self.key_file)
        self.client = ssl.create_default_context(cafile=str(self.ca_file))
        self.stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
