"""Log lines hold no secret, however it is spelt and wherever it came from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_runner.commands.session import build_source_context
from connector_runner.log import LineLog
from connector_runner.manifests import orders_from_file
from connector_runner.redaction import BLOT, Redactor
from connector_runner.registry import FolderRegistry


def test_secrets_never_reach_a_line() -> None:
    redactor, out = Redactor(), io.StringIO()
    redactor.learn(["hunter22", None, 5, ["nested-secret"], "abc"])
    redactor.learn_url("postgresql://u:p%40ssw0rd@h/db")
    LineLog(redactor, out)("info", "hunter22 abc", why="p@ssw0rd p%40ssw0rd nested-secret")
    line = json.loads(out.getvalue())
    assert line["message"] == f"{BLOT} abc"
    for secret in ("hunter22", "p@ssw0rd", "p%40ssw0rd", "nested-secret"):
        assert secret not in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("secret", ['quo"ted', "back\\slash", "pässwörd", "it's 'both' \"kinds\"", "two\nlines-of-it"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_spelling_of_a_secret_reaches_a_line(secret: str, stream: type[io.StringIO]) -> None:
    redactor, out = Redactor(), stream()
    redactor.learn([{"deep": [{"er": secret}]}])
    log = LineLog(redactor, out, connector=f"at {secret}")
    error = ValueError(f"{secret!r} and {json.dumps(secret)} are wrong")
    log("error", f"no: {secret}", error=error, nested={"a": [secret, (1, None)], secret: b"x"}, text=str(error), n=1.5)
    texts = out.getvalue()
    spellings = {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(repr(secret)[1:-1])[1:-1],
        *secret.splitlines(),
    }
    assert [spelling for spelling in spellings if spelling in texts] == []
    assert "no: " in texts
    if stream is io.StringIO:
        line = json.loads(texts)
        assert line["nested"] == {"a": [BLOT, [1, None]], BLOT: "b'x'"}
        assert line["n"] == 1.5


CONFIG = {
    "url": "http://127.0.0.1:8545",
    "headers": {"Authorization": "Bearer inline-token"},
}
SECRET = {"headers.X-Key": "token-of-a-secret"}


def test_secrets_within_objects_are_known_as_secrets(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    spec = {"connectorType": "ETHEREUM", "config": CONFIG, "configFrom": [{"secretRef": {"name": "s"}}]}
    documents = [
        {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": "c"}, "spec": spec},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": SECRET},
    ]
    path.write_text(yaml.safe_dump_all(documents))
    redactor = Redactor()
    unheard: Any = None
    build_source_context(orders_from_file(path), FolderRegistry(), unheard, redactor)
    assert redactor.clean("Bearer inline-token, token-of-a-secret, latest") == f"{BLOT}, {BLOT}, latest"
