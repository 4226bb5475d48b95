# Every command a developer needs; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the Python packages into $(VENV) (once; about a minute)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[operator,runner,kafka,lake,docs,dev]'
	@touch $@

.PHONY: venv
venv: $(STAMP) ## the virtual environment with everything pinned

.PHONY: lint
lint: $(STAMP) docs ## ruff (lint and format), import-linter, the floor plan, rows by their fields alone, links between documents, the site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.unit.house.floor_plan
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/house/test_row_names.py
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/house/test_house_rules.py -k links

.PHONY: format
format: $(STAMP) ## rewrites the sources as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

.PHONY: generate
generate: $(STAMP) ## rewrites what is generated: CRDs and reference documents
	$(BIN)/python -m generate

.PHONY: localkube
localkube: $(STAMP) ## builds the test cluster's binary (first time: about ten minutes)
	@if [ -z "$(CONNECTOR_TEST_KUBECONFIG)$(ON_MY_CLUSTER)" ]; then $(BIN)/python tests/localkube/build.py; fi

.PHONY: servers
servers: $(STAMP) ## fetches the real servers that tests start (databases, chain nodes)
	@$(BIN)/python -m tests.servers

.PHONY: test
test: lint types localkube servers test-unit test-servers test-e2e ## everything that must pass: lint, types, unit, contract, integration, e2e

PYTEST := $(BIN)/python -m pytest

.PHONY: test-unit
test-unit: $(STAMP) ## the pure parts, fast
	$(PYTEST) tests/unit -n 2

.PHONY: test-search
test-search: $(STAMP) ## the properties of the pure parts with new random examples, five times as many as `make test` tries
	HYPOTHESIS_PROFILE=search $(PYTEST) tests/unit -n 2 -m hypothesis --timeout 0

.PHONY: test-servers
test-servers: $(STAMP) servers ## contract and integration tests against real servers
	$(PYTEST) tests/contract tests/integration tests/fuzz -n 2 --dist loadfile

# These wait for pods in namespaces of their own, and disturb no neighbour: no operator is restarted, no component taken away.
SIDE_BY_SIDE := $(patsubst %,tests/e2e/test_%.py,bad_input datasets executions kubectl plugin refusals watches)

.PHONY: test-e2e
test-e2e: $(STAMP) localkube ## localkube's own tests, then end to end on a real Kubernetes API
	$(PYTEST) $(SIDE_BY_SIDE) -n 3
	$(PYTEST) $(if $(CONNECTOR_TEST_KUBECONFIG),,tests/localkube) tests/e2e $(addprefix --ignore=,$(SIDE_BY_SIDE))

.PHONY: coverage
coverage: $(STAMP) servers ## which lines unit, contract and integration tests run: a table, and htmlcov/index.html
	$(PYTEST) tests/unit tests/contract tests/integration -n 2 --dist loadfile --cov --cov-report=term --cov-report=html

FAULTS ?= tests

.PHONY: test-faults
test-faults: $(STAMP) localkube servers ## the long fault suites (FAULTS=tests/e2e: those of one folder)
	$(PYTEST) $(FAULTS) -m fault

.PHONY: fuzz-mysql
fuzz-mysql: $(STAMP) servers ## random histories of MySQL and MariaDB tables (SEED=1 VERSION=all HISTORIES=40 FIRST=0 JOBS=1)
	$(BIN)/python -m tests.fuzz.mysql --seed $(or $(SEED),1) --version $(or $(VERSION),all) --histories $(or $(HISTORIES),40) \
	  --first $(or $(FIRST),0) --jobs $(or $(JOBS),1)

.PHONY: demo
demo: $(STAMP) localkube ## the main job, step by step, on a Kubernetes of its own (ON_MY_CLUSTER=1: on KUBECONFIG's)
	@$(BIN)/python -m demo $(if $(ON_MY_CLUSTER),--on-my-cluster)

BASE ?= python:3.13-slim
IMAGE_OPTIONS ?=
BUILD_IMAGE := $(if $(shell command -v buildah),buildah bud --isolation chroot,docker build)

.PHONY: images
images: image-operator image-runner ## both images for this machine, by buildah or docker (BASE=python:3.13-slim, IMAGE_OPTIONS="--volume ..." behind a proxy)

# BUILD_BASE also has what makes virtual environments, where BASE has Python alone.
BUILD_BASE ?= $(BASE)
.PHONY: image-operator image-runner
image-operator: DOCKERFILE := operator/Dockerfile
image-runner: DOCKERFILE := connector_runner/Dockerfile
image-operator image-runner: image-%:
	$(BUILD_IMAGE) --build-arg BASE=$(BASE) --build-arg BUILD_BASE=$(BUILD_BASE) $(IMAGE_OPTIONS) -f $(DOCKERFILE) -t connector-$*:dev .

.PHONY: test-images
test-images: $(STAMP) localkube ## builds both images (buildah, on a base of Debian's packages) and lives a connector's life in them; as root
	$(PYTEST) tests/e2e/test_images.py -m fault

.PHONY: docs
docs: $(STAMP) ## the documentation as a site, in .build/site (fails at a broken link)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

.PHONY: diagrams
diagrams: $(STAMP) ## draws the documents' diagrams anew, for the site (after a change of one)
	$(BIN)/python -m tests.e2e.site_diagrams

.PHONY: clean
clean: ## removes what was built and fetched, not the virtual environment
	rm -rf .build

.PHONY: bench-fleet
bench-fleet: $(STAMP) localkube ## benchmark: a thousand connectors on one operator
	$(BIN)/python -m benchmarks.fleet

.PHONY: bench-console
bench-console: $(STAMP) localkube ## benchmark: the console with 5,000 connectors in a real Chromium
	$(BIN)/python -m benchmarks.console

.PHONY: bench-api
bench-api: $(STAMP) localkube ## benchmark: reads through the HTTP API beside the API server and kubectl
	$(BIN)/python -m benchmarks.api

.PHONY: bench-mysql
bench-mysql: $(STAMP) servers ## benchmark: the MYSQL source beside mysql-replication, asyncmy and Debezium, on both dialects
	$(BIN)/python -m benchmarks.mysql

.PHONY: bench-coinbase
bench-coinbase: $(STAMP) servers ## benchmark: the COINBASE source, step by step, beside cryptofeed
	$(BIN)/python -m benchmarks.coinbase

.PHONY: bench-ethereum
bench-ethereum: $(STAMP) servers ## benchmark: the ETHEREUM source beside web3.py and ethereum-etl
	$(BIN)/python -m benchmarks.ethereum.measure
	$(BIN)/python -m benchmarks.ethereum.limited

.PHONY: bench-dataplane
bench-dataplane: $(STAMP) servers ## benchmark: the pipeline beside its limit, and its memory
	$(BIN)/python -m benchmarks.dataplane
