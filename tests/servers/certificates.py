"""Certificates for servers of tests: an authority of its own, and what it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def pem_of(key: rsa.RSAPrivateKey, password: str = "") -> str:
    """A private key in PKCS #8, encrypted if there is a password."""
    protection: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


class Authority:
    """A certificate authority.

    Attributes:
        pem: Its certificate.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = rsa.generate_private_key(65537, 2048)
        self.pem = self._certify(name, self._key, is_authority=True)

    def sign(self, name: str, key: rsa.RSAPrivateKey, address: str = "127.0.0.1") -> str:
        """A certificate for a key, for a host with this address."""
        return self._certify(name, key, address=address)

    def _certify(
        self, name: str, key: rsa.RSAPrivateKey, address: str = "127.0.0.1", *, is_authority: bool = False
    ) -> str:
        now = dt.datetime.now(dt.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=7))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        )
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
