"""The custom resource definition of Dataset."""

from __future__ import annotations

import json
from typing import Any

from connector_operator.crds.parts import conditions, definition, number, object_of, text
from connector_operator.resources import names
from connector_operator.resources.dataset import FILE_SCHEMES, PASSWORD_PATTERN, URL_PATTERN, VOLUME_NEEDED
from connector_runner.schemas.dataset_url import FORMS, SCHEME_ALIASES, known_schemes, scheme_problem


def build_dataset_crd() -> dict[str, Any]:
    """The whole definition."""
    root = object_of(
        "A Dataset is where connectors put their rows; one named default serves every datasetId without its own.",
        {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(),
            "status": _status(),
        },
        required=["spec"],
    )
    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = [
        ("Mode", ".spec.writeMode", 0, "upsert (when empty) or append."),
        ("Connectors", ".status.connectors", 0, "How many connectors use it."),
        ("Running", ".status.running", 0, "How many of them run."),
        ("Ready", f"{ready}.status", 0, "Whether it can be used."),
        ("Reason", f"{ready}.reason", 0, "Why."),
        ("Age", ".metadata.creationTimestamp", 0, ""),
        ("Message", f"{ready}.message", 1, "Why, in a sentence."),
    ]
    return definition(
        kind="Dataset",
        plural=names.DATASETS,
        short="dset",
        root=root,
        columns=columns,
        selectable=[".spec.volumeClaim"],
    )


def _spec() -> dict[str, Any]:
    spec = object_of(
        "Where rows go, and how.",
        {
            "url": text(
                "Where rows go; the scheme picks the sink, as in postgresql://db:5432/market, sqlite:///rows.db or https://host/records. Without a password: see urlFrom.",
                pattern=URL_PATTERN,
                maxLength=2048,
            ),
            "urlFrom": object_of(
                "Takes the URL from a Secret, for one with a password in it.",
                {
                    "secretKeyRef": object_of(
                        "One key of a Secret of this namespace.",
                        {"name": text("The Secret.", minLength=1), "key": text("The key.", minLength=1)},
                        required=["name", "key"],
                    )
                },
                required=["secretKeyRef"],
            ),
            "volumeClaim": text(
                "Needed by sqlite and http, which keep a file: the PersistentVolumeClaim that is mounted at /data.",
                maxLength=253,
            ),
            "table": text("The table, possibly schema-qualified. Default: the connector's datasetId.", maxLength=128),
            "refusedRows": text(
                "What becomes of rows that the dataset refuses: deadLetter puts them into <table>_dead_letters, stop ends the runner. Default: deadLetter.",
                enum=["deadLetter", "stop"],
            ),
            "writeMode": text(
                "upsert keeps the last row by key; append keeps the history, with operation and position. Default: upsert.",
                enum=["upsert", "append"],
            ),
        },
    )
    files = ", ".join(f"'{scheme}'" for scheme in FILE_SCHEMES)
    spec["x-kubernetes-validations"] = [
        _rule("has(self.url) != has(self.urlFrom)", "give either url or urlFrom", ".url"),
        _rule(
            f"!has(self.url) || !self.url.matches('{PASSWORD_PATTERN}')",
            "holds a password; put the URL into a Secret and name it in urlFrom",
            ".url",
        ),
        _rule(
            f"!has(self.url) || !(self.url.split(':')[0] in [{files}]) || has(self.volumeClaim)",
            VOLUME_NEEDED,
            ".volumeClaim",
        ),
        _rule(f"!has(self.url) || self.url.split(':')[0] in {json.dumps(known_schemes())}", scheme_problem(), ".url"),
        *(_form_rule(sink, *form) for sink, form in FORMS.items()),
    ]
    return spec


def _form_rule(sink: str, pattern: str, expected: str) -> dict[str, Any]:
    """What the URLs of one sink must look like."""
    schemes = [sink, *(alias for alias, meant in SCHEME_ALIASES.items() if meant == sink)]
    is_other = f"!(self.url.split(':')[0] in {json.dumps(schemes)})"
    return _rule(f"!has(self.url) || {is_other} || self.url.matches({json.dumps(pattern)})", expected, ".url")


def _rule(holds: str, message: str, path: str) -> dict[str, Any]:
    return {
        "rule": f"(oldSelf.hasValue() && oldSelf.value() == self) || {holds}",
        "message": message,
        "fieldPath": path,
        "optionalOldSelf": True,
    }


def _status() -> dict[str, Any]:
    status = object_of(
        "What is; written by the operator alone.",
        {
            "observedGeneration": number("The generation of the spec that this status is about.", format="int64"),
            "connectors": number("How many connectors resolve to it."),
            "running": number("How many of them have a live execution."),
            "outdated": number("How many of those still run with an earlier form of it."),
            "hash": text("Stands for the spec that this status is about."),
            "changedAt": text("When that spec was first seen."),
            "conditions": conditions(),
        },
    )
    status["default"] = {"observedGeneration": -1}
    return status
