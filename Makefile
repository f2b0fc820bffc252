# `make` lists the targets. `make demo` and `make test` are all that a newcomer types.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTS ?= tests
JOBS ?= $(shell nproc)
PYTEST = $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test channels packages interpreters dist check crashes crash bench cover man synapse systemd lock locked clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, $$($(PYTHON) --version) was found"; \
		  echo "hint: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) has no venv"; echo "hint: apt install python3-venv"; exit 1; }
	@echo "making the environment in $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP) ## watch it work: a throw-away spool, three agents, a failure and the recovery
	@$(BIN)/python scripts/demo.py

SLOW := channels or synapse or postfix or packaging or systemd

test: $(STAMP) ## the tests; what takes minutes more are three targets of their own
	@$(PYTEST) $(TESTS) --ignore=tests/crash -m "not ($(SLOW))"

channels: $(STAMP) ## each channel over a real daemon, and on real servers (minutes)
	@$(BIN)/python -m pytest tests/channels tests/e2e -m "$(SLOW)"

systemd: $(STAMP) ## the installed service in a real systemd, in a Debian of its own (minutes; root)
	@$(BIN)/python scripts/debian_tree.py
	@$(BIN)/python -m pytest tests/systemd

crashes: $(STAMP) ## kill the daemon at a sample of its system calls (minutes; needs strace)
	@$(BIN)/python -m pytest tests/crash

TOOLS := $(VENV)/tools

$(TOOLS)/.installed: $(STAMP)
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv pipx
	@touch $@

packages: $(TOOLS)/.installed ## install the wheel with uv, with pipx and into /opt (elsewhere)
	@$(BIN)/python -m pytest tests/installing -m packaging

interpreters: $(TOOLS)/.installed ## a share of the tests on Python 3.12 and 3.13, where they are here
	@$(BIN)/python scripts/interpreters.py

dist: $(STAMP) ## the wheel and the sdist, in dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build

check: $(STAMP) ## the one definition of "ok": format, lint, types, layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/layers.txt || { cat $(VENV)/layers.txt; exit 1; }
	@echo "ok: format, lint, types, layers"

crash: $(STAMP) ## kill it at every single one (an hour; needs strace)
	@CRASH=all $(BIN)/python -m pytest tests/crash --timeout=7200

bench: $(STAMP) ## the figures: latency, idle, a large backlog
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

cover: $(STAMP) ## coverage with branches: core by its own tests, then everything
	@$(BIN)/python -m coverage run --source=ownerreportd.core -m pytest -q tests/core
	@$(BIN)/python -m coverage report --fail-under=100
	@$(BIN)/python -m coverage run -m pytest -q --ignore=tests/crash
	@$(BIN)/python -m coverage report --skip-covered

man: $(STAMP) ## write the manual pages anew, after a change of a verb, a flag or a setting
	@$(BIN)/python scripts/man.py

synapse: $(STAMP) ## install the real homeserver that the tests of the channel matrix start
	@$(BIN)/python scripts/synapse.py

lock: $(STAMP) ## pin every dependency with its hashes in uv.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python scripts/lock.py

locked: $(STAMP) ## install exactly what uv.lock names
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python scripts/lock.py --install

clean: ## remove the environment and what tools left
	@rm -rf $(VENV) .synapse .systemd .wheels dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
