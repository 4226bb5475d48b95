"""What a start does while the API server does not answer: `run` waits, `check` says so after a while."""

from collections.abc import AsyncIterator, Iterable

import pytest
from aiohttp import web
from kubernetes.aio import client

from connector_operator import process
from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.defaults import InstallationDefaults
from connector_operator.process import StartError
from connector_operator.settings import Settings

DOWN = 200
"""Attempts until it answers."""


async def say_sorry(_: web.Request) -> web.Response:
    """What a balancer in front of the API server may answer."""
    return web.Response(text="<html>back soon</html>", content_type="text/html")


@pytest.fixture
async def kube(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeClient]:
    """A client of a server that has nothing."""
    monkeypatch.setattr(process, "_PAUSE", 0)
    app = web.Application()
    app.router.add_get("/page", say_sorry)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = client.Configuration()
    host, port = runner.addresses[0][:2]
    configuration.host = f"http://{host}:{port}"
    kube = KubeClient(configuration, 100)
    yield kube
    await kube.close()
    await runner.cleanup()


class Looks:
    """Checks of an API server that answers after some attempts."""

    def __init__(self, status: int) -> None:
        self.count = 0
        self.status = status

    async def look(self, _: KubeClient, __: Iterable[str], ___: str) -> list[str]:
        self.count += 1
        if self.count <= DOWN:
            raise ApiError(self.status, "Away", "nobody answers")
        return []


async def test_an_operator_waits_for_as_long_as_the_server_is_away(
    kube: KubeClient, caplog: pytest.LogCaptureFixture
) -> None:
    looks = Looks(0)
    await process._check(kube, Settings(runner_image="x"), InstallationDefaults(""), looks.look)
    assert looks.count == DOWN + 1
    said = [record.getMessage() for record in caplog.records if "waiting for the API server" in record.getMessage()]
    assert said == ["waiting for the API server: Away: nobody answers"] * 4


@pytest.mark.parametrize(("status", "attempts"), [(0, 3), (403, 1)])
async def test_a_check_says_that_nobody_answers(kube: KubeClient, status: int, attempts: int) -> None:
    looks = Looks(status)
    with pytest.raises(StartError, match="did not answer the checks"):
        await process._check(kube, Settings(runner_image="x"), InstallationDefaults(""), looks.look, 3)
    assert looks.count == attempts


async def test_an_operator_that_is_refused_ends_at_once(kube: KubeClient) -> None:
    with pytest.raises(StartError, match="403"):
        await process._check(kube, Settings(runner_image="x"), InstallationDefaults(""), Looks(403).look)


async def test_a_page_instead_of_json_is_no_answer_and_may_be_one_later(kube: KubeClient) -> None:
    with pytest.raises(ApiError, match="is no JSON: '<html>back soon") as error:
        await kube.request("GET", "/page")
    assert error.value.is_transient


@pytest.mark.parametrize(
    ("message", "is_transient"),
    [
        ("etcdserver: leader changed", True),
        ("etcdserver: request timed out", True),
        ("rpc error: code = Unavailable desc = transport is closing", True),
        ("Internal error occurred: failed calling webhook: context deadline exceeded", False),
        ("failed to create typed patch object", False),
    ],
)
def test_what_etcd_could_not_do_was_refused_by_nobody(message: str, is_transient: bool) -> None:
    assert ApiError(500, "", message).is_transient is is_transient
