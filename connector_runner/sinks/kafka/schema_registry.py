"""A Confluent-compatible schema registry over HTTP, and what its errors mean."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import msgspec

from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError, TransientError
from connector_runner.sinks.kafka.avro import layout_of

SECONDS = 10.0
"""How long one request may take."""
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
HIGHEST = 2**31 - 1
"""The highest id that all readers can read."""
LARGEST = 16 * 1024 * 1024
"""How long an answer may be."""
LONGEST = 2000
"""How much of an answer a message shows."""
CREDENTIALS = "check schema.registry.username and schema.registry.password, or schema.registry.bearer.token"


class SchemaRegistry:
    """Requests to one registry; each blocks.

    Args:
        options: The options of the dataset, checked.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self.where = options["schema.registry.url"].rstrip("/")
        self._registers = options.get("schema.registry.auto.register", "true") == "true"
        self._headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE, **_authorization(options)}
        self._open = urllib.request.build_opener(_NoRedirect, *_tls(options)).open
        self._numbers: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Any] = {}

    def number(self, subject: str, schema: str) -> int:
        """The id of a schema; it is registered if it is not there and the options allow it.

        Raises:
            SchemaConflictError: The registry refuses it, or it is not there and may not be registered.
            ActionRequiredError, TransientError: The registry can't be asked.
        """
        found = self._numbers.get((subject, schema))
        if found is None:
            path = f"/subjects/{quote(subject, safe='')}"
            body = {"schema": schema}
            try:
                answer = self._ask("POST", f"{path}/versions" if self._registers else path, body)
            except _AnsweredError as error:
                raise self._refused(error, subject, schema) from None
            found = _member(self, answer, "id", int)
            self._require_same(found, subject, schema)
            self._numbers[subject, schema] = found
        return found

    def _require_same(self, number: int, subject: str, schema: str) -> None:
        """Checks that readers who ask for this id get this schema: with another one they would read other values."""
        if not 0 <= number <= HIGHEST:
            raise self._unusable(_AnsweredError(200, f"the id {number} does not fit into a record", is_known=False))
        if (found := self._ask_for(number)) is None:  # one node of several may learn of it later
            raise TransientError(
                f"the schema registry {self.where} gave the schema of {subject} the id {number}, but does not have it",
                reason="DatasetUnavailable",
            )
        if layout_of(found) != layout_of(msgspec.json.decode(schema)):
            raise SchemaConflictError(
                f"the schema registry {self.where} answers that the schema of {subject} has the id {number}, but has another schema "
                "under that id, by which readers would read other values; look at what is in front of the registry, or restore it"
            )

    def fits(self, subject: str, schema: str) -> None:
        """Asks whether a schema would be taken; changes nothing.

        Raises:
            SchemaConflictError: It would not.
            ActionRequiredError, TransientError: The registry can't be asked.
        """
        path = f"/subjects/{quote(subject, safe='')}"
        body = {"schema": schema}
        try:
            self._ask("POST", path, body)
        except _AnsweredError as error:
            if error.status != 404 or not error.is_known:
                raise self._refused(error, subject, schema) from None
            if not self._registers:
                raise self._refused(error, subject, schema) from None
        else:
            return
        try:
            answer = self._ask("POST", f"/compatibility{path}/versions/latest?verbose=true", body)
        except _AnsweredError as error:
            if error.status == 404 and error.is_known:  # there is no earlier version
                return
            raise self._refused(error, subject, schema) from None
        if not _member(self, answer, "is_compatible", bool):
            messages = "; ".join(map(str, answer.get("messages") or ())) or "it is not compatible with the last version"
            raise self._refused(_AnsweredError(409, messages, is_known=True), subject, schema)

    def schema(self, number: int) -> Any:
        """The schema that has an id, decoded.

        Raises:
            SchemaConflictError: The registry has none.
            ActionRequiredError, TransientError: The registry can't be asked.
        """
        if number not in self._schemas:
            if (found := self._ask_for(number)) is None:
                raise SchemaConflictError(
                    f"the schema registry {self.where} has no schema with the id {number}, which a record names; the record "
                    "was written with another registry"
                )
            self._schemas[number] = found
        return self._schemas[number]

    def _ask_for(self, number: int) -> Any:
        try:
            answer = self._ask("GET", f"/schemas/ids/{number}")
        except _AnsweredError as error:
            if error.status == 404 and error.is_known:
                return None
            raise self._unusable(error) from None
        try:
            return msgspec.json.decode(_member(self, answer, "schema", str))
        except msgspec.DecodeError:
            raise SchemaConflictError(f"schema {number} of the schema registry {self.where} is not Avro") from None

    def _refused(self, error: _AnsweredError, subject: str, schema: str) -> ActionRequiredError:
        if not error.is_known:
            return self._unusable(error)
        what = {
            404: f"has no such schema under {subject}, and schema.registry.auto.register is false; register this one: {schema}",
            409: f"refuses the schema of {subject}: {error}; change the compatibility of that subject, or write into another topic",
            422: f"does not take the schema of {subject}: {error}; the schema: {schema}",
        }.get(error.status)
        return (
            self._unusable(error) if what is None else SchemaConflictError(f"the schema registry {self.where} {what}")
        )

    def _unusable(self, error: _AnsweredError) -> ActionRequiredError:
        return ActionRequiredError(
            f"{self.where} does not answer as a Confluent-compatible schema registry does ({error.status}: {error}); check "
            "schema.registry.url, with its path (Apicurio: …/apis/ccompat/v7)",
            reason="InvalidDataset",
        )

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(self.where + path, data, self._headers, method=method)  # noqa: S310 - checked
        try:
            with self._open(request, timeout=SECONDS) as answer:
                text = _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                self._raise(error.code, _read(error))
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        return _decoded(text, 200)

    def _raise(self, status: int, text: bytes) -> NoReturn:
        """Raises the error for an answer that is not the one that was asked for."""
        said = str(_decoded(text, status, or_empty=True).get("message") or text[:LONGEST].decode(errors="replace"))[
            :LONGEST
        ]
        name = f"the schema registry {self.where}"
        if status == 401:
            raise ActionRequiredError(f"{name} does not know the runner; {CREDENTIALS}", reason="WrongCredentials")
        if status == 403:
            raise ActionRequiredError(f"{name} does not allow it ({said}); {CREDENTIALS}", reason="NotAllowed")
        if status in {408, 429} or status >= 500:
            raise TransientError(f"{name} answers {status}: {said}", reason="DatasetUnavailable")
        is_known = "error_code" in _decoded(text, status, or_empty=True)
        raise _AnsweredError(status, said, is_known=is_known)

    def _unreachable(self, error: Exception) -> Exception:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ActionRequiredError(
                f"the certificate of the schema registry {self.where} is not trusted ({cause.verify_message}); set the option "
                "schema.registry.ca.pem to the authority that has signed it",
                reason="TlsProblem",
            )
        if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
            return ActionRequiredError(
                f"the schema registry {self.where} does not speak TLS on this port; check schema.registry.url",
                reason="TlsProblem",
            )
        return TransientError(
            f"the schema registry {self.where} can't be reached: {cause}", reason="DatasetUnavailable"
        )


class _AnsweredError(Exception):
    """A refusal.

    Attributes:
        status: The status of HTTP.
        is_known: Whether it has the form of a registry's errors.
    """

    def __init__(self, status: int, said: str, *, is_known: bool) -> None:
        super().__init__(said)
        self.status = status
        self.is_known = is_known


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the credentials would go along."""

    def redirect_request(self, *_: Any) -> None:
        """See `HTTPRedirectHandler`."""


def _authorization(options: Mapping[str, str]) -> dict[str, str]:
    if token := options.get("schema.registry.bearer.token"):
        return {"Authorization": f"Bearer {token}"}
    if (user := options.get("schema.registry.username")) is not None:
        pair = f"{user}:{options.get('schema.registry.password', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _tls(options: Mapping[str, str]) -> list[urllib.request.HTTPSHandler]:
    if (pem := options.get("schema.registry.ca.pem")) is None:
        return []
    try:
        return [urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=pem))]
    except ssl.SSLError:
        raise ActionRequiredError(
            "dataset.options: schema.registry.ca.pem holds no certificate", reason="InvalidDataset"
        ) from None


def _read(answer: Any) -> bytes:
    """The whole answer, if it comes in time: each part that does starts the time for the next one anew."""
    end, text = time.monotonic() + SECONDS, b""
    while part := answer.read1(64 * 1024):
        text += part
        if time.monotonic() >= end or len(text) > LARGEST:
            raise TimeoutError(f"the answer does not end, after {len(text)} bytes")
    return text


def _decoded(text: bytes, status: int, *, or_empty: bool = False) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        if or_empty:
            return {}
        raise _AnsweredError(status, text[:LONGEST].decode(errors="replace"), is_known=False) from None


def _member(registry: SchemaRegistry, answer: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(found := answer.get(name), kind):
        raise registry._unusable(_AnsweredError(200, f"{name} is missing", is_known=False))
    return found
