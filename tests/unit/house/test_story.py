"""The demo, its page and the end-to-end test tell one story."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from demo.__main__ import main, print_stage
from demo.document import build_walkthrough
from demo.figures import describe_seconds, seconds_from
from demo.stage import Stage, own_folder
from demo.story import APPLY, FIRST_ROWS, START, STOP, STORY, Step
from demo.walk import ROOT, StoryBroken, walk
from generate.blocks import fill


def test_the_page_tells_the_story_as_it_is() -> None:
    text = (ROOT / "docs/demo.md").read_text()
    assert "<!-- begin: story -->" in text
    assert fill(text, {"story": build_walkthrough}) == text, "run `make generate`"


def test_the_walkthrough_is_shell() -> None:
    script = build_walkthrough().removeprefix("```sh\n").removesuffix("```")
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize("step", STORY, ids=lambda step: step.title)
def test_each_step_names_files_that_exist_and_expects_something(step: Step) -> None:
    for name in re.findall(r"-f (demo/\S+)", step.command):
        assert list(yaml.safe_load_all((ROOT / name).read_text())), name
    assert not re.search(step.expect, ""), "an expectation that silence meets proves nothing"


def test_a_step_that_does_not_come_true_breaks_the_story() -> None:
    said: list[str] = []
    with pytest.raises(StoryBroken, match="Count: expected"):
        walk([Step("Say", "echo one", "one"), Step("Count", "echo two", "three")], {}, said.append)
    assert "two" in "".join(said)


def test_a_step_is_looked_at_again_in_its_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    marker = tmp_path_factory.mktemp("story") / "seen"
    told = walk([Step("Wait", f"ls {marker} || (touch {marker}; false)", r"seen$", within=30)], {}, lambda _: None)
    assert len(told) == 1


def test_each_step_tells_its_seconds_and_some_are_added_up() -> None:
    said: list[str] = []
    told = walk(
        [Step(title, "echo x", "x") for title in ("before", APPLY, START, FIRST_ROWS, "after")], {}, said.append
    )
    assert all(re.search(r"\(\d+\.\d s\)$", text) for text in said[1::2])
    seconds = [part.seconds for part in told]
    assert seconds_from(told, APPLY, FIRST_ROWS) == pytest.approx(sum(seconds[1:4]))
    assert "after `kubectl apply` of the connector" in describe_seconds(told)
    assert {APPLY, START, FIRST_ROWS, STOP} <= {step.title for step in STORY}


@pytest.fixture
def fake_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that only says what it was asked."""
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "asked: $@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("fake_kubectl")
def test_an_install_that_fails_is_diagnosed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("Install", "kubectl apply", "created")
    stage = Stage({}, [step], tmp_path, {}, reaches_pods=False, how_to_play="")
    with pytest.raises(StoryBroken, match="Install: expected"):
        print_stage(stage)
    assert "asked: get events" in capsys.readouterr().out


def test_a_cluster_that_does_not_start_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("demo.stage.LOCALKUBE", Path("/bin/false"))
    monkeypatch.setattr("sys.argv", ["demo", "--dir", str(tmp_path / "demo")])
    with handlers_kept():
        assert main() == 1
    assert "The story broke: the cluster did not start" in capsys.readouterr().out
    assert not (tmp_path / "demo").exists()


@contextmanager
def handlers_kept() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with own_folder(folder):
        folder.mkdir()
        with pytest.raises(StoryBroken, match=f"another demo runs in {folder}"), own_folder(folder):
            pass
        assert folder.exists()
    assert not folder.exists()
