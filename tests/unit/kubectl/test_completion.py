"""What a shell offers when Tab is pressed."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.cli import build_parser, main
from connector_operator.kubectl.completion import DIRECTIVE, SCRIPTS, complete, format_offers

asked: list[argparse.Namespace] = []


def list_names(given: argparse.Namespace) -> list[str]:
    asked.append(given)
    return ["shop", "trades", "trades-old"]


def offered(line: str) -> list[str]:
    """What is offered in place of the last word of a line, which ends where the cursor stands."""
    return [word for word, _ in complete(build_parser(), line.split(" "), list_names)]


def test_commands_options_values_and_names_are_offered() -> None:
    assert {"status", "why", "delete", "completion"} <= set(offered(""))
    assert "__complete" not in offered("_")
    assert offered("sta") == ["start", "status"]
    assert offered("why tr") == ["trades", "trades-old"]
    assert offered("why trades ") == [], "one name is enough"
    assert offered("stop trades ") == ["shop", "trades-old"], "what is named is not offered again"
    assert offered("status -o ") == ["json", "table"]
    assert offered("status --all") == ["--all-namespaces"]
    assert "-w" in offered("status -")
    assert offered("logs -f sh") == ["shop"]
    assert offered("completion ") == ["bash", "fish", "zsh"]
    assert offered("nonsense ") == []
    assert offered("streams --like ") == []


def test_names_are_those_of_the_namespace_and_context_that_were_typed() -> None:
    asked.clear()
    offered("-n prod --context=blue why --as bob ")
    (given,) = asked
    assert (given.namespace, given.context, given.acting_as) == ("prod", "blue", "bob")
    asked.clear()
    offered("status ")
    assert asked == [], "the cluster is only asked where a name may stand"


@given(
    st.lists(st.text(max_size=8) | st.sampled_from(["why", "status", "-n", "--like", "-o", "--", "start"]), max_size=6)
)
def test_any_line_is_completed_or_not_without_an_error(words: list[str]) -> None:
    begun = words[-1] if words else ""
    assert all(word.startswith(begun) for word, _ in complete(build_parser(), words, list_names))


def test_each_shell_reads_its_own_form() -> None:
    offers = [("a:b", "what"), ("c", "")]
    assert format_offers(offers, "words") == "a:b\nc\n"
    assert format_offers(offers, "described") == "a\\:b:what\nc\n"
    assert format_offers(offers, "tabs") == "a:b\twhat\nc\n"
    assert format_offers(offers, "kubectl") == f"a:b\twhat\nc\n{DIRECTIVE}\n"


def test_the_hidden_command_never_asks_a_cluster_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    assert main(["__complete", "--", "why", ""]) == 0
    assert main(["__complete", "--tabs", "--", "completion", "z"]) == 0
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == "zsh\n" + SCRIPTS["bash"]
