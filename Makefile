# The only entry points a person must know. Each does its own set-up on a fresh machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Half of a test's time is waiting for servers, so that more processes than cores pay.
WORKERS ?= $(shell echo $$(( $$(nproc) + 1 )))
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses $(WORKERS) --dist loadgroup --durations 20

.PHONY: help demo test test-slow test-all check format bench bench-tune clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready ## the main job on real models with the embedded Triton
	$(BIN)/python demo/run.py

test: $(VENV)/.ready ## what every commit must pass, in minutes; one path of each real thing
	scripts/docker-engine.sh
	$(PYTEST) $(PARALLEL) -m 'not slow'

test-slow: $(VENV)/.ready ## what `test` leaves out; what measures runs alone, last
	scripts/docker-engine.sh
	$(PYTEST) $(PARALLEL) -m 'slow and not measures'
	$(PYTEST) -m measures

test-all: $(VENV)/.ready ## every test, with a real Triton and a real Docker Engine
	scripts/docker-engine.sh
	$(PYTEST) $(PARALLEL) -m 'not measures'
	$(PYTEST) -m measures

check: $(VENV)/.ready ## format, lint, types, import contract, rules for files and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/house_rules.py

format: $(VENV)/.ready ## rewrite the sources in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready ## side by side with the peers; takes a while
	$(BIN)/python benchmarks/run.py

bench-tune: $(VENV)/.ready ## the tuner against an exhaustive grid, Triton's defaults and Model Analyzer
	$(BIN)/python benchmarks/run.py tune

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
