"""Imports for the fork server, done once, so that each forked runner starts at once."""

import aiohttp
import jsonschema
import psycopg
import yaml

import connector_runner.cli
import connector_runner.commands.run
import connector_runner.datasets.blocking.sink
import connector_runner.sinks.postgresql.sink
import connector_runner.sinks.sqlite.rows
import tests.scripted.killing
import tests.scripted.source

__all__ = ["aiohttp", "connector_runner", "jsonschema", "psycopg", "tests", "yaml"]
