"""Groups without rows: only the newest position and the last place of each stream count."""

from __future__ import annotations

from connector_runner.pipeline.queue import Group


def only_last(group: Group) -> Group:
    """The group with only the last batch of each stream; for groups without rows."""
    batches = group.batches
    if len(batches) > 1:
        last = {batch.schema.stream: batch for batch in batches}
        last[batches[-1].schema.stream] = last.pop(batches[-1].schema.stream)  # its position is the newest one
        group.batches = list(last.values())
    return group


def keep_places(quiet: Group, group: Group) -> Group:
    """The group, preceded by the places that earlier batches without rows gave for streams that are not in it."""
    if quiet.identity == group.identity:
        kept = [b for b in quiet.batches if b.place is not None and b.schema.stream not in group.schemas]
        group.batches = kept + group.batches
        group.schemas.update({batch.schema.stream: batch.schema for batch in kept})
    return group
