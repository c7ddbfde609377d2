# The only entry points a person must know. Each does its own set-up on a fresh machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# Without a word of yours the Python of the environment that is here, else the system's.
PYTHON ?= $(or $(wildcard $(BIN)/python),python3)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTEST := $(BIN)/python -m pytest
# $(call parallel,MORE): so many processes more than cores, or WORKERS of them. Half of a test's time
# is waiting for servers, more of a slow one's. The order in which groups start is tests/conftest.py's.
parallel = --numprocesses $(or $(WORKERS),$(shell echo $$(( $$(nproc) + $(1) )))) --dist loadgroup \
    --no-loadscope-reorder --durations 20

# Only these files are looked through for the few tests that measure.
measuring = $(shell grep -rl --include='*.py' 'pytest[.]mark[.]measures' tests)

.PHONY: help demo test test-slow test-all check format docs bench bench-tune clean machine FORCE
# The suite starts some thousand processes, which are not to compile the package each, nor is each of
# pytest's to compile all tests again. Many containers forbid Python to keep what it compiles.
unexport PYTHONDONTWRITEBYTECODE
compile = @$(BIN)/python -m compileall -q generator

# The targets share one environment.
.NOTPARALLEL:

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# $(call environment,FOLDER EXTRA) makes it, completes it, or leaves it as it is.
define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null || { \
	    echo '$(PYTHON) does not start a Python 3: install Python 3.11, 3.12 or 3.13, or name' \
	        'the one that you have, for example `make demo PYTHON=/usr/bin/python3`.' >&2; exit 1; }
	@$(PYTHON) scripts/environment.py $(1)
endef

# Whether the embedded Triton runs here, before anything is installed.
machine:
	$(call environment)

$(VENV)/.ready: FORCE
	$(call environment,$(VENV) dev)

demo: machine ## the main job on real models with the embedded Triton
	$(call environment,$(VENV) onnx)
	$(BIN)/python demo/run.py

test: machine $(VENV)/.ready ## what every commit must pass, in minutes; one path of each real thing
	scripts/docker-engine.sh
	$(compile)
	$(PYTEST) $(call parallel,1) -m 'not slow'

test-slow: machine $(VENV)/.ready ## what `test` leaves out; what measures runs alone, last
	scripts/docker-engine.sh
	$(compile)
	$(PYTEST) $(call parallel,3) -m 'slow and not measures'
	$(PYTEST) -m measures $(measuring)

test-all: machine $(VENV)/.ready ## every test, with a real Triton and a real Docker Engine
	scripts/docker-engine.sh
	$(compile)
	$(PYTEST) $(call parallel,3) -m 'not measures'
	$(PYTEST) -m measures $(measuring)

check: $(VENV)/.ready ## format, lint, types, import contract, rules for files and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/house_rules.py

format: $(VENV)/.ready ## rewrite the sources in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.ready ## the documentation as a site, in site/
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.ready ## side by side with the peers; takes a while
	$(BIN)/python benchmarks/run.py

bench-tune: $(VENV)/.ready ## the tuner against an exhaustive grid, Triton's defaults and Model Analyzer
	$(BIN)/python benchmarks/run.py tune

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist site
