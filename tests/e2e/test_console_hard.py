"""The console in a real Chromium where it is hard: behind a proxy that logs people in, with a forgotten history, missing rights, a token that ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.console_pages import NAMESPACE, RIGHTS, bare_cluster, run_in_browser, stagehand
from tests.kit.console_fleet import create_fleet
from tests.kit.etcd import forget_history
from tests.kit.http_api import CONNECTORS, make_account, serving
from tests.localkube.cluster import eventually
from tests.servers.login_proxy import serving_login

COUNT = 150
"""More than the first page."""
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800), pytest.mark.usefixtures("local_only")]


def test_what_is_hard_for_a_page_that_stays_open(tmp_path: Path) -> None:
    with bare_cluster(tmp_path) as local, serving(local.kubeconfig, NAMESPACE, tmp_path, "--wait", "0") as api:
        create_fleet(local, NAMESPACE, COUNT)
        token = make_account(local, NAMESPACE, "you", RIGHTS)
        tokens: list[str] = []

        def new_token() -> str:
            tokens.append(make_account(local, NAMESPACE, f"leaver-{len(tokens)}", RIGHTS))
            return tokens[-1]

        def end_token() -> None:
            """Returns when the API server, too, has noticed: it remembers a token that was right for ten seconds."""
            local.kubectl("-n", NAMESPACE, "delete", "serviceaccount", f"leaver-{len(tokens) - 1}")
            ended = api.as_caller(tokens[-1])
            eventually(lambda: ended.read("nobody").status == 401, what="the token is refused")

        acts = {
            "forget": lambda: forget_history(local),
            "new-token": new_token,
            "end-token": end_token,
        }
        with serving_login(api.url, token) as proxy, stagehand(acts) as hand:
            run_in_browser(
                "hard.mjs",
                API=api.url,
                PROXY=proxy.url,
                TOKEN=token,
                LISTER=make_account(local, NAMESPACE, "lister", [(CONNECTORS[0], ("get", "list"))]),
                STAGEHAND=hand,
                COUNT=str(COUNT),
            )
            assert proxy.tokens_seen == 0, "the page sent a token, though the proxy does"
        assert api.log.read_text().count("Traceback") == 0
