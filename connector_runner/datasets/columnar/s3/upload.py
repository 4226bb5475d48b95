"""Uploads a file to S3 while it is written, in parts; each is kept until the store has it, so that a cut connection loses nothing."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa

from connector_runner.datasets.columnar.s3.bucket import Bucket
from connector_runner.datasets.columnar.s3.client import Answer, refusal, request
from connector_runner.protocols.errors import ConnectorError

PART_BYTES = 8 << 20
"""The size of a part; S3 takes no smaller ones than 5 MiB, but for the last."""


class Upload:
    """A `StagedOutput` in a bucket.

    Args:
        bucket: Where the dataset is.
        path: Bucket and path of the file.
    """

    def __init__(self, bucket: Bucket, path: str) -> None:
        self._bucket = bucket
        self._name = path.removeprefix(f"{bucket.base}/")
        self._collected = _Collected(self)
        self.file = pa.PythonFile(self._collected, mode="w")
        self._id = ""
        self._unsent: dict[int, bytes] = {}
        self._tags: dict[int, str] = {}

    @property
    def held(self) -> int:
        """See `StagedOutput.held`."""
        return len(self._collected.rest) + sum(map(len, self._unsent.values()))

    def add_part(self, part: bytes) -> None:
        """Takes the next part; a store that can't be reached now gets it with a later one, or at the end."""
        self._unsent[len(self._unsent) + len(self._tags) + 1] = part
        with suppress(ConnectorError):
            self._send()

    def finish(self) -> None:
        """See `StagedOutput.finish`.

        Raises:
            ActionRequiredError: The store refuses it.
        """
        rest = self._collected.rest
        if not self._unsent and not self._tags:
            self._ask("PUT", _checked(rest), bytes(rest))
            rest.clear()
            return
        if rest:
            self._unsent[len(self._unsent) + len(self._tags) + 1] = bytes(rest)
            rest.clear()
        self._send()
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in self._tags.items()
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._request("POST", {}, body, {"uploadId": self._id})
        # After a lost answer it is complete, and the store may know this upload no more.
        if answer.status == 404 and self._request("HEAD").status == 200:
            return
        if answer.status != 200 or "<Error>" in answer.text:
            raise refusal(self._bucket, answer)

    def _send(self) -> None:
        if not self._id:
            answer = self._ask("POST", query={"uploads": ""})
            found = re.search(r"<UploadId>([^<]+)</UploadId>", answer.text)
            if found is None:
                raise refusal(self._bucket, answer)
            self._id = found[1]
        for number, part in list(self._unsent.items()):
            query = {"partNumber": str(number), "uploadId": self._id}
            self._tags[number] = self._ask("PUT", _checked(part), part, query).tag
            del self._unsent[number]

    def abandon(self) -> None:
        """See `StagedOutput.abandon`."""
        if self._id:
            with suppress(ConnectorError):
                self._request("DELETE", query={"uploadId": self._id})

    def _ask(
        self,
        method: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self._request(method, headers, body, query)
        if answer.status not in {200, 204}:
            raise refusal(self._bucket, answer)
        return answer

    def _request(
        self,
        method: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        return request(self._bucket, method, self._name, dt.datetime.now(dt.UTC), headers or {}, body, query or {})


def _checked(body: bytes | bytearray) -> dict[str, str]:
    """The header by which the store finds out whether a body arrived as it was sent."""
    return {"content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


class _Collected:
    """What Arrow writes to: collects bytes until there is a part of them.

    Attributes:
        rest: What is not in a part yet.
    """

    closed = False

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.rest = bytearray()

    def write(self, data: bytes) -> int:
        """Takes bytes."""
        self.rest += data
        while len(self.rest) >= PART_BYTES:
            part = bytes(self.rest[:PART_BYTES])
            del self.rest[:PART_BYTES]
            self._upload.add_part(part)
        return len(data)

    def flush(self) -> None:
        """Does nothing: parts are sent when they are whole."""

    def close(self) -> None:
        """Does nothing: `Upload.finish` ends it."""
