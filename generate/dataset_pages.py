"""What the documents say about the datasets, from their descriptors."""

from __future__ import annotations

from connector_runner.protocols.types import PYTHON_FORM
from connector_runner.schemas.datasets import DESCRIPTORS, Option
from connector_runner.schemas.datasets.descriptor import COMMON_REASONS
from generate.blocks import Blocks, table

TYPES_HEAD = """# How a value is stored

Each value reaches the dataset exactly, or the whole row goes to the dead letters; never as a silently different value. Generated from
the code by `make generate`; property tests carry values of every kind into the datasets and back. A time finer than a microsecond is cut by its source, which also
keeps the full text (COINBASE in the column `extra`).

"""
OPTIONS_HEAD = """# Options of a dataset

`spec.options` of a Dataset holds options as texts; `spec.optionsFrom` takes further ones, secrets above all, from Secrets, which are mounted as files into the runner:

```yaml
spec:
  url: kafka://kafka:9093/raw.{table}
  options: {security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, linger.ms: "20"}
  optionsFrom:
    - secretRef: {name: kafka-ca}                             # each key of the Secret is the option of the same name
    - secretRef: {name: kafka-user}
      keys: {username: sasl.username, password: sasl.password}  # key of the Secret: option
```

A later Secret wins over an earlier one, and all win over `options`. With `keys`, other keys of the Secret are ignored unless they are options; `optional: true` lets the Secret and its keys be absent.
An unknown option, a value that is not possible or a missing key ends the run with `InvalidDataset` and names it; no message shows a value. Secrets can't be written into `options`. A Secret that is changed is read again within
about a minute, and the runner connects again. By hand (`connector-runner run -f FILE`) the Secrets are read from the same file. A dataset that is not listed here has no options. Generated from the code by `make generate`.

"""


def build_types() -> str:
    """docs/types.md: every logical type, and how each dataset stores it."""
    columns = {
        title: types
        for dataset in DESCRIPTORS.values()
        for title, types in {dataset.types_title: dataset.types, **dataset.more_types}.items()
    }
    rows = [
        [kind.value, form, *(": ".join(types[kind.value]) for types in columns.values())]
        for kind, form in PYTHON_FORM.items()
    ]
    return TYPES_HEAD + table(["kind", "in Python", *columns], rows) + "\n"


def _build_promises() -> str:
    rows = [
        [dataset.title, dataset.url, dataset.promise, dataset.needs, "yes" if dataset.reads_rows else "no"]
        for dataset in DESCRIPTORS.values()
    ]
    return table(["sink", "URL", "promise", "what is needed", "`connector-runner rows`"], rows)


def _build_reasons() -> str:
    rows = [[f"`{reason}`", "all", when] for reason, when in COMMON_REASONS.items()]
    for dataset in DESCRIPTORS.values():
        rows += [[f"`{reason}`", dataset.title, when] for reason, when in dataset.reasons.items()]
    return table(["reason", "dataset", "when"], rows)


def _describe_form(option: Option) -> str:
    if option.values:
        return ", ".join(f"`{value}`" for value in option.values)
    if option.between is not None:
        return "{} to {}".format(*option.between)
    return option.expected or "text"


def build_options() -> str:
    """docs/dataset-options.md: the options of each dataset that has some."""
    parts = [OPTIONS_HEAD]
    for dataset in DESCRIPTORS.values():
        if not dataset.options:
            continue
        rows = [
            [f"`{name}`", "Secret" if option.is_secret else "", _describe_form(option), option.default, option.meaning]
            for name, option in dataset.options.items()
        ]
        parts.append(f"## {dataset.title}\n\n" + table(["option", "", "values", "default", "meaning"], rows) + "\n")
        if dataset.refused_options:
            reasons: dict[str, list[str]] = {}
            for name, why in dataset.refused_options.items():
                reasons.setdefault(why, []).append(f"`{name}`")
            lines = [f"- {', '.join(names)}: {why}." for why, names in reasons.items()]
            parts.append("\n".join(["\nAll other names are refused. Of those that people try:\n", *lines, ""]))
    return "".join(parts)


BLOCKS: Blocks = {"promises": _build_promises, "reasons": _build_reasons}
