"""`new`: what is asked, what is written, and that no secret is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.cli import build_parser, main
from connector_operator.kubectl.creating import read_wish
from connector_operator.kubectl.interview import check_answer, interview
from connector_operator.kubectl.manifests import (
    Wish,
    build_manifest,
    find_manifest_problems,
    find_missing,
    format_manifest,
    list_questions,
    parse_setting,
    say_next,
)
from connector_operator.kubectl.refusals import RefusedError
from connector_runner.schemas.config import config_schema, connector_types, secret_properties


def wish(line: str) -> Wish:
    return read_wish(build_parser().parse_args(["new", *line.split()]))


def test_options_make_a_whole_manifest() -> None:
    made = wish("mysql -n prod --name shop --set host=db --set port=3307 --set ssl.mode=REQUIRED --secret shop-db --dataset lake --start"
                " --set user=reader --stream shop.* --stream crm.x")  # fmt: skip
    manifest = build_manifest(made)
    assert manifest == {
        "apiVersion": "apperate.io/v1",
        "kind": "Connector",
        "metadata": {"name": "shop", "namespace": "prod"},
        "spec": {
            "connectorType": "MYSQL",
            "datasetId": "lake",
            "config": {"host": "db", "port": 3307, "ssl": {"mode": "REQUIRED"}, "user": "reader"},
            "configFrom": [{"secretRef": {"name": "shop-db"}}],
            "streams": {"include": ["shop.*", "crm.x"]},
            "status": "running",
        },
    }
    assert find_manifest_problems(manifest) == ()
    assert yaml.safe_load(format_manifest(manifest)) == manifest


def test_one_name_is_a_selected_stream_and_a_pattern_a_selection() -> None:
    assert build_manifest(wish("coinbase --stream ticker"))["spec"]["selectedStream"] == "ticker"
    assert build_manifest(wish("mysql --stream shop.*"))["spec"]["streams"] == {"include": ["shop.*"]}
    assert not {"selectedStream", "streams", "status"} & build_manifest(wish("coinbase"))["spec"].keys()


@pytest.mark.parametrize("kind", connector_types())
def test_a_secret_is_never_typed_and_never_written(kind: str) -> None:
    for path in secret_properties(kind):
        with pytest.raises(ValueError, match="is a secret") as caught:
            parse_setting(f"{path}=hunter22", config_schema(kind))
        assert "hunter22" not in str(caught.value)
    questions = list(list_questions(config_schema(kind)))
    assert {question.path for question in questions if question.is_secret} == secret_properties(kind)


def test_what_is_missing_or_wrong_is_said_at_its_place() -> None:
    assert find_missing(wish("mysql")) == ["--name NAME", "--set host=VALUE", "--set user=VALUE"]
    assert find_missing(wish("mysql --name a --secret s")) == [], "the Secret may have the others"
    assert find_missing(wish("coinbase --name a --set productId=A-B")) == []
    problems = find_manifest_problems(build_manifest(wish("mysql --name Bad_ --set host=a --set user=b --set port=0")))
    assert [problem.split(":")[0] for problem in problems] == ["metadata.name", "spec.config.port"]
    for line in ("redis", "mysql --set hots=a", "mysql --set host"):
        with pytest.raises(RefusedError):
            wish(line)


def test_the_interview_asks_for_what_is_needed_and_again_after_a_wrong_answer() -> None:
    answers: Iterator[str] = iter(
        [
            "Bad!",
            "shop",
            "db",
            "0",
            "",
            "reader",
            "shop-db",
            "nonsense",
            "snapshot",
            "sometimes",
            "never",
            "",
            "lake",
            "shop.*, crm.x",
            "y",
        ]
    )
    asked: list[str] = []
    said: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    made = interview(Wish("MYSQL"), ask, said.append)
    assert next(answers, None) is None
    assert made == Wish(
        "MYSQL", "shop", "", "lake", {"host": "db", "port": "3306", "user": "reader", "snapshot": "never"}, ("shop-db",),
        ("shop.*", "crm.x"), is_running=True,
    )  # fmt: skip
    assert find_manifest_problems(build_manifest(made)) == ()
    assert not any("password" in question for question in asked), "a secret is never asked for"
    assert sum(question.startswith("port") for question in asked) == 2
    assert any("not one of them" in line for line in said)
    assert any("sometimes" in line for line in said)


def test_what_the_options_said_is_not_asked() -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return ""

    interview(
        wish("coinbase --name a --set productId=A-B --set url=wss://x --secret s --dataset d --stream ticker --start"),
        ask,
        lambda line: None,
    )
    assert asked == ["Which one (Enter: no more): "]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.sampled_from(connector_types()), st.data())
def test_what_passes_question_by_question_passes_as_a_whole(kind: str, data: st.DataObject) -> None:
    """Whatever is typed: an answer is refused when it is given, or the manifest is valid."""
    settings = {}
    for question in list_questions(config_schema(kind)):
        if question.is_secret:
            continue
        text = data.draw(
            TEXTS | st.just(question.default) | st.sampled_from(question.choices or ("a", "1", "true", "wss://a"))
        )
        if text and not check_answer(kind, question.path, text):
            settings[question.path] = text
    made = Wish(kind, "a", settings=settings, secrets=("s",))
    problems = find_manifest_problems(build_manifest(made))
    assert problems == (), problems
    assert yaml.safe_load(format_manifest(build_manifest(made))) == build_manifest(made)


def test_an_answer_is_checked_as_the_manifest_will_have_it() -> None:
    assert "at least 1" in check_answer("MYSQL", "user", "\n")
    assert not check_answer("MYSQL", "user", "a\n")


def test_what_comes_next_names_the_secret_and_the_commands() -> None:
    lines = "\n".join(
        say_next(wish("mysql --name shop --secret shop-db --stream a"), is_applied=False, file="shop.yaml")
    )
    for part in (
        "kubectl apply -f shop.yaml",
        "shop-db (keys: password, ssl.key)",
        "connectors start shop",
        "connectors why shop",
    ):
        assert part in lines
    assert "connectors streams a" in "\n".join(say_next(wish("coinbase --name a"), is_applied=True, file=""))


def test_without_a_cluster_a_manifest_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    assert main(["new", "coinbase", "--name", "a", "--set", "productId=A-B"]) == 0
    said = capsys.readouterr()
    assert yaml.safe_load(said.out)["spec"]["config"] == {"productId": ["A-B"]}
    assert main(["new", "coinbase", "--name", "a", "--set", "productId=A-B", "--apply"]) == 1
    assert "There is no kubeconfig" in capsys.readouterr().err
