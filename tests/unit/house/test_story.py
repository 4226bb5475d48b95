"""README, demo and end-to-end test tell one story."""

import re
import subprocess

import pytest
import yaml

from demo.document import BEGIN, README, build_walkthrough, fill_in
from demo.story import STORY, Step
from demo.walk import ROOT, StoryBroken, walk


def test_the_readme_tells_the_story_as_it_is() -> None:
    text = README.read_text()
    assert BEGIN in text
    assert fill_in(text) == text, "run `make generate`"


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
