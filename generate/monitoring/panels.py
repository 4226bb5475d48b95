"""The dashboard's content: rows of panels, each with its queries. What Grafana needs around them: `dashboard`.

`$namespace` (one, several or all) and `$connector` (one) are chosen at the top of the dashboard.
"""

from __future__ import annotations

from typing import NamedTuple

FLEET = 'namespace=~"$namespace"'
ONE = f'{FLEET},name="$connector"'
NAMED = "{{namespace}}/{{name}}"
READY = f"connector_operator_connector_ready{{{FLEET}}}"
OBJECT = "by (namespace, name)"
RATE = "[$__rate_interval]"
VISITS = f"sum by (le) (rate(connector_operator_visit_seconds_bucket{RATE}))"
COMMITS = f"sum by (le) (rate(connector_commit_seconds_bucket{{{ONE}}}{RATE}))"
NEW = "[$__range]"


class Query(NamedTuple):
    """One query.

    Attributes:
        legend: With `{{label}}` for labels that the answer has.
        sparse: Whether it often has no answer, because there is nothing to show.
    """

    expression: str
    legend: str = ""
    sparse: bool = False


class Panel(NamedTuple):
    """One panel.

    Attributes:
        kind: stat, timeseries, table or state-timeline.
        unit: Grafana's name of the unit.
        width: Of 24.
        is_bad: Whether any number above 0 needs a look.
    """

    title: str
    kind: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    is_bad: bool = False
    description: str = ""


FLEET_ROW = (
    Panel("Connectors", "stat", (Query("sum(connector_operator_connectors)"),), width=3),
    Panel("Not ready", "stat", (Query(f"count({READY} == 0) or vector(0)"),), width=3, is_bad=True),
    Panel("Need a person", "stat", (Query(f"sum(connector_operator_connector_stalled{{{FLEET}}}) or vector(0)"),), width=3, is_bad=True),
    Panel("Failed streams", "stat", (Query(f'sum(connector_streams{{{FLEET},state="failed"}}) or vector(0)'),), width=3, is_bad=True),
    Panel("Furthest behind", "stat", (Query(f"max(connector_lag_seconds{{{FLEET}}})"),), "s", width=3),
    Panel("Rows per second", "stat", (Query(f"sum(rate(connector_rows_total{{{FLEET}}}{RATE}))"),), width=3),
    Panel("Dead letters", "stat", (Query(f"sum(increase(connector_dead_letters_total{{{FLEET}}}{NEW}))"),), width=3, is_bad=True, description="In the time that is shown."),
    Panel("Alerts", "stat", (Query('count(ALERTS{alertstate="firing",alertname=~"Connector.*|Dataset.*"}) or vector(0)'),), width=3, is_bad=True),
    Panel(
        "Not ready, and why", "table",
        (Query(f"max by (namespace, name, type, reason) (connector_operator_connector_reason{{{FLEET}}}) and on (namespace, name) {READY} == 0", sparse=True),),
        width=12, description="What each reason means, and what to do: docs/reasons.md.",
    ),
    Panel(
        "Not met", "table",
        (
            Query(f"max by (namespace, name, condition, reason) (connector_operator_connector_condition_unmet{{{FLEET}}})", sparse=True),
            Query(f"max by (namespace, name, condition, reason) (connector_operator_dataset_condition_unmet{{{FLEET}}})", sparse=True),
        ),
        width=12, description="Conditions of Connectors and Datasets that are not True; also of connectors that are Ready.",
    ),
    Panel("Connectors by state", "timeseries", (Query("sum by (state) (connector_operator_connectors)", "{{state}}"),)),
    Panel("Rows per second", "timeseries", (Query(f"topk(10, sum {OBJECT} (rate(connector_rows_total{{{FLEET}}}{RATE})))", NAMED),)),
    Panel("Behind the source", "timeseries", (Query(f"topk(10, max {OBJECT} (connector_lag_seconds{{{FLEET}}}))", NAMED),), "s"),
    Panel("Image roll-out", "timeseries", (Query("sum by (state) (connector_operator_runner_updates)", "{{state}}"),)),
    Panel(
        "Refused rows and incidents", "timeseries",
        (
            Query(f"sum {OBJECT} (increase(connector_dead_letters_total{{{FLEET}}}{RATE})) > 0", f"dead letters {NAMED}", sparse=True),
            Query(f'sum {OBJECT} (increase(connector_events_total{{{FLEET},event="incidents"}}{RATE})) > 0', f"incidents {NAMED}", sparse=True),
        ),
    ),
    Panel("Failed streams", "timeseries", (Query(f'sum {OBJECT} (connector_streams{{{FLEET},state="failed"}}) > 0', NAMED, sparse=True),)),
)  # fmt: skip
ONE_ROW = (
    Panel("Ready", "stat", (Query(f"max(connector_operator_connector_ready{{{ONE}}})"),), "bool_yes_no", width=3),
    Panel("Behind the source", "stat", (Query(f"max(connector_lag_seconds{{{ONE}}})"),), "s", width=3),
    Panel("Since the last commit", "stat", (Query(f"time() - max(connector_last_commit_timestamp_seconds{{{ONE}}} > 0)"),), "s", width=3),
    Panel(
        "Copied", "stat",
        (Query(f'sum(connector_progress{{{ONE},part="done"}}) / sum(connector_progress{{{ONE},part="total"}} > 0)', sparse=True),),
        "percentunit", width=3, description="Of a first copy or a backfill; empty without one.",
    ),
    Panel("Reason", "state-timeline", (Query(f"max by (reason) (connector_operator_connector_reason{{{ONE}}})", "{{reason}}"),), width=12),
    Panel("Rows per second", "timeseries", (Query(f"sum by (operation) (rate(connector_rows_total{{{ONE}}}{RATE}))", "{{operation}}"),)),
    Panel("Bytes per second", "timeseries", (Query(f"sum by (operation) (rate(connector_bytes_total{{{ONE}}}{RATE}))", "{{operation}}"),), "Bps"),
    Panel("Behind the source", "timeseries", (Query(f"max {OBJECT} (connector_lag_seconds{{{ONE}}})", NAMED),), "s"),
    Panel(
        "A commit takes", "timeseries",
        (
            Query(f"histogram_quantile(0.5, {COMMITS})", "half of them"),
            Query(f"histogram_quantile(0.99, {COMMITS})", "99 of 100"),
        ),
        "s",
    ),
    Panel("Read and not yet sent", "timeseries", (Query(f"sum {OBJECT} (connector_queue_bytes{{{ONE}}})", NAMED),), "bytes"),
    Panel("Memory", "timeseries", (Query(f"max {OBJECT} (process_resident_memory_bytes{{{ONE}}})", NAMED),), "bytes"),
    Panel("Streams by state", "timeseries", (Query(f"sum by (state) (connector_streams{{{ONE}}})", "{{state}}", sparse=True),), description="Of a selection of several streams, as are the next two."),
    Panel("Streams behind", "timeseries", (Query(f"topk(10, max by (stream) (connector_stream_lag_seconds{{{ONE}}}))", "{{stream}}", sparse=True),), "s"),
    Panel("Rows per second by stream", "timeseries", (Query(f"topk(10, sum by (stream) (rate(connector_stream_rows_total{{{ONE}}}{RATE})))", "{{stream}}", sparse=True),)),
    Panel("Events", "timeseries", (Query(f"sum by (event) (increase(connector_events_total{{{ONE}}}{RATE})) > 0", "{{event}}", sparse=True),), width=12),
    Panel("Dead letters", "timeseries", (Query(f"sum {OBJECT} (increase(connector_dead_letters_total{{{ONE}}}{RATE}))", NAMED),), width=12),
)  # fmt: skip
OPERATOR_ROW = (
    Panel("Active operators", "stat", (Query("sum(connector_operator_leader)"),), width=4),
    Panel("Since the watches were compared", "stat", (Query("max(connector_operator_watch_age_seconds)"),), "s", width=4),
    Panel("Namespaces that can't be watched", "stat", (Query("max(connector_operator_unserved_namespaces)"),), width=4, is_bad=True),
    Panel("Runners' defaults are good", "stat", (Query("min(connector_operator_runner_defaults_valid)"),), "bool_yes_no", width=4),
    Panel("Discoveries", "stat", (Query("max(connector_operator_discoveries_active)"),), width=4),
    Panel("Failed visits", "stat", (Query(f"sum(increase(connector_operator_failures_total{NEW})) or vector(0)"),), width=4, is_bad=True, description="In the time that is shown."),
    Panel(
        "A visit takes", "timeseries",
        (Query(f"histogram_quantile(0.5, {VISITS})", "half of them"), Query(f"histogram_quantile(0.99, {VISITS})", "99 of 100")),
        "s",
    ),
    Panel("Decisions per second", "timeseries", (Query(f"topk(10, sum by (row) (rate(connector_operator_decisions_total{RATE})))", "{{row}}"),)),
    Panel("Failures per second", "timeseries", (Query(f"sum by (reason) (rate(connector_operator_failures_total{RATE}))", "{{reason}}", sparse=True),)),
    Panel("Waiting for a worker", "timeseries", (Query("max(connector_operator_queue_length)", "keys"),)),
    Panel("Longest wait for a worker", "timeseries", (Query("max(connector_operator_queue_age_seconds)", "oldest"),), "s"),
    Panel("Requests to the API server per second", "timeseries", (Query(f"sum by (verb, resource) (rate(connector_operator_api_requests_total{RATE}))", "{{verb}} {{resource}}"),)),
    Panel("Memory", "timeseries", (Query("process_resident_memory_bytes and on (instance) connector_operator_leader", "{{instance}}"),), "bytes", width=12),
    Panel("CPU", "timeseries", (Query(f"rate(process_cpu_seconds_total{RATE}) and on (instance) connector_operator_leader", "{{instance}}"),), width=12),
)  # fmt: skip
ROWS = {"All connectors": FLEET_ROW, "One connector: $connector": ONE_ROW, "The operator": OPERATOR_ROW}
QUERIES = tuple(query for panels in ROWS.values() for panel in panels for query in panel.queries)
