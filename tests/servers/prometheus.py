"""Prometheus, its tool for rules, and the Alertmanager: built from their Go modules, and run as servers."""

from __future__ import annotations

from pathlib import Path

from tests.servers.go_program import build_go_program

VERSION = "v0.316.0"
MODULE = "github.com/prometheus/prometheus"


def promtool() -> Path:
    """The program; the first call builds it."""
    return build_go_program("promtool", MODULE, VERSION)
