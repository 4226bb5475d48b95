"""Names that only the operator uses: of labels, and of objects that are derived from a Connector. The others: `kinds/naming`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from connector_runner.schemas.kinds.naming import GROUP, LABEL_MANAGED_BY

MANAGER = "connector-operator"
"""Field manager of everything that the operator applies, and the value of `app.kubernetes.io/managed-by`."""

LABEL_CONNECTOR = f"{GROUP}/connector"
LABEL_ROLE = f"{GROUP}/role"
LABEL_RUN = f"{GROUP}/run"
LABEL_CHECK = f"{GROUP}/check"
"""Of the Jobs that `kubectl connectors check` makes: the connector; the operator does not look at them."""
LABEL_ROWS = f"{GROUP}/rows"
"""Of the Jobs that show the newest rows, for the console and for `kubectl connectors rows`: as above."""
LABEL_STREAMS = f"{GROUP}/streams"
"""Of the Jobs that list all streams of a source for `kubectl connectors streams --all`: as above."""
OWN_LABELS = (LABEL_MANAGED_BY, LABEL_CONNECTOR, LABEL_ROLE, LABEL_RUN)
ANNOTATION_UID = f"{GROUP}/connector-uid"
ANNOTATION_SPEC = f"{GROUP}/spec-hash"
ANNOTATION_SELECTION = f"{GROUP}/selection-hash"
ANNOTATION_DATASET = f"{GROUP}/dataset-hash"
ANNOTATION_CONFIG = f"{GROUP}/config-hash"
ANNOTATION_REDISCOVER = f"{GROUP}/rediscover-at"
ANNOTATION_STREAM = f"{GROUP}/stream"
ANNOTATION_IMAGE = f"{GROUP}/runner-image"
ANNOTATION_DEFAULTS = f"{GROUP}/defaults-hash"

CONTAINER = "runner"
"""The name of our container: admission may add others to the pod, also before it."""

ROLE_DISCOVERY = "discovery"
ROLE_RUNNER = "runner"

LARGEST_COUNT = 10**12
"""No count of runs or attempts gets this high; a higher one was written by hand, and its object counts as absent."""

# No vowels, so that it forms no words; no 0, 1, l, which look alike (Kubernetes does the same for pods).
_SUFFIX_ALPHABET = "bcdfghjkmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5


def canonical_json(value: Any) -> str:
    """Equal values give equal texts: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_value(value: Any) -> str:
    """Sixteen hexadecimal characters that stand for a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def _suffix(*parts: str | int) -> str:
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")
    letters = []
    for _ in range(_SUFFIX_LENGTH):
        number, digit = divmod(number, len(_SUFFIX_ALPHABET))
        letters.append(_SUFFIX_ALPHABET[digit])
    return "".join(letters)


def execution_job_name(connector: str, uid: str, run: int) -> str:
    """The Job of one execution: the same for the same Connector object and run, so that creating it twice makes one."""
    return f"{connector}-{_suffix(uid, ROLE_RUNNER, run)}"


def discovery_job_name(connector: str, uid: str, attempt: int) -> str:
    """The Job of one attempt to list the streams."""
    return f"{connector}-{_suffix(uid, ROLE_DISCOVERY, attempt)}"


def orders_name(job: str) -> str:
    """The ConfigMap with the orders of an execution that have changed since it was started."""
    return f"{job}-orders"


def is_derived(job: str, connector: str, uid: str, role: str, run: int) -> bool:
    """Whether a Job's name is derived from its connector, role and run: a copy, or a foreign Job, has another."""
    if role == ROLE_RUNNER:
        return job == execution_job_name(connector, uid, run)
    return role == ROLE_DISCOVERY and job == discovery_job_name(connector, uid, run)


def execution_id(namespace: str, connector: str, job: str) -> str:
    """`execId` as the Connectors API shows it; its last part is the Job's name."""
    return f"namespaces/{namespace}/jobs/{connector}/executions/{job}"


def job_of_execution(execution: str) -> str:
    """The Job's name in an `execId`; "" if there is none."""
    return execution.rpartition("/")[2]
