"""`streams --all`: every stream of a source, by a Job of the person's own that lists them and writes nothing."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from connector_operator.kubectl.asking import asking
from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.workloads.asked_jobs import NotPossibleError, UnknownImageError, find_end, read_last_words
from connector_operator.workloads.streams_jobs import build_streams_job
from connector_runner.schemas.catalogue import read_lines


def with_all_streams(cluster: Cluster, connector: Json, flags: Namespace) -> Json:
    """The Connector as if its status listed all streams of its source, as far as `like` takes them in.

    Raises:
        RefusedError: They can't be listed, not all arrived, or the API server refuses.
    """
    try:
        body = build_streams_job(connector, flags.timeout, flags.like, flags.image)
    except UnknownImageError as error:
        raise RefusedError(f"{error} Name one by --image.") from None
    except NotPossibleError as error:
        raise RefusedError(str(error)) from None
    with asking(cluster, flags.namespace, body, flags.timeout, f"Listing the streams of {flags.name}") as (code, pod):
        if code:
            words = ": ".join(filter(None, read_last_words(find_end(pod) or {})))
            raise RefusedError(
                f"The streams of {flags.name} can't be listed (exit code {code}): {words or 'no words were left.'}"
            )
        found = read_lines(cluster.read_log(flags.namespace, pod["metadata"]["name"]))
    if found is None:
        raise RefusedError(
            "The list did not arrive whole: its log was cut, or the runner's image is of a version without `discover -o lines`. "
            "Ask for fewer by --like, or name a newer --image."
        )
    listed = msgspec.json.decode(msgspec.json.encode(found))
    return {**connector, "status": {**(connector.get("status") or {}), "streams": listed, "streamsTotal": len(listed)}}
