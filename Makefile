# awsac_async: everything a newcomer or a developer runs. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
USER   := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
BENCH  := $(VENV)/.installed-bench
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable

.DEFAULT_GOAL := help
.PHONY: help demo demo-eventgen test check docs bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(USER): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "awsac needs Python 3.11 or later: make PYTHON=/path/to/python3 ..." >&2; exit 2; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) '.[local]'
	@touch $@

$(DEV): $(USER)
	@$(INSTALL) '.[dev]'
	@touch $@

$(BENCH): $(DEV)
	@$(INSTALL) '.[bench]'
	@touch $@

demo: $(USER) ## one session of four jobs on the embedded cloud, from nothing to nothing
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/quickstart/demo

demo-eventgen: $(USER) ## real Pythia 8 jobs from a mounted release snapshot
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/eventgen/demo

test: $(DEV) ## all tests, against the embedded cloud
	@# Three at a time, file by file: the tests wait for processes more than they compute. The longest file comes first.
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: $(DEV) ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(BENCH) ## what is promised in numbers, as tables: about half an hour
	@$(BIN)/python -m benchmarks

docs: $(DEV) ## write the table of faults into docs/faults.md, rights into docs/permissions.md, the help into docs/commands.md
	@$(BIN)/python -m tests.faults.document
	@$(BIN)/python -m tests.session.document
	@$(BIN)/python -m tests.cli.document

lock: ## rewrite requirements.lock from pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra bench --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	@rm -f $(USER)

clean: ## remove the environment and what tools left
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
