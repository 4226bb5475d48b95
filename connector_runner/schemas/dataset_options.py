"""Options of a dataset: which there are, and where each value comes from. Pure.

No message repeats a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from connector_runner.schemas.dataset_url import sink_of
from connector_runner.schemas.datasets import DESCRIPTORS, Descriptor, Option
from connector_runner.schemas.secrets import SecretKey, SecretSource, select

MOST_NAMED = 12


class GivenOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a dataset, merged.

    Attributes:
        values: Text by option.
        origins: The keys of Secrets that options come from; others are written in the Dataset.
        missing: Keys that `keys` names and the Secrets do not have.
    """

    values: dict[str, str]
    origins: dict[str, SecretKey] = {}
    missing: tuple[SecretKey, ...] = ()


def find_descriptor(url: str) -> Descriptor | None:
    """The description of the dataset behind a URL; None if no dataset has its scheme."""
    name = sink_of(url)
    return None if name is None else DESCRIPTORS[name]


def merge_options(
    written: Mapping[str, str],
    secrets: Iterable[tuple[SecretSource, Mapping[str, str]]],
    known: Mapping[str, Option],
) -> GivenOptions:
    """Options that are written, and over them those from Secrets; a later Secret wins over an earlier one.

    Args:
        written: `spec.options`.
        secrets: Each entry of `spec.optionsFrom` with the values of its Secret.
        known: The options of the dataset.
    """
    values, origins, missing = dict(written), dict[str, SecretKey](), list[SecretKey]()
    for source, found in secrets:
        selected = select(found, source, known.__contains__)
        values |= {name: _without_line_end(text) for name, text in selected.values.items()}
        origins |= selected.origins
        missing += selected.missing
    return GivenOptions(values=values, origins=origins, missing=tuple(missing))


def _without_line_end(text: str) -> str:
    """`echo` adds a line end to what people put into a Secret; no option ends with one on purpose."""
    return text.rstrip("\r\n")


def written_problems(url: str, options: Mapping[str, str]) -> list[str]:
    """Problems of `spec.options` that can be found without Secrets, each beginning with its path; () if the URL says no dataset."""
    descriptor = find_descriptor(url)
    if descriptor is None:
        return []
    misplaced = "is a secret; put it into a Secret and name that in optionsFrom"
    hidden = find_secret_options(url)
    found = [*_each(descriptor, options), *((name, misplaced) for name in options if name in hidden)]
    return [f"options.{name}: {problem}" for name, problem in found]


def mapping_problems(url: str, sources: Sequence[SecretSource]) -> list[str]:
    """Problems of `keys` in `spec.optionsFrom` that can be found without the Secrets, each beginning with its path."""
    descriptor = find_descriptor(url)
    if descriptor is None:
        return []
    if sources and not descriptor.options:
        return [f"optionsFrom: {descriptor.title} has no options"]
    problems = []
    for index, source in enumerate(sources):
        taken = dict[str, str]()
        for key, option in (source.keys or {}).items():
            path = f"optionsFrom[{index}].keys.{key}"
            if (why := _why_not(descriptor, option)) is not None:
                problems.append(f"{path}: {option!r} {why}")
            if option in taken:
                problems.append(f"{path}: {option!r} is what {taken[option]!r} is mapped to already")
            taken.setdefault(option, key)
    return problems


def option_problems(url: str, given: GivenOptions) -> list[str]:
    """Everything that is wrong with the merged options, each sentence beginning with its path."""
    descriptor = find_descriptor(url)
    if descriptor is None:
        return []
    problems = [
        f"optionsFrom: Secret {key.name!r} has no key {key.key!r}, which spec.optionsFrom maps; add it, or say optional: true there"
        for key in given.missing
    ]
    for name, problem in _each(descriptor, given.values):
        origin = given.origins.get(name)
        problems.append(f"options.{name}: {problem}{f' (from {origin})' if origin else ''}")
    if not problems:
        problems += [f"options: {problem}" for problem in descriptor.check_options(given.values)]
    return problems


def find_secret_options(url: str) -> frozenset[str]:
    """The options of the URL's dataset whose values are secrets."""
    descriptor = find_descriptor(url)
    options = {} if descriptor is None else descriptor.options
    return frozenset(name for name, option in options.items() if option.is_secret)


def _each(descriptor: Descriptor, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if (why := _why_not(descriptor, name)) is not None:
            yield name, why
        elif problem := _value_problem(descriptor.options[name], value):
            yield name, problem


def _why_not(descriptor: Descriptor, name: str) -> str | None:
    """Why a name is no option; None if it is one."""
    if name in descriptor.options:
        return None
    if not descriptor.options:
        return f"is no option: {descriptor.title} has none"
    if (why := descriptor.refused_options.get(name)) is not None:
        return f"can't be set: {why}"
    near = difflib.get_close_matches(name, descriptor.options, MOST_NAMED, 0.5) or list(descriptor.options)[:MOST_NAMED]
    return f"is no option of {descriptor.title}; there are {', '.join(near)} (all of them: docs/dataset-options.md)"


def _value_problem(option: Option, value: str) -> str | None:
    if option.values and value not in option.values:
        return f"must be one of {', '.join(option.values)}"
    if option.between is not None:
        low, high = option.between
        is_in = re.fullmatch(r"-?[0-9]{1,12}", value) is not None and low <= int(value) <= high
        return None if is_in else f"must be a whole number from {low} to {high}"
    if option.pattern and not re.fullmatch(option.pattern, value, re.DOTALL):
        return f"must be {option.expected}"
    return None if value else "is empty"
