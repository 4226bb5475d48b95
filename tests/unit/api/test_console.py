"""The console's files: what they weigh, how they are served, what the browser may do with them."""

from __future__ import annotations

import gzip
import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connector_operator.api.console import HEADERS, build_routes, list_files

MOST_BYTES = 150_000
TEXTS = {file.name: file.read_text() for file in list_files()}
SCRIPTS = [name for name in TEXTS if name.endswith(".js")]


def test_the_whole_console_is_small() -> None:
    assert sum(len(gzip.compress(text.encode())) for text in TEXTS.values()) < MOST_BYTES


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith((".js", ".css"))])
def test_no_file_is_long(name: str) -> None:
    assert TEXTS[name].count("\n") <= 300


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_comes_from_the_cluster_is_text(name: str) -> None:
    """The browser refuses most of these by the policy; here they are found before."""
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|javascript:",
        TEXTS[name],
    )
    assert not re.search(
        r"localStorage|sessionStorage|indexedDB|document\.cookie|console\.(log|info|debug|warn|error)", TEXTS[name]
    )


def test_the_page_has_nothing_inline_and_nothing_of_other_servers() -> None:
    page = TEXTS["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for text in TEXTS.values():
        assert not re.search(r"""(src|href|from|import|url\()\s*[=(]?\s*["']?(https?:)?//""", text)
    linked = set(re.findall(r'(?:src|href)="console/([\w.-]+)"', page))
    imported = {found for name in SCRIPTS for found in re.findall(r'from "\./([\w.-]+)"', TEXTS[name])}
    assert linked | imported | {"index.html"} == set(TEXTS)


async def test_how_files_are_served() -> None:
    app = web.Application()
    app.add_routes(build_routes())
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        plain = await client.get("/", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/", headers={"Accept-Encoding": "gzip"})
        assert (plain.status, plain.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert gzip.decompress(await packed.read()) == await plain.read() == TEXTS["index.html"].encode()
        for name, value in HEADERS.items():
            assert plain.headers[name] == value
        again = await client.get("/", headers={"If-None-Match": plain.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        for name in TEXTS:
            assert (await client.get("/" if name == "index.html" else f"/console/{name}")).status == 200
        assert (await client.get("/console/none.js")).status == 404


def test_the_policy_is_strict() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
