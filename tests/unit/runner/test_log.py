"""Log lines hold no secret, however it is spelt and wherever it came from."""

from __future__ import annotations

import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_runner.commands.session import build_source_context
from connector_runner.log import LibraryLog, LineLog, libraries_logged
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


def test_what_libraries_say_is_a_line_of_the_log_without_secrets() -> None:
    redactor, out = Redactor(), io.StringIO()
    redactor.learn(["hunter22"])
    with libraries_logged(LineLog(redactor, out)):
        logging.getLogger("some.library").warning("the password %s was refused", "hunter22")
        logging.getLogger("some.library").info("nothing of interest")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old, and hunter22 too", DeprecationWarning, stacklevel=1)
        try:
            raise ValueError("hunter22")
        except ValueError:
            logging.getLogger("asyncio").exception("a task failed")
    logging.getLogger("some.library").error("after the run")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["library"]) for line in lines] == [
        ("warning", "some.library"), ("warning", "py.warnings"), ("error", "asyncio"),
    ]  # fmt: skip
    assert lines[0]["message"] == f"the password {BLOT} was refused"
    assert "ValueError" in lines[2]["trace"]
    assert "hunter22" not in out.getvalue()


def test_what_a_library_repeats_is_written_once_a_minute() -> None:
    now, out = [0.0], io.StringIO()
    handler = LibraryLog(LineLog(Redactor(), out), clock=lambda: now[0])
    for after in range(70):
        now[0] = float(after)
        handler.emit(
            logging.makeLogRecord({"name": "x", "msg": "%d ms in state CONNECT", "args": (after,), "levelno": 40})
        )
    handler.emit(logging.makeLogRecord({"name": "x", "msg": "another line", "levelno": 30}))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["message"], line.get("repeated")) for line in lines] == [
        ("0 ms in state CONNECT", None), ("60 ms in state CONNECT", 59), ("another line", None),
    ]  # fmt: skip
