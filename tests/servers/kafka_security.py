"""A broker with a port for each way to connect: TLS, mutual TLS, and SASL by password or token."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers.certificates import Authority, pem_of
from tests.servers.kafka import KafkaServer

USER, PASSWORD = "ada", "not-to-be-told"
CLIENT, CLIENT_SECRET = "runner", "neither-to-be-told"
PROTOCOLS = {"TLS": "SSL", "MUTUAL": "SSL", "SASL": "SASL_SSL", "PASSWORD": "SASL_PLAINTEXT"}
_SASL = "org.apache.kafka.common.security"


class TokenEndpoint:
    """An OpenID Connect token endpoint for client credentials, and the keys that its tokens are checked with.

    Attributes:
        url: Of the token endpoint.
        keys: The key set (JWKS).
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        numbers = self._key.public_key().public_numbers()
        parts = {"n": numbers.n.to_bytes(256, "big"), "e": numbers.e.to_bytes(3, "big")}
        self.keys = {
            "keys": [
                {"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", **{n: _text(v) for n, v in parts.items()}}
            ]
        }
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        form = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        is_known = request.headers.get("Authorization") == expected and form["grant_type"] == ["client_credentials"]
        token = {"access_token": self._sign(), "token_type": "Bearer", "expires_in": 300}
        body = json.dumps(token if is_known else {"error": "invalid_client"}).encode()
        request.send_response(200 if is_known else 401)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _sign(self) -> str:
        now = int(time.time())
        claims = {"sub": CLIENT, "iss": "tests", "aud": "kafka", "iat": now, "exp": now + 300, "scope": ["write"]}
        signed = ".".join(
            _text(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k", "typ": "JWT"}, claims)
        )
        return f"{signed}.{_text(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class SecureKafkaServer(KafkaServer):
    """A broker with the listeners of `PROTOCOLS`, and one without protection for the tests themselves.

    Attributes:
        authority: Has signed the certificates of the broker and of its clients.
        tokens: The token endpoint that it believes.
    """

    def __init__(self) -> None:
        self.authority = Authority("broker's authority")
        self.tokens = TokenEndpoint()
        self._client_key = rsa.generate_private_key(65537, 2048)
        key = rsa.generate_private_key(65537, 2048)
        self._pem = {"key": pem_of(key), "certificate": self.authority.sign("broker", key)}
        super().__init__(listeners=list(PROTOCOLS))
        files = {
            "broker.pem": self._pem["key"] + self._pem["certificate"],
            "authority.pem": self.authority.pem,
            "keys.json": json.dumps(self.tokens.keys),
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
        with self._settings.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in self._secured(self.directory).items())

    def _secured(self, folder: Path) -> Mapping[str, str]:
        protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", **PROTOCOLS}
        plain = f'{_SASL}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        scram = f"{_SASL}.scram.ScramLoginModule required;"
        oauth = "listener.name.sasl.oauthbearer.sasl"
        return {
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "authority.pem"),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.password.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.password.plain.sasl.jaas.config": plain,
            "listener.name.sasl.plain.sasl.jaas.config": plain,
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
            f"{oauth}.jaas.config": f"{_SASL}.oauthbearer.OAuthBearerLoginModule required;",
            f"{oauth}.server.callback.handler.class": f"{_SASL}.oauthbearer.OAuthBearerValidatorCallbackHandler",
            f"{oauth}.oauthbearer.jwks.endpoint.url": (folder / "keys.json").as_uri(),
            f"{oauth}.oauthbearer.expected.audience": "kafka",
            f"{oauth}.oauthbearer.expected.issuer": "tests",
        }

    def command(self) -> Sequence[str | Path]:
        """See `ServerProcess.command`."""
        program, *rest = super().command()
        allowed = (self.directory / "keys.json").as_uri()
        return [program, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={allowed}", *rest]

    def add_scram_user(self, password: str = PASSWORD, user: str = USER) -> None:
        """Gives a user a password for both kinds of SCRAM, and waits until the broker knows it."""
        admin = self.admin()
        for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):  # one request takes a user only once
            wanted: list[UserScramCredentialAlteration] = [
                UserScramCredentialUpsertion(user, ScramCredentialInfo(kind, 4096), password.encode())
            ]
            for answer in admin.alter_user_scram_credentials(wanted).values():
                answer.result(30)
            self._wait_for(user, password, kind.name.replace("_", "-"))

    def _wait_for(self, user: str, password: str, mechanism: str) -> None:
        """Returns when the broker, which learns of it from its controller, takes this password."""
        settings: dict[str, Any] = {
            "bootstrap.servers": f"{self.host}:{self.ports['SASL']}", "security.protocol": "SASL_SSL", "ssl.ca.pem": self.authority.pem,
            "sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password, "log_level": 0, "error_cb": lambda _: None,
        }  # fmt: skip
        end = time.monotonic() + self.PATIENCE
        while True:
            try:
                AdminClient(settings).list_topics(timeout=2)
            except KafkaException:
                assert time.monotonic() < end, f"the broker does not take the new password of {user}"
            else:
                return

    def url(self, listener: str) -> str:
        """The URL of a dataset at this port."""
        return f"kafka://{self.host}:{self.ports[listener]}"

    def client_options(self, password: str = "", authority: Authority | None = None) -> dict[str, str]:
        """A certificate, which the broker believes unless another authority has signed it, and its key."""
        certificate = (authority or self.authority).sign("client", self._client_key)
        return {"ssl.certificate.pem": certificate, "ssl.key.pem": pem_of(self._client_key, password)}

    def destroy(self) -> None:
        """See `ServerProcess.destroy`."""
        self.tokens.close()
        super().destroy()
