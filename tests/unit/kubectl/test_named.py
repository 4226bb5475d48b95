"""Which objects a command can reach: those that it names, and no others."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.asking import asking
from connector_operator.kubectl.cli import main
from connector_operator.kubectl.cluster import Cluster, Login
from connector_operator.kubectl.deleting import is_confirmed
from connector_operator.kubectl.named import quoted
from connector_operator.kubectl.refusals import RefusedError
from tests.unit.kubectl.recorder import Answer, recording, refused

NO_NAMES = ["", ".", "..", "a/../b", "a/b", "x?y", "x#y", "x%2fy", "A", "a b", "a\n", " a", "a.", "é", "a" * 254]
ONE = ("why", "streams", "logs", "check", "rows", "top")
MANY = ("delete", "start", "stop", "restart", "rediscover")


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_reaches_no_server(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with recording(tmp_path, lambda _: (200, {"items": []})) as server:
        login = ["--kubeconfig", server.kubeconfig]
        lines = [[*login, command, name] for command in ONE]
        lines += [[*login, command, "good", name, *(["--yes"] if command == "delete" else [])] for command in MANY]
        if name:  # "" is kubectl's word for the context's namespace
            lines += [[*login, "-n", name, "delete", "good", "--yes"], [*login, "status", "-n", name]]
        for line in lines:
            assert main(line) == 1, line
            said = capsys.readouterr()
            assert f"{name!a} is no name of a" in said.err, line
            assert not said.out
    assert server.asked == []


def test_the_namespace_of_a_context_is_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with recording(tmp_path, lambda _: (200, {"items": []}), namespace="shop/connectors/x") as server:
        for line in (
            ["delete", "a", "--yes"],
            ["new", "coinbase", "--name", "a", "--set", "productId=A-B", "--apply"],
        ):
            assert main(["--kubeconfig", server.kubeconfig, *line]) == 1
            assert "is no name of a namespace" in capsys.readouterr().err
    assert server.asked == []


def test_names_that_the_api_server_takes_are_asked_for(tmp_path: Path) -> None:
    """Also those of before the rule for connectors' names: longer ones, and ones with dots."""
    for name in ("a", "trades-2", "a.b", "x" * 200):
        with recording(tmp_path, lambda _: (200, {"kind": "Status"})) as server:
            assert main(["--kubeconfig", server.kubeconfig, "delete", name, "--yes"]) == 0
        (asked,) = server.asked
        assert asked.startswith("DELETE /apis/")
        assert asked.endswith(f"/namespaces/shop/connectors/{name}")


@given(st.text(max_size=6) | st.sampled_from(NO_NAMES))
def test_a_name_is_one_segment_of_a_path_or_refused(name: str) -> None:
    try:
        segment = quoted(name)
    except RefusedError:
        return
    assert segment == name
    assert segment.strip(".")
    assert not set(segment) & set("/?#%,=! ")


def test_no_call_leaves_its_place(tmp_path: Path) -> None:
    """Whatever a caller of `Cluster` gives, it names one object or nothing is asked."""
    with recording(tmp_path, lambda _: (200, {})) as server:
        cluster = Cluster(Login(server.kubeconfig))
        for name in NO_NAMES:
            for call in (cluster.get, cluster.delete, cluster.delete_job, cluster.list_jobs, cluster.list_job_pods):
                for namespace, given_name in (("shop", name), (name, "a")):
                    with pytest.raises(RefusedError):
                        call(namespace, given_name)
            with pytest.raises(RefusedError):
                cluster.read_metrics("shop", name, 1)
            with pytest.raises(RefusedError):
                [*cluster.read_log("shop", name)]
    assert server.asked == []


def test_an_empty_line_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert not is_confirmed("", "shop")
    monkeypatch.setattr("sys.stdin", Terminal("trades\n"))
    assert is_confirmed("trades", "shop")


FOUND: Answer = (200, {"spec": {}})
NEW = ["new", "coinbase", "--name", "first", "--set", "productId=A-B", "--stream", "ticker"]


def test_new_overwrites_nothing_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conflict = refused(409, 'conflict with "argocd": .spec.config\x1b[2J', name="first")
    for line in ("--apply", "--dry-run"):
        with recording(tmp_path, lambda asked: conflict if "PATCH" in asked else FOUND) as server:
            assert main(["--kubeconfig", server.kubeconfig, *NEW, line, "--file", str(tmp_path / "out")]) == 1
        (_, asked) = server.asked
        assert "force" not in asked
        assert "dryRun=All" in asked, "what would be different is asked first"
        said = capsys.readouterr()
        assert said.err.startswith("There is already a connector first in the namespace shop")
        assert 'conflict with "argocd"' in said.err
        assert "\x1b" not in said.err
        assert "kubectl apply" in said.err
        assert "applied" not in said.out
        assert not (tmp_path / "out").exists()


def test_new_changes_nothing_that_nobody_was_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = {"spec": {"config": {"productId": ["C-D"], "key": "geheim"}}}
    would_be = {"spec": {"config": {"productId": ["A-B"]}, "status": "running"}}
    with recording(tmp_path, lambda asked: (200, would_be if "PATCH" in asked else there)) as server:
        line = ["--kubeconfig", server.kubeconfig, *NEW, "--apply"]
        assert main(line) == 1
        assert [asked.partition(" ")[0] for asked in server.asked] == ["GET", "PATCH"]
        said = capsys.readouterr().err
        assert "would change its spec.config.key, spec.config.productId, spec.status. Nothing was changed" in said
        assert "geheim" not in said
        assert main([*line, "--overwrite"]) == 0
        assert server.asked[-1].startswith("PATCH")
        assert "dryRun" not in server.asked[-1]


@pytest.mark.parametrize("command", ["delete", "stop"])
def test_a_refusal_of_others_drives_no_terminal(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [command, "a", *(["--yes"] if command == "delete" else [])]
    with recording(tmp_path, lambda _: refused(500, "no\x1b[2J")) as server:
        assert main(["--kubeconfig", server.kubeconfig, *line]) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "no\\x1b[2J" in said


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_job_that_is_not_removed_is_a_note(failures: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The removal is tried twice, and what the command has found is kept."""
    pod = {"status": {"containerStatuses": [{"name": "runner", "state": {"terminated": {"exitCode": 0}}}]}}
    tries: list[str] = []

    def answer(asked: str) -> Answer:
        if asked.startswith("DELETE"):
            tries.append(asked)
            return refused(500, "busy") if len(tries) <= failures else (200, {})
        return 200, {"items": [pod]} if asked.startswith("GET") else {"metadata": {"name": "job-1"}}

    with (
        recording(tmp_path, answer) as server,
        asking(Cluster(Login(server.kubeconfig)), "shop", {}, 30, "It") as (code, _),
    ):
        assert code == 0
    said = capsys.readouterr().err
    assert len(tries) == min(failures + 1, 2)
    assert ("The Job job-1 could not be removed" in said) is (failures == 2)


def test_the_metrics_of_a_pod_have_an_end(tmp_path: Path) -> None:
    size = 1000
    with recording(tmp_path, lambda _: (200, b"x" * size)) as server:
        cluster = Cluster(Login(server.kubeconfig))
        assert len(cluster.read_metrics("shop", "pod", 8080)) == 1000
        size = 16 * 2**20 + 1
        with pytest.raises(RefusedError, match="is longer than 16777216 bytes"):
            cluster.read_metrics("shop", "pod", 8080)
