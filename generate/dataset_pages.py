"""What the documents say about the datasets, from their descriptors."""

from __future__ import annotations

from connector_runner.protocols.types import PYTHON_FORM
from connector_runner.schemas.datasets import DESCRIPTORS
from connector_runner.schemas.datasets.descriptor import COMMON_REASONS
from generate.blocks import Blocks, table

TYPES_HEAD = """# How a value is stored

Each value reaches the dataset exactly, or the whole row goes to the dead letters; never as a silently different value. Generated from
the code by `make generate`; property tests carry values of every kind into the datasets and back. A time finer than a microsecond is cut by its source, which also
keeps the full text (COINBASE in the column `extra`).

"""


def build_types() -> str:
    """docs/types.md: every logical type, and how each dataset stores it."""
    datasets = DESCRIPTORS.values()
    rows = [
        [kind.value, form, *(": ".join(dataset.types[kind.value]) for dataset in datasets)]
        for kind, form in PYTHON_FORM.items()
    ]
    return TYPES_HEAD + table(["kind", "in Python", *(dataset.types_title for dataset in datasets)], rows) + "\n"


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


BLOCKS: Blocks = {"promises": _build_promises, "reasons": _build_reasons}
