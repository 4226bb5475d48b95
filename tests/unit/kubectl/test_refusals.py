"""Each refusal of an API server says what to do; the bodies have the form of Kubernetes' answers."""

import json
from pathlib import Path

import pytest

from connector_operator.kubectl.cli import main
from connector_operator.kubectl.refusals import Call, build_refusal, say_nearest

PATCH = Call("patch", "connectors.apperate.io", "shop", "trades")


def status(code: int, message: str, **details: str) -> str:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "code": code, "message": message, "details": details})


def forbidden(user: str) -> str:
    return status(
        403, f'connectors.apperate.io "trades" is forbidden: User "{user}" cannot patch resource', name="trades"
    )


def test_a_missing_right_is_named_with_the_commands_that_grant_it() -> None:
    assert str(build_refusal(PATCH, 403, forbidden("bob"))) == (
        "You (bob) may not patch connectors.apperate.io in the namespace shop (403). "
        "Ask an administrator of the cluster for that right, for example by\n"
        "  kubectl create role connectors-patch-connectors-apperate-io --verb=patch --resource=connectors.apperate.io --namespace=shop\n"
        "  kubectl create rolebinding connectors-patch-connectors-apperate-io --role=connectors-patch-connectors-apperate-io"
        " --user=bob --namespace=shop\n"
        "and check it by\n"
        "  kubectl auth can-i patch connectors.apperate.io --namespace=shop"
    )


def test_a_service_account_and_a_name_with_spaces_are_bound_as_such() -> None:
    assert " --serviceaccount=shop:robot " in str(
        build_refusal(PATCH, 403, forbidden("system:serviceaccount:shop:robot"))
    )
    assert " --user='Bob B' " in str(build_refusal(PATCH, 403, forbidden("Bob B")))


def test_for_all_namespaces_the_role_is_of_the_cluster() -> None:
    text = str(build_refusal(Call("list", "connectors.apperate.io", ""), 403, forbidden("bob")))
    assert "kubectl create clusterrolebinding" in text
    assert "--clusterrole=" in text
    assert text.endswith("--all-namespaces")


@pytest.mark.parametrize(
    "body", ["404 page not found\n", status(404, "the server could not find the requested resource")]
)
def test_a_cluster_without_the_definitions_is_told_from_one_without_the_connector(body: str) -> None:
    refused = build_refusal(PATCH, 404, body)
    assert not refused.is_missing
    assert "kubectl apply --server-side -k crds/" in str(refused)
    absent = build_refusal(PATCH, 404, status(404, "not found", name="trades", group="apperate.io"))
    assert absent.is_missing
    assert str(absent) == "There is no trades in the namespace shop."


@pytest.mark.parametrize(("code", "says"), [(401, "log in again"), (422, "spec.status: Unsupported"), (500, "(500)")])
def test_other_refusals_are_said(code: int, says: str) -> None:
    assert says in str(build_refusal(PATCH, code, status(code, "spec.status: Unsupported value")))


def test_nearest_names() -> None:
    assert say_nearest("trade", ["trades", "orders"]) == "Did you mean trades or orders?"
    assert say_nearest("trade", ["trades", "balances"]) == "Did you mean trades?"
    assert "status -A" in say_nearest("x", [])


def write_kubeconfig(path: Path, server: str) -> str:
    named = (
        {"name": "dead", "cluster": {"server": server}},
        {"name": "dead", "context": {"cluster": "dead", "user": "me"}},
    )
    document = {
        "current-context": "dead",
        "clusters": [named[0]],
        "contexts": [named[1]],
        "users": [{"name": "me", "user": {}}],
    }
    path.write_text(json.dumps(document))
    return str(path)


def test_no_cluster_and_no_kubeconfig_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    assert main(["status", "--kubeconfig", dead]) == 1
    said = capsys.readouterr().err
    assert "No answer from http://127.0.0.1:1, the API server of the context dead: " in said
    assert "kubectl config get-contexts" in said
    assert main(["--kubeconfig", dead, "why", "trades", "--context", "other"]) == 1
    assert "other" in capsys.readouterr().err
    assert main(["status", "--kubeconfig", str(tmp_path / "absent")]) == 1
    assert "KUBECONFIG" in capsys.readouterr().err
