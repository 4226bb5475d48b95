"""What the cluster shows of an execution that ends, leaves, or is taken away, and what the operator makes of it."""

import pytest

from tests.unit.operator.test_states import make
from tests.unit.operator.world import replace


@pytest.mark.parametrize("is_wiped", [False, True], ids=["", "status-wiped"])
@pytest.mark.parametrize(
    ("change", "row"), [({"selectedStream": "matches"}, "leaving"), ({"status": "stopped"}, "stopping")]
)
def test_a_job_that_failed_while_it_leaves_is_waited_for(change: dict[str, str], row: str, is_wiped: bool) -> None:
    world = make("running")
    world.patch(**change)
    world.settle()
    world.end(143)
    if is_wiped:
        world.status = {}
    assert world.settle().row.name == row
    assert [job.run for job in world.jobs.values() if job.role == "runner"] == [1]
    world.leave()
    world.discover()
    assert world.state == ("stopped" if row == "stopping" else "running")


def test_a_deleted_job_of_the_history_means_nothing() -> None:
    world = make("backoff")
    job = next(iter(world.jobs.values()))
    world.jobs[job.name] = replace(job, deleting=world.now)
    assert world.look().row.name == "backoff"
