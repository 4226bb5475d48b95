"""The alert rules: one table. Expressions keep only the labels that name an object, so that an alert outlives a change of pod.

What alternates (a reason, a retry, an execution that replaces another) is looked at over a few minutes, so that it does not
interrupt the alert.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

CONNECTOR = "{{ $labels.namespace }}/{{ $labels.name }}"
DESCRIBE = "Why, and what to do: kubectl describe connector {{ $labels.name }} --namespace {{ $labels.namespace }}"
RUNNERS_LOG = "kubectl logs --namespace {{ $labels.namespace }} --selector apperate.io/connector={{ $labels.name }},apperate.io/role=runner"
OBJECT = "max by (namespace, name, type)"
NAMED = "max by (namespace, name)"
REASON_OF = "connector_operator_connector_reason{namespace=%q,name=%q} == 1"
ELSE = "Read the message of its conditions: it says what to do."


class Alert(NamedTuple):
    """One rule.

    Attributes:
        wait: How long the expression must hold; empty: not at all.
        runbook: Where a person reads on.
        remedy: What helps; empty: the description says it.
        keep: How long the alert goes on after the expression held last; empty: not at all.
    """

    name: str
    expression: str
    wait: str
    severity: str
    summary: str
    description: str
    runbook: str
    remedy: str = ""
    keep: str = ""


def _ask(query: str, label: str, otherwise: str = "", change: str = "") -> str:
    """A text from another series of the object that an alert is about; `query` has namespace and name as two %q."""
    fallback = "{{ else }}" + otherwise if otherwise else ""
    pipe = f" | {change}" if change else ""
    return (
        f"{{{{ range printf `{query}` $labels.namespace $labels.name | query }}}}"
        f"{{{{ .Labels.{label}{pipe} }}}}{fallback}{{{{ end }}}}"
    )


def _reason(condition: str = "", change: str = "") -> str:
    return _ask(f"max by (reason) ({_reason_query(condition)})", "reason", change=change)


def _reason_query(condition: str) -> str:
    if not condition:
        return REASON_OF
    return f'connector_operator_connector_condition_unmet{{namespace=%q,name=%q,condition="{condition}"}} == 1'


def _remedy(condition: str = "") -> str:
    query = f"max by (remedy) (connector_operator_reason_info and on (reason) ({_reason_query(condition)}))"
    return _ask(query, "remedy", ELSE)


def _row(condition: str = "") -> str:
    """The row of the reason of the moment."""
    return "docs/reasons.md#" + _reason(condition, "toLower")


def _since(counter: str) -> str:
    """What a counter has gained in 15 minutes, also one that was above 0 when it was scraped first."""
    new = f"last_over_time({counter}[15m]) unless {counter} offset 15m"
    return f"sum by (namespace, name) (({new}) or increase({counter}[15m])) > 0"


CONNECTORS = (
    Alert(
        "ConnectorStalled", f"{OBJECT} (connector_operator_connector_stalled) == 1", "1m", "critical",
        f"Connector {CONNECTOR} needs a person: {_reason()}", DESCRIBE, _row(), _remedy(), keep="2m",
    ),
    Alert(
        "ConnectorNotReady",
        f"{OBJECT} (connector_operator_connector_ready) == 0 unless on (namespace, name) min_over_time(connector_operator_connector_stalled[2m]) == 1",
        "10m", "warning", f"Connector {CONNECTOR} has not been ready for 10 minutes: {_reason()}", DESCRIBE, _row(), _remedy(),
    ),
    Alert(
        "ConnectorCrashLoop",
        f'{OBJECT} (max_over_time(connector_operator_connector_reason{{reason="CrashLoop"}}[10m])) == 1 '
        'and on (namespace, name) connector_operator_connector_ready unless on (namespace, name) connector_operator_connector_reason{reason="Stopped"} == 1',
        "1m", "critical", f"Connector {CONNECTOR}: five executions in a row or more have failed",
        "The last words: kubectl get connector {{ $labels.name }} --namespace {{ $labels.namespace }} -o jsonpath='{.status.lastExecution}'",
        "docs/reasons.md#crashloop", "Read what the last execution said, and its log; a change of the spec starts the next one at once.",
    ),
    Alert(
        "ConnectorStreamsFailed",
        f'{NAMED} (max_over_time(connector_operator_connector_condition_unmet{{condition="StreamsHealthy",reason="StreamsFailed"}}[5m]) '
        'or max_over_time(connector_streams{state="failed"}[5m]) > 0)',
        "5m", "warning", f"Connector {CONNECTOR}: streams of its selection have failed and are paused; the others continue",
        "Which, and why: kubectl get connector {{ $labels.name }} --namespace {{ $labels.namespace }} -o jsonpath='{.status.progress.failures}'",
        "docs/reasons.md#streamsfailed", "Fix the cause that each of them names; a stream is tried again by itself and continues where it was paused.",
    ),
    Alert(
        "ConnectorSelectionNotApplied",
        f'{OBJECT} (max_over_time(connector_operator_connector_condition_unmet{{condition="SelectionApplied",reason!="SelectionChanging"}}[5m])) '
        'and on (namespace, name) connector_operator_connector_condition_unmet{condition="SelectionApplied"}',
        "5m", "warning", f"Connector {CONNECTOR} goes on with an earlier selection of streams: {_reason('SelectionApplied')}",
        DESCRIBE, _row("SelectionApplied"), _remedy("SelectionApplied"),
    ),
    Alert(
        "ConnectorImageRolloutStopped",
        f'{OBJECT} (max_over_time(connector_operator_connector_condition_unmet{{condition="RunnerUpToDate",reason="UpdateFailed"}}[5m])) '
        'and on (namespace, name) connector_operator_connector_condition_unmet{condition="RunnerUpToDate"}',
        "1m", "critical", f"The roll-out of a runner's image has stopped at Connector {CONNECTOR}; all others keep their image",
        DESCRIBE, "docs/reasons.md#updatefailed",
        "Set a fixed image (it is tried here at once), or stop this connector, or have others follow by spec.restartedAt.",
    ),
    Alert(
        "DatasetRolloutStopped",
        f'{NAMED} (connector_operator_dataset_condition_unmet{{condition="RolledOut",reason="Waiting"}}) == 1',
        "5m", "warning", f"A change of Dataset {CONNECTOR} has stopped: the connectors that followed it are not ready",
        "Which: kubectl describe dataset {{ $labels.name }} --namespace {{ $labels.namespace }}", "docs/reasons.md#waiting",
        "Fix the Dataset or the connectors that it names, or have others follow by spec.restartedAt.",
    ),
)  # fmt: skip
RUNNERS = (
    Alert(
        "ConnectorLag", f"{NAMED} (max_over_time(connector_lag_seconds[5m])) > 300", "10m", "warning",
        f"Connector {CONNECTOR} is {{{{ $value | humanizeDuration }}}} behind its source",
        f"A first copy or a backfill is behind until it is done. Its log: {RUNNERS_LOG}", "docs/monitoring.md#connectorlag",
    ),
    Alert(
        "ConnectorDeadLetters", _since("connector_dead_letters_total"), "", "warning",
        f"Connector {CONNECTOR}: the dataset has refused rows", "They lie, with the error, in the table of dead letters beside the rows.",
        "docs/guarantees.md",
    ),
    Alert(
        "ConnectorIncidents", _since('connector_events_total{event="incidents"}'), "", "warning",
        f"Connector {CONNECTOR}: something happened that readers of the dataset should know",
        "A gap, a repeated copy, a truncation: the table of incidents beside the rows has it.", "docs/guarantees.md",
    ),
)  # fmt: skip
OPERATOR = (
    Alert(
        "ConnectorOperatorAbsent", "absent(connector_operator_leader == 1)", "5m", "critical",
        "No operator is active; connectors run on, but nothing is started, stopped or restarted",
        "kubectl get pods --all-namespaces --selector app.kubernetes.io/name=connector-operator", "docs/monitoring.md#connectoroperatorabsent",
    ),
    Alert(
        "ConnectorVisitsWait", "max by (namespace) (connector_operator_queue_age_seconds) > 60", "5m", "warning",
        "Changes of connectors wait for the operator for more than a minute",
        "Raise --workers or --requests-per-second, or look for an API server that is slow.", "docs/settings.md",
    ),
    Alert(
        "ConnectorWatchStale",
        "max by (namespace) (connector_operator_watch_age_seconds > 3600 and connector_operator_watch_age_seconds > 3 * connector_operator_resync_seconds)",
        "", "warning", "What the operator knows of the cluster was not compared with the API server for an hour",
        "The log of the pod with the label app.kubernetes.io/name=connector-operator says why.", "docs/monitoring.md#connectorwatchstale",
    ),
)  # fmt: skip
GROUPS = {"connectors": CONNECTORS, "runners": RUNNERS, "connector-operator": OPERATOR}
ALERTS = (*CONNECTORS, *RUNNERS, *OPERATOR)


def build_rule(alert: Alert) -> dict[str, Any]:
    """A rule as Prometheus reads it."""
    remedy = {"remedy": alert.remedy} if alert.remedy else {}
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **({"for": alert.wait} if alert.wait else {}),
        **({"keep_firing_for": alert.keep} if alert.keep else {}),
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            **remedy,
            "runbook": alert.runbook,
        },
    }


def build_rules() -> str:
    """`manifests/monitoring/rules.yaml`."""
    groups = [{"name": name, "rules": [build_rule(alert) for alert in alerts]} for name, alerts in GROUPS.items()]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "connectors"},
        "spec": {"groups": groups},
    }
    head = "# Generated by `make generate` from generate/monitoring/alerts.py.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, width=10_000, allow_unicode=True)
