# Every target prepares its own environment: Python 3.11 or later and make are all it takes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help install demo test faults check lock schema clean

# Of the fault campaign: the same seed gives the same rounds.
SEED ?= 1
FAULTS ?=

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY) ## the environment in .venv, from the locked requirements

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Facet needs Python 3.11 or later, this is %d.%d: make PYTHON=python3.11 ..." % v[:2])'
	@if [ -L $(VENV) ]; then echo "$(VENV) is a link to an environment that others may use: update it there, or make VENV=..."; exit 1; fi
	@echo "preparing $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## ingest the simulated supplier to the end and show the result
	@$(BIN)/facet demo

test: $(READY) ## the whole test suite, with its own servers
	@$(BIN)/python -m pytest -n auto --dist worksteal

faults: $(READY) ## the fault campaign, many hours; goes on where it was broken off (SEED=1)
	@$(BIN)/python -m bench.faults run --seed $(SEED) $(FAULTS)

check: $(READY) ## lint, format, types, import contract, lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@if grep -nE '://|file:|--(extra-)?index-url|--find-links' requirements/*.txt; then echo "an address in a lock file: make lock"; exit 1; fi

UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

lock: $(READY) ## compile requirements/*.txt again from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.13.8"
	@$(UV_COMPILE) pyproject.toml -o requirements/runtime.txt
	@$(UV_COMPILE) pyproject.toml --extra telemetry -o requirements/telemetry.txt
	@$(UV_COMPILE) pyproject.toml --group dev -o requirements/dev.txt

clean: ## remove the environment and caches
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

schema: $(READY) ## write sql/schema.sql from the migrations
	@$(BIN)/python -m tests.sql.schema
