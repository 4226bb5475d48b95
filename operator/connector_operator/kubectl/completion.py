"""What a shell offers when Tab is pressed, and the scripts that ask for it. Pure but for the names of connectors, which a function gives."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

DIRECTIVE = ":4"
"""The last line for kubectl: what is offered is all there is, no names of files."""

_BASH = """# kubectl connectors, completed by bash: source this file, or put it into /etc/bash_completion.d
_connectors_complete() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(connectors __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
}
complete -F _connectors_complete connectors kubectl-connectors
"""
_ZSH = """#compdef connectors kubectl-connectors
# kubectl connectors, completed by zsh: `source` this file after compinit, or put it into a folder of fpath as _connectors
_connectors() {
  local -a offered
  offered=("${(@f)$(connectors __complete --described -- "${(@)words[2,CURRENT]}" 2> /dev/null)}")
  offered=(${offered:#})
  (( ${#offered} )) && _describe 'connectors' offered
}
compdef _connectors connectors kubectl-connectors
"""
_FISH = """# kubectl connectors, completed by fish: put this file into ~/.config/fish/completions/connectors.fish
function __connectors_complete
    set -l words (commandline -opc) (commandline -ct)
    connectors __complete --tabs -- $words[2..-1] 2> /dev/null
end
complete -c connectors -f -a '(__connectors_complete)'
complete -c kubectl-connectors -f -a '(__connectors_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

Offer = tuple[str, str]
"""A word, and what it means in a few words."""


def complete(
    parser: argparse.ArgumentParser, words: Sequence[str], list_names: Callable[[argparse.Namespace], Sequence[str]]
) -> list[Offer]:
    """What may stand in place of the last word.

    Args:
        parser: The command line.
        words: What was typed after the program's name; the last one is begun, perhaps with nothing in it.
        list_names: Returns the names of connectors for the options that were typed so far; asked only where one may stand.
    """
    *typed, begun = words or [""]
    found = _find(parser, typed, begun, list_names)
    return sorted({word: (word, text) for word, text in found if word.startswith(begun)}.values())


def _find(
    parser: argparse.ArgumentParser,
    typed: Sequence[str],
    begun: str,
    list_names: Callable[[argparse.Namespace], Sequence[str]],
) -> Iterator[Offer]:
    active, given, place = parser, argparse.Namespace(), 0
    waiting: argparse.Action | None = None
    for word in typed:
        option = _option(active, word)
        if waiting is not None:
            setattr(given, waiting.dest, word)
            waiting = None
        elif option is not None:
            _, equals, value = word.partition("=")
            if option.nargs != 0 and not equals:
                waiting = option
            elif equals:
                setattr(given, option.dest, value)
        elif (commands := _commands(active)) is not None:
            if word not in commands.choices:
                return
            active = commands.choices[word]
        else:
            place += 1
            given.typed = [*getattr(given, "typed", []), word]
    yield from _offer(active, waiting, begun, place, given, list_names)


def _offer(
    active: argparse.ArgumentParser,
    waiting: argparse.Action | None,
    begun: str,
    place: int,
    given: argparse.Namespace,
    list_names: Callable[[argparse.Namespace], Sequence[str]],
) -> Iterator[Offer]:
    if waiting is not None:
        yield from ((str(choice), "") for choice in waiting.choices or ())
    elif begun.startswith("-"):
        for action in active._actions:
            yield from (
                (name, action.help or "") for name in action.option_strings if name.startswith("--") or begun == "-"
            )
    elif (commands := _commands(active)) is not None:
        texts = {each.dest: each.help or "" for each in commands._choices_actions}
        yield from ((name, texts[name]) for name in commands.choices if name in texts)
    else:
        yield from _offer_positional(active, place, given, list_names)


def _offer_positional(
    active: argparse.ArgumentParser,
    place: int,
    given: argparse.Namespace,
    list_names: Callable[[argparse.Namespace], Sequence[str]],
) -> Iterator[Offer]:
    positionals = [action for action in active._actions if not action.option_strings]
    if not positionals or (place >= len(positionals) and positionals[-1].nargs != "+"):
        return
    action = positionals[min(place, len(positionals) - 1)]
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.dest in {"name", "names"}:
        typed = getattr(given, "typed", [])
        yield from ((name, "") for name in list_names(given) if name not in typed)


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    name = word.partition("=")[0]
    return parser._option_string_actions.get(name) if name.startswith("-") else None


def _commands(parser: argparse.ArgumentParser) -> Any:
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next(found, None)


def format_offers(offers: Sequence[Offer], form: str) -> str:
    """The lines that a shell reads: `words`, `described` (zsh: `word:text`), `tabs` (fish, and kubectl for all shells)."""
    if form == "described":
        return "".join(f"{word.replace(':', chr(92) + ':')}:{text}\n" if text else f"{word}\n" for word, text in offers)
    if form in {"tabs", "kubectl"}:
        lines = "".join(f"{word}\t{text}\n" if text else f"{word}\n" for word, text in offers)
        return lines + (f"{DIRECTIVE}\n" if form == "kubectl" else "")
    return "".join(f"{word}\n" for word, _ in offers)
