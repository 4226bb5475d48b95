"""What a command works on: in a pod from the environment, by hand from the very manifests that kubectl applies."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import yaml

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.registry import SourceRegistry
from connector_runner.schemas import manifest as shared
from connector_runner.schemas.config import config_problems, fill_defaults, merge_config
from connector_runner.schemas.manifest import DatasetTarget, RunnerManifest, parse_manifest

API_VERSION = "apperate.io/v1"
Secrets = Sequence[Mapping[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Orders:
    """A manifest with what it refers to.

    Attributes:
        manifest: As the operator writes it.
        read_secrets: The `configFrom` Secrets in order, as they are now.
        read_url: The dataset's URL, as it is now.
        directory: Where relative file URLs start.
        watched: Folders and files whose contents may be rotated.
    """

    manifest: RunnerManifest
    read_secrets: Callable[[], Secrets]
    read_url: Callable[[], str]
    directory: Path
    watched: tuple[Path, ...] = ()

    @property
    def connector(self) -> str:
        """`namespace/name`."""
        return f"{self.manifest.namespace}/{self.manifest.name}"

    def in_namespace(self, namespace: str) -> Orders:
        """The same as if they had been applied there: a checkpoint belongs to a connector of a namespace."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, namespace=namespace))

    def config(self, registry: SourceRegistry) -> dict[str, Any]:
        """The configuration, merged with its Secrets, filled and checked.

        Raises:
            InvalidConfigError: With every problem, each with its JSON path.
        """
        try:
            schema = registry.schema(self.manifest.connector_type)
        except LookupError as error:
            raise InvalidConfigError([str(error.args[0])]) from None
        merged = fill_defaults(merge_config(self.manifest.config, self.read_secrets(), schema), schema)
        if problems := config_problems(merged, schema):
            raise InvalidConfigError(problems)
        return merged

    def target(self) -> DatasetTarget:
        """The dataset.

        Raises:
            InvalidConfigError: The manifest has none.
        """
        if self.manifest.dataset is None:
            raise InvalidConfigError(["dataset: is required"])
        return self.manifest.dataset


def orders_from_environment(environment: Mapping[str, str] | None = None) -> Orders:
    """What the operator asks for.

    Raises:
        InvalidConfigError: The environment has no (valid) manifest.
    """
    environment = os.environ if environment is None else environment
    text = environment.get(shared.MANIFEST_VARIABLE)
    if not text:
        raise InvalidConfigError([f"give a manifest with -f FILE (or, in a pod, in {shared.MANIFEST_VARIABLE})"])
    try:
        manifest = parse_manifest(text)
    except msgspec.MsgspecError as error:
        raise InvalidConfigError([f"{shared.MANIFEST_VARIABLE}: {error}"]) from error
    folder = Path(environment.get(shared.CONFIG_DIRECTORY_VARIABLE, shared.CONFIG_DIRECTORY))
    url_file = environment.get(shared.DATASET_URL_VARIABLE)
    secrets = tuple(folder / str(index) for index in range(manifest.config_from))
    watched = (*secrets, *([Path(url_file)] if url_file else []))
    return Orders(
        manifest,
        read_secrets=lambda: [read_secret_folder(path) for path in secrets],
        read_url=lambda: _read_url(manifest, url_file),
        directory=Path(environment.get(shared.DATA_DIRECTORY_VARIABLE, ".")),
        watched=watched,
    )


def read_secret_folder(folder: Path) -> dict[str, str]:
    """A mounted Secret: one file a key; Kubernetes' own `..data` links are left out.

    Raises:
        InvalidConfigError: It is not there, or a value is not UTF-8.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("..") and path.is_file())
        return {path.name: path.read_text(encoding="utf-8") for path in files}
    except UnicodeDecodeError as error:
        raise InvalidConfigError([f"configFrom: a value of the Secret in {folder} is not UTF-8 text"]) from error
    except OSError as error:
        raise InvalidConfigError([f"configFrom: the Secret in {folder} can't be read: {error.strerror}"]) from error


def _read_url(manifest: RunnerManifest, file: str | None) -> str:
    if manifest.dataset is not None and manifest.dataset.url:
        return manifest.dataset.url
    if file is None:
        raise InvalidConfigError(
            [f"dataset.url: is required (or a mounted file, named by {shared.DATASET_URL_VARIABLE})"]
        )
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidConfigError([f"dataset.url: the mounted file {file} can't be read: {error.strerror}"]) from error


# By hand.


class _SecretRef(msgspec.Struct):
    name: str


class _ConfigFrom(msgspec.Struct, rename="camel"):
    secret_ref: _SecretRef


# By hand some fields mean nothing, but whatever kubectl takes is taken.
class _ConnectorSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    connector_type: str
    description: str = ""
    dataset_id: str = ""
    wait: bool = True
    config: dict[str, Any] = {}
    config_from: list[_ConfigFrom] = []
    selected_stream: str = ""
    status: str = ""
    restarted_at: str = ""
    rediscover_at: str = ""
    runner: dict[str, Any] = {}


class _SecretKeyRef(msgspec.Struct):
    name: str
    key: str


class _UrlFrom(msgspec.Struct, rename="camel"):
    secret_key_ref: _SecretKeyRef


class _DatasetSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    url: str = ""
    url_from: _UrlFrom | None = None
    volume_claim: str = ""
    table: str = ""
    refused_rows: str = "deadLetter"
    write_mode: str = "upsert"


def dataset_name(dataset_id: str) -> str:
    """The name of the Dataset that a `datasetId` means: lower case, `_` as `-`, trimmed."""
    return dataset_id.lower().replace("_", "-").strip("-")


def orders_from_file(path: Path, name: str | None = None, stream: str | None = None) -> Orders:
    """What a manifest file asks for.

    Args:
        path: YAML documents: Connector, and as needed Dataset and Secret, as kubectl takes them.
        name: Which Connector, where the file has several.
        stream: Instead of the manifest's `selectedStream`.

    Raises:
        InvalidConfigError: Not such a file; the message says what was expected where.
    """
    documents = _load_documents(path)
    connector = _pick_connector(documents, path, name)
    metadata = connector.get("metadata") or {}
    spec = _convert(connector.get("spec") or {}, _ConnectorSpec, "spec")
    secrets = {
        _name_of(document): _secret_values(document) for document in documents if document.get("kind") == "Secret"
    }
    used = [_find_secret(secrets, ref.secret_ref.name, "spec.configFrom", path) for ref in spec.config_from]
    target, url = _resolve_dataset(documents, spec, _name_of(connector), secrets, path)
    manifest = RunnerManifest(
        namespace=metadata.get("namespace") or "default", name=_name_of(connector), uid=f"by-hand-{uuid4()}", run=1,
        connector_type=spec.connector_type, config=spec.config, config_from=len(used), wait=spec.wait,
        stream=stream if stream is not None else spec.selected_stream, dataset=target,
    )  # fmt: skip
    data = os.environ.get(shared.DATA_DIRECTORY_VARIABLE, ".")
    return Orders(manifest, read_secrets=lambda: used, read_url=lambda: url, directory=Path(data))


def _load_documents(path: Path) -> list[dict[str, Any]]:
    try:
        loaded = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidConfigError([f"{path}: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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


def _convert(value: Any, kind: type[T], path: str) -> T:
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidConfigError([re.sub(r"`\$\.?", f"`{path}.", f"{path}: {error}")]) from error


def _secret_values(document: Mapping[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        for key, text in (document.get("data") or {}).items():
            values[key] = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise InvalidConfigError([f"Secret {_name_of(document)}: data.{key} is not text in base64"]) from error
    return values | {key: str(text) for key, text in (document.get("stringData") or {}).items()}


def _find_secret(secrets: Mapping[str, Mapping[str, str]], name: str, where: str, path: Path) -> Mapping[str, str]:
    if name not in secrets:
        raise InvalidConfigError(
            [f"{where}: there is no Secret named {name} in {path}; by hand it must be in the same file"]
        )
    return secrets[name]


def _resolve_dataset(
    documents: list[dict[str, Any]],
    spec: _ConnectorSpec,
    connector: str,
    secrets: Mapping[str, Mapping[str, str]],
    path: Path,
) -> tuple[DatasetTarget, str]:
    datasets = {_name_of(document): document for document in documents if document.get("kind") == "Dataset"}
    wanted = dataset_name(spec.dataset_id)
    document = datasets.get(wanted) or datasets.get("default")
    table = spec.dataset_id or re.sub(r"\W", "_", spec.selected_stream or connector)
    if document is None:
        if datasets:
            raise InvalidConfigError(
                [f"spec.datasetId: {path} has no Dataset named {wanted or 'default'}; it has {', '.join(datasets)}"]
            )
        return DatasetTarget(name=wanted or "default", table=table), f"sqlite:///{connector}.db"
    found = _convert(document.get("spec") or {}, _DatasetSpec, "spec")
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
        ),
        url,
    )
