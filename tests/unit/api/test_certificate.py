"""The certificate of the API's own HTTPS: a renewed one is served without a restart, a bad one never."""

import asyncio
import logging
import ssl
from pathlib import Path

import msgspec
import pytest

from connector_operator.api import certificate as module
from connector_operator.api.cluster import Location
from connector_operator.api.process import serving
from connector_operator.api.settings import ApiSettings
from tests.kit.http_api import make_certificate

NOWHERE = Location("http://127.0.0.1:1", "")


async def ask(address: tuple[str, int]) -> str:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*address, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(shown)


def replace(folder: Path, certificate: Path | None = None, key: Path | None = None) -> None:
    """As a renewed Secret does it, or only one file of the two."""
    for name, source in (("tls.crt", certificate), ("tls.key", key)):
        if source is not None:
            (folder / name).write_bytes(source.read_bytes())


async def until(served: tuple[str, int], certificate: str) -> None:
    async with asyncio.timeout(60):
        while await ask(served) != certificate:
            pass


async def test_a_renewed_certificate_is_served_and_one_that_does_not_fit_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    caplog.set_level(logging.INFO, "connectors.api")
    for name in ("served", "next", "last"):
        (tmp_path / name).mkdir()
    certificate, key = make_certificate(tmp_path / "served")
    following, last = make_certificate(tmp_path / "next"), make_certificate(tmp_path / "last")
    free = "127.0.0.1:0"
    settings = ApiSettings(listen=free, health_listen=free)
    settings = msgspec.structs.replace(settings, tls_certificate=str(certificate), tls_key=str(key))
    async with serving(settings, "any", NOWHERE) as (served, _):
        assert await ask(served) == certificate.read_text()
        replace(certificate.parent, *following)
        await until(served, following[0].read_text())

        caplog.clear()
        replace(certificate.parent, certificate=last[0])
        async with asyncio.timeout(60):
            while "the certificate has become bad" not in caplog.text:
                await ask(served)
        assert await ask(served) == following[0].read_text()

        replace(certificate.parent, key=last[1])
        await until(served, last[0].read_text())


def test_a_file_that_is_gone_for_a_moment_is_no_new_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = make_certificate(tmp_path)
    known = module.Certificate(str(certificate), str(key))
    text = certificate.read_text()
    certificate.unlink()
    known.look()
    known.look()
    certificate.write_text(text)
    known.look()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
