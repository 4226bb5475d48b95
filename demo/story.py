"""The story of one connector, as data: what a user types, and what must be seen then.

docs/demo.md shows the same commands, a test runs them on the test cluster, and `python -m demo` walks through them: one
list, so that none of the three can become outdated.
"""

from __future__ import annotations

from dataclasses import dataclass

# Titles of steps between which something is measured.
APPLY, START, FIRST_ROWS, STOP = "A connector", "Start it", "Rows arrive", "Stop it"


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what its output must contain.

    Attributes:
        title: What it is for.
        command: As typed in a shell at the top of the checkout.
        expect: Regular expression that the output (standard output and error) must match.
        within: For how many seconds the command is repeated until it does; 0: one attempt.
    """

    title: str
    command: str
    expect: str
    within: float = 0


LOOK = (
    "kubectl delete job rows --ignore-not-found --wait && kubectl apply -f demo/rows.yaml && "
    "kubectl wait --for=condition=Complete job/rows --timeout=60s && "
    "kubectl logs job/rows | awk 'NR <= 4; END {print NR - 1 \" rows\"}'"
)

STORY: tuple[Step, ...] = (
    Step(
        "A dataset: an SQLite file on a volume",
        "kubectl apply -f demo/dataset.yaml",
        r"dataset.apperate.io/your-dataset created",
    ),
    Step(APPLY, "kubectl apply -f demo/connector.yaml", r"connector.apperate.io/your-connector created"),
    Step(
        "It asks the source for its streams: pending, then received",
        "kubectl wait connector/your-connector --for=jsonpath='{.status.state.status}'=received --timeout=120s",
        r"condition met",
    ),
    Step(
        "These are the streams",
        "kubectl get connector your-connector -o jsonpath='{range .status.streams[*]}{.id}{\"\\n\"}{end}'",
        r"(?m)^ticker$",
    ),
    Step(
        "Select one",
        """kubectl patch connector your-connector --type=merge -p '{"spec": {"selectedStream": "ticker"}}'""",
        r"patched",
    ),
    Step(
        "Now it is ready",
        "kubectl wait connector/your-connector --for=jsonpath='{.status.state.status}'=ready --timeout=60s",
        r"condition met",
    ),
    Step(
        START,
        """kubectl patch connector your-connector --type=merge -p '{"spec": {"status": "running"}}'""",
        r"patched",
    ),
    Step(
        "It runs",
        "kubectl wait connector/your-connector --for=jsonpath='{.status.state.status}'=running --timeout=60s",
        r"condition met",
    ),
    Step(
        "The runner is ready",
        "kubectl wait connector/your-connector --for=condition=Ready --timeout=120s",
        r"condition met",
    ),
    Step(
        "The execution",
        "kubectl get connector your-connector -o jsonpath='{.status.state.execId}'",
        r"namespaces/[a-z0-9-]+/jobs/your-connector/executions/your-connector-[a-z0-9]{5}",
    ),
    Step("All on one line", "kubectl get connectors", r"your-connector +COINBASE +ticker +\S+ +running +True"),
    Step(FIRST_ROWS, LOOK, r"\b[1-9]\d* rows\b", within=90),
    Step("… and more of them", LOOK, r"\b[1-9]\d{2,} rows\b", within=180),
    Step(
        STOP,
        """kubectl patch connector your-connector --type=merge -p '{"spec": {"status": "stopped"}}'""",
        r"patched",
    ),
    Step(
        "No pod is left",
        "kubectl wait connector/your-connector --for=jsonpath='{.status.state.status}'=stopped --timeout=120s",
        r"condition met",
    ),
    Step(
        "Start it again: it goes on where it was",
        """kubectl patch connector your-connector --type=merge -p '{"spec": {"status": "running"}}'""",
        r"patched",
    ),
    Step(
        "A new execution",
        "kubectl wait connector/your-connector --for=jsonpath='{.status.run}'=2 --timeout=60s",
        r"condition met",
    ),
    Step(
        "It is ready, too",
        "kubectl wait connector/your-connector --for=condition=Ready --timeout=120s",
        r"condition met",
    ),
    Step("Delete it", "kubectl delete connector your-connector --timeout=120s", r"deleted"),
    Step(
        "Nothing runs any more; the rows stay",
        "kubectl get jobs,pods -l apperate.io/connector=your-connector",
        r"No resources found",
        within=60,
    ),
)
