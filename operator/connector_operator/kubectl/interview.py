"""The questions of `new` on a terminal. Pure but for the function that asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from connector_operator.kubectl.manifests import Question, Wish, build_manifest, find_manifest_problems, list_questions
from connector_runner.schemas.config import config_problems, config_schema, merge_config

Ask = Callable[[str], str]
"""Shows a question and returns the line that was typed, without spaces around it."""
Say = Callable[[str], None]


def interview(wish: Wish, ask: Ask, say: Say) -> Wish:
    """Asks for what the options did not say; each answer is checked when it is given.

    Args:
        wish: What the options said.
        ask: Asks; raises EOFError where the input ends.
        say: Shows a line.
    """
    schema = config_schema(wish.kind)
    if not wish.name:
        wish = _ask_name(wish, ask, say)
    questions = list(list_questions(schema))
    for question in questions:
        if question.is_required and not question.is_secret and question.path not in wish.settings:
            wish = _ask_setting(wish, question, ask, say)
    secrets = [question.path for question in questions if question.is_secret]
    if secrets and not wish.secrets:
        say(
            f"Secrets ({', '.join(secrets)}) are never typed here: they are read from a Secret that has keys of these names."
        )
        name = ask("Name of the Secret (Enter: none): ")
        wish = replace(wish, secrets=(name,)) if name else wish
    wish = _ask_more(
        wish, [each for each in questions if not each.is_secret and each.path not in wish.settings], ask, say
    )
    if not wish.dataset:
        wish = replace(wish, dataset=ask("Dataset (Enter: the namespace's default): "))
    if not wish.streams:
        typed = ask("Stream, or names and patterns separated by commas (Enter: choose when they are listed): ")
        wish = replace(wish, streams=tuple(part.strip() for part in typed.split(",") if part.strip()))
    if wish.streams and not wish.is_running:
        wish = replace(wish, is_running=ask("Start it at once? [y/N] ").lower() in {"y", "yes"})
    return wish


def _ask_name(wish: Wish, ask: Ask, say: Say) -> Wish:
    while True:
        named = replace(wish, name=ask("Name: "))
        problems = [each for each in find_manifest_problems(build_manifest(named)) if each.startswith("metadata.name")]
        if not problems:
            return named
        say(problems[0])


def _ask_setting(wish: Wish, question: Question, ask: Ask, say: Say) -> Wish:
    say(f"{question.path}: {question.text}")
    if question.choices:
        say(f"  one of {', '.join(question.choices)}")
    hint = f" [{question.default}]" if question.default else ""
    while True:
        text = ask(f"{question.path}{hint}: ") or question.default
        problem = check_answer(wish.kind, question.path, text) if text else f"{question.path}: is required"
        if not problem:
            return replace(wish, settings={**wish.settings, question.path: text})
        say(problem)


def _ask_more(wish: Wish, questions: list[Question], ask: Ask, say: Say) -> Wish:
    """Optional properties, by name, as long as names are typed."""
    by_path = {question.path: question for question in questions}
    if not by_path:
        return wish
    say(f"More settings, all optional: {', '.join(by_path)}")
    while path := ask("Which one (Enter: no more): "):
        if path in by_path:
            wish = _ask_setting(wish, by_path[path], ask, say)
        else:
            say(f"{path}: not one of them")
    return wish


def check_answer(kind: str, path: str, text: str) -> str:
    """What is wrong with a value; "" if nothing is."""
    schema = config_schema(kind)
    value: Any = merge_config({}, [{path: text}], schema)  # as the manifest will have it
    for part in path.split("."):
        value, schema = value[part], schema["properties"][part]
    problems = config_problems(value, schema, path=path)
    return problems[0] if problems else ""
