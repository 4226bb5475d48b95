"""The TLS context of `config.ssl`: what it verifies, and that nothing is loaded that is not used."""

from __future__ import annotations

import ssl

import pytest

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.sources.mysql.server.connection import build_tls


@pytest.mark.parametrize("mode", ["PREFERRED", "REQUIRED"])
def test_what_is_not_verified_loads_no_certificates(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's take longer to load than all the rest of a connection."""
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", _refuse)
    context = build_tls({"mode": mode})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(("mode", "checks_name"), [("VERIFY_CA", False), ("VERIFY_IDENTITY", True)])
def test_without_an_authority_the_system_s_certificates_are_used(
    mode: str, checks_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda _self: loaded.append(mode))
    context = build_tls({"mode": mode})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, checks_name)
    assert loaded == [mode]


@pytest.mark.parametrize("mode", ["PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"])
def test_an_authority_that_is_no_certificate_is_refused(mode: str) -> None:
    with pytest.raises(InvalidConfigError, match="PEM"):
        build_tls({"mode": mode, "ca": "no certificate"})


def _refuse(_context: ssl.SSLContext) -> None:
    raise AssertionError("the system's certificates are loaded")
