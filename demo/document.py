"""The story as a section of the README: `python -m demo.document` rewrites it there; a test checks that it has not drifted."""

from __future__ import annotations

import re

from demo.story import STORY
from demo.walk import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- story: generated from demo/story.py by `make generate` -->", "<!-- end of story -->"


def build_walkthrough() -> str:
    """The story's commands as one shell block, each under its title; a command that repeats stands there once."""
    lines: list[str] = []
    for before, step in zip((None, *STORY), STORY, strict=False):
        if before is None or before.command != step.command:
            command = step.command.replace(" && ", " &&\n  ")
            lines += [f"# {step.title}", command]
    return "```sh\n" + "\n".join(lines) + "\n```"


def fill_in(readme: str) -> str:
    """The README with the section between the two marks replaced."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{build_walkthrough()}\n{END}",
        readme,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    README.write_text(fill_in(README.read_text()))
