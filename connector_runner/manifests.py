"""Builds the orders of a command: in a pod from the environment, by hand from the same manifests that kubectl applies."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from connector_runner.kubectl_yaml import KubectlYamlError, load_documents
from connector_runner.orders import Orders
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas import manifest as shared
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.kinds.checks import connector_problems, dataset_problems
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.dataset import DatasetSpec
from connector_runner.schemas.kinds.naming import API_VERSION, dataset_name
from connector_runner.schemas.manifest import DatasetTarget, RunnerManifest, parse_manifest
from connector_runner.schemas.secrets import SecretKey, SecretSource

T = TypeVar("T")


def orders_from_environment(environment: Mapping[str, str] | None = None) -> Orders:
    """The orders from the operator.

    Raises:
        InvalidConfigError: The environment has no (valid) manifest.
    """
    environment = os.environ if environment is None else environment
    text = shared.read_variables(environment)
    if not text:
        raise InvalidConfigError([f"give a manifest with -f FILE (or, in a pod, in {shared.MANIFEST_VARIABLE})"])
    try:
        manifest = parse_manifest(text)
    except msgspec.MsgspecError as error:
        raise InvalidConfigError([f"{shared.MANIFEST_VARIABLE}: {error}"]) from error
    folder = Path(environment.get(shared.CONFIG_DIRECTORY_VARIABLE, shared.CONFIG_DIRECTORY))
    url_file = environment.get(shared.DATASET_URL_VARIABLE)
    folders = tuple(folder / str(index) for index in range(manifest.config_from))
    names = [source.name for source in manifest.secrets] or [""] * len(folders)
    sources = manifest.dataset.options_from if manifest.dataset is not None else ()
    options = Path(environment.get(shared.OPTIONS_DIRECTORY_VARIABLE, shared.OPTIONS_DIRECTORY))
    option_folders = [(options / str(index), source.name) for index, source in enumerate(sources)]
    watched = (*folders, *([Path(url_file)] if url_file else []), *(folder for folder, _ in option_folders))
    return Orders(
        manifest,
        read_secrets=lambda: [read_secret_folder(*one) for one in zip(folders, names, strict=True)],
        read_url=lambda: _read_url(manifest, url_file),
        directory=Path(environment.get(shared.DATA_DIRECTORY_VARIABLE, ".")),
        watched=watched,
        live=Path(environment.get(shared.ORDERS_DIRECTORY_VARIABLE, shared.ORDERS_DIRECTORY)),
        read_option_secrets=lambda: [read_secret_folder(*one, "dataset.optionsFrom") for one in option_folders],
    )


def read_secret_folder(folder: Path, name: str = "", where: str = "configFrom") -> dict[str, str]:
    """Reads a mounted Secret: one file for each key; Kubernetes' own `..data` links are left out.

    Args:
        folder: The folder where it is mounted.
        name: The Secret's name, for messages.
        where: The field that names it, for messages.

    Raises:
        InvalidConfigError: It is missing, or a value is not UTF-8.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("..") and path.is_file())
        return {path.name: _read_text(path, SecretKey(name=name, key=path.name), where) for path in files}
    except OSError as error:
        what = f"Secret {name!r}" if name else "the Secret"
        raise InvalidConfigError([f"{where}: {what} in {folder} can't be read: {error.strerror}"]) from error


def _read_text(path: Path, key: SecretKey, where: str) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        # Without the cause, which contains the value.
        raise InvalidConfigError(
            [f"{where}: {key} is not UTF-8 text; put the text itself into the Secret, not in another encoding"]
        ) from None


def _read_url(manifest: RunnerManifest, file: str | None) -> str:
    if manifest.dataset is not None and manifest.dataset.url:
        return manifest.dataset.url
    if file is None:
        raise InvalidConfigError(
            [f"dataset.url: is required (or a mounted file, named by {shared.DATASET_URL_VARIABLE})"]
        )
    source = manifest.dataset.url_from if manifest.dataset is not None else None
    key = source or SecretKey(name="", key=Path(file).name)
    try:
        url = _read_text(Path(file), key, "dataset.url").strip()
    except OSError as error:
        raise InvalidConfigError([f"dataset.url: {key}, mounted as {file}, can't be read: {error.strerror}"]) from error
    if problems := url_problems(url):
        raise InvalidConfigError([f"dataset.url: {p} (from {key})" for p in problems], reason="InvalidDataset")
    return url


# By hand.


def orders_from_file(path: Path, name: str | None = None, stream: str | None = None) -> Orders:
    """The orders from a manifest file.

    Args:
        path: A file of YAML documents: Connector, and if needed Dataset and Secret, as for kubectl.
        name: The Connector's name, if the file has several.
        stream: Replaces the manifest's `selectedStream`; of the manifest's `streams` only this one is left.

    Raises:
        InvalidConfigError: It is not such a file; the message says what was expected and where.
    """
    documents = _load_documents(path)
    connector = _pick_connector(documents, path, name)
    metadata = connector.get("metadata") or {}
    spec = _read_spec(connector, connector_problems, ConnectorSpec)
    secrets = {
        _name_of(document): _secret_values(document) for document in documents if document.get("kind") == "Secret"
    }
    sources = tuple(source.source() for source in spec.config_from)
    used = _find_all(secrets, sources, "spec.configFrom", path)
    target, url = _resolve_dataset(documents, spec, _name_of(connector), secrets, path)
    manifest = RunnerManifest(
        namespace=metadata.get("namespace") or "default", name=_name_of(connector), uid=f"by-hand-{uuid4()}", run=1,
        connector_type=spec.connector_type, config=spec.config, config_from=len(used), secrets=sources, wait=spec.wait,
        stream=spec.selected_stream, streams=spec.streams,
        on_stream_failure=spec.on_stream_failure, dataset=target,
        take_over=spec.take_over and spec.take_over.within(metadata.get("namespace") or "default"),
    )  # fmt: skip
    data = os.environ.get(shared.DATA_DIRECTORY_VARIABLE, ".")
    options = _find_all(secrets, target.options_from, "spec.optionsFrom", path)
    orders = Orders(
        manifest,
        read_secrets=lambda: used,
        read_url=lambda: url,
        directory=Path(data),
        read_option_secrets=lambda: options,
    )
    return orders.of_stream(stream or "")


def _load_documents(path: Path) -> list[dict[str, Any]]:
    try:
        loaded = load_documents(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfigError([f"{path}: {error.strerror}"]) from error
    except (KubectlYamlError, UnicodeDecodeError) as error:
        raise InvalidConfigError([f"{path} is not YAML: {error}"]) from error
    documents: list[dict[str, Any]] = []
    for document in loaded:
        if isinstance(document, dict):
            documents += document.get("items", []) if document.get("kind") == "List" else [document]
    return documents


def _pick_connector(documents: list[dict[str, Any]], path: Path, name: str | None) -> dict[str, Any]:
    connectors = [document for document in documents if document.get("kind") == "Connector"]
    if name is not None:
        connectors = [document for document in connectors if _name_of(document) == name]
    if len(connectors) != 1:
        found = ", ".join(_name_of(document) for document in connectors) or "none"
        raise InvalidConfigError(
            [f"{path}: expected one Connector{f' named {name}' if name else ''}, found {found}; choose with --name"]
        )
    version = connectors[0].get("apiVersion")
    if version != API_VERSION:
        raise InvalidConfigError([f"apiVersion: expected {API_VERSION}, found {version}"])
    return connectors[0]


def _name_of(document: Mapping[str, Any]) -> str:
    name = (document.get("metadata") or {}).get("name")
    if not isinstance(name, str) or not name:
        raise InvalidConfigError([f"metadata.name: is required on the {document.get('kind')}"])
    return name


def _read_spec(document: Mapping[str, Any], find_problems: Callable[[Any], tuple[str, ...]], kind: type[T]) -> T:
    """A document's spec; some fields have no effect by hand, but this accepts and refuses the same documents as kubectl."""
    raw = document.get("spec") or {}
    if problems := find_problems(raw):
        raise InvalidConfigError(list(problems))
    return msgspec.convert(raw, kind)


def _secret_values(document: Mapping[str, Any]) -> dict[str, str]:
    """A Secret's values as texts, by the API server's rules: a value that is not a text in YAML is not converted to one."""
    values: dict[str, str] = {}
    for part in ("data", "stringData"):
        for key, value in (document.get(part) or {}).items():
            where = f"Secret {_name_of(document)}: {part}.{key}"
            if not isinstance(value, str | None):
                raise InvalidConfigError([f"{where} is a {_kind_of(value)} in YAML, not a text; put it in quotes"])
            values[key] = _decoded(value or "", where) if part == "data" else value or ""
    return values


def _decoded(text: str, where: str) -> str:
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode()
    except ValueError as error:
        raise InvalidConfigError([f"{where} is not text in base64"]) from error


def _kind_of(value: Any) -> str:
    return {bool: "boolean", int: "number", float: "number", list: "list"}.get(type(value), "mapping")


def _find_secret(secrets: Mapping[str, Mapping[str, str]], name: str, where: str, path: Path) -> Mapping[str, str]:
    if name not in secrets:
        raise InvalidConfigError(
            [f"{where}: there is no Secret named {name} in {path}; without a cluster it must be in the same file"]
        )
    return secrets[name]


def _find_all(
    secrets: Mapping[str, Mapping[str, str]], sources: Sequence[SecretSource], where: str, path: Path
) -> list[Mapping[str, str]]:
    """The Secrets of these entries, in order; of an optional one that is absent, nothing."""
    return [
        {} if source.optional and source.name not in secrets else _find_secret(secrets, source.name, where, path)
        for source in sources
    ]


def _resolve_dataset(
    documents: list[dict[str, Any]],
    spec: ConnectorSpec,
    connector: str,
    secrets: Mapping[str, Mapping[str, str]],
    path: Path,
) -> tuple[DatasetTarget, str]:
    datasets = {_name_of(document): document for document in documents if document.get("kind") == "Dataset"}
    wanted = dataset_name(spec.dataset_id)
    document = datasets.get(wanted) or datasets.get("default")
    # With many streams it is a template, which has its own default.
    table = "" if spec.streams else spec.dataset_id or re.sub(r"\W", "_", spec.selected_stream or connector)
    if document is None:
        if datasets:
            raise InvalidConfigError(
                [f"spec.datasetId: {path} has no Dataset named {wanted or 'default'}; it has {', '.join(datasets)}"]
            )
        return DatasetTarget(name=wanted or "default", table=table), f"sqlite:///{connector}.db"
    found = _read_spec(document, dataset_problems, DatasetSpec)
    url = found.url
    if found.url_from is not None:
        reference = found.url_from.secret_key_ref
        values = _find_secret(secrets, reference.name, "spec.urlFrom", path)
        if reference.key not in values:
            raise InvalidConfigError([f"spec.urlFrom: Secret {reference.name} has no key {reference.key}"])
        url = values[reference.key].strip()
    return (
        DatasetTarget(
            name=_name_of(document),
            table=found.table or table,
            write_mode=found.write_mode,
            refused_rows=found.refused_rows,
            ledger_schema=found.ledger_schema,
            options=found.options,
            options_from=tuple(source.source() for source in found.options_from),
        ),
        url,
    )
