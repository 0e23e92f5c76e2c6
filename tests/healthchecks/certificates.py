"""Authorities and certificates made on the spot, as servers show them."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.healthchecks.fakes import NOW

DAY_S = 86_400
BASE_S = max(NOW, time.time())
"""Days are counted from here: later than a rollout's now in the tests, and than the clock that OpenSSL looks at."""


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `file` is what has to be trusted."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    @classmethod
    def new(cls, folder: Path, name: str = "authority") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), _named(name), key, -30, 3650)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        file = folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate, file)

    def context(
        self, folder: Path, host: str = "shop.internal", days: float = 90, begins: float = -1
    ) -> ssl.SSLContext:
        """A server's side: a certificate for `host` that is valid from `begins` to `days` days from the base."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(host), self.certificate.subject, key, begins, days)
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority, critical=False)
        pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / f"{host.replace('*', 'any')}-{days}.pem"
        file.write_bytes(pem + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: float, days: float
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    # Long ago for whoever looks now, whatever the base is.
    from_s, until_s = min(time.time(), NOW) + begins * DAY_S, BASE_S + days * DAY_S
    builder = builder.not_valid_before(datetime.fromtimestamp(min(from_s, until_s - 1), UTC))
    builder = builder.not_valid_after(datetime.fromtimestamp(until_s, UTC))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
