PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Handed to the command of test, demo, bench and mutants: make test ARGS='-k vae'
ARGS ?=

.PHONY: help setup lint format test demo bench mutants clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## create .venv with everything pinned in constraints.txt

$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv, a minute or two"
	@$(PYTHON) -m venv .venv
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

lint: $(READY)  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(READY)  ## every test
	$(BIN)/python -m pytest -q -n auto --dist worksteal $(ARGS)

demo: $(READY)  ## the main job on real data, to a report
	$(BIN)/calco demo $(ARGS)

bench: $(READY)  ## the table of benchmarks from the recorded results
	$(BIN)/python -m benchmarks.table $(ARGS)

mutants: $(READY)  ## plant small bugs, and list those that no test catches
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants $(ARGS)

clean:  ## remove the environment and caches
	rm -rf .venv .pytest_cache .ruff_cache mutants calco-demo
