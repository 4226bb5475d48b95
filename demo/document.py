"""The story as a section of docs/demo.md; `make generate` writes it."""

from __future__ import annotations

from demo.story import STORY


def build_walkthrough() -> str:
    """The story's commands as one shell block, each under its title; a repeated command appears once."""
    lines: list[str] = []
    for before, step in zip((None, *STORY), STORY, strict=False):
        if before is None or before.command != step.command:
            command = step.command.replace(" && ", " &&\n  ")
            lines += [f"# {step.title}", command]
    return "```sh\n" + "\n".join(lines) + "\n```"
