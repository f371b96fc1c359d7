# Every command a contributor needs.  Each one makes .venv first, from the
# lock, when requirements.lock or pyproject.toml is newer than the last install.
#
# Standard output belongs to the command that runs: what make itself has to say
# goes to standard error, so that `ONCE=1 make run | tail -n 1` is JSON.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FOLDERS := processor actors gateway loadtest benchmarks tests
# What starts servers or takes all cores by itself is run one after the other.
ALONE := tests/simulation tests/integration tests/crash

DATA_DIR ?= ./data/demo
SERVE_DATA_DIR ?= ./data/serve
PORT ?=
ONCE ?=
SEED ?=
SEEDS ?=
FIRST ?=
VERBOSE ?=
PLANTED ?=
MINUTES ?= 5

# ONCE=0 and ONCE= both mean "keep running".
ONCE_FLAG := $(if $(filter-out 0,$(ONCE)),--once)
PORT_FLAG := $(if $(PORT),--port $(PORT))
SEED_FLAG := $(if $(SEED),--seed $(SEED))

ifdef PYTEST_ARGS
PYTEST = $(BIN)/pytest $(PYTEST_ARGS)
else
PYTEST = $(BIN)/pytest -n auto --dist worksteal tests $(ALONE:%=--ignore=%) \
  && $(BIN)/pytest $(ALONE)
endif

.PHONY: help run serve test check format lint types bench load simulate crash lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' Makefile \
	  | sed -E 's/^([a-z]+):.*## /\1|/' \
	  | awk -F'|' '{ printf "  make %-8s %s\n", $$1, $$2 }'

run: $(STAMP) ## Run the demo (ONCE=1: one pass, then exit; PORT=, DATA_DIR=)
	@exec $(BIN)/forebay demo --data-dir $(DATA_DIR) $(PORT_FLAG) $(ONCE_FLAG)

serve: $(STAMP) ## Serve until stopped (PORT=, SERVE_DATA_DIR=)
	@exec $(BIN)/forebay serve --data-dir $(SERVE_DATA_DIR) $(PORT_FLAG)

test: $(STAMP) ## Run the tests (PYTEST_ARGS="-k refund -x")
	@$(PYTEST)

check: $(STAMP) ## Format, lint, types, tests: what CI runs
	@echo "check: format" >&2; $(BIN)/ruff format --check $(FOLDERS)
	@echo "check: lint" >&2; $(BIN)/ruff check $(FOLDERS)
	@echo "check: types" >&2; $(BIN)/mypy $(FOLDERS)
	@echo "check: tests" >&2; $(PYTEST)

format: $(STAMP) ## Rewrite the code in the house format
	@$(BIN)/ruff check --fix-only --quiet $(FOLDERS)
	@$(BIN)/ruff format $(FOLDERS)

lint: $(STAMP) ## Lint only
	@$(BIN)/ruff check $(FOLDERS)

types: $(STAMP) ## Type-check only
	@$(BIN)/mypy $(FOLDERS)

bench: $(STAMP) ## Measure authorizations, one JSON line
	@exec $(BIN)/python -m benchmarks.authorize

load: $(STAMP) ## Run the load test
	@exec $(BIN)/python -m loadtest

simulate: $(STAMP) ## Simulate (SEED=n [VERBOSE=1], SEEDS=n [FIRST=n], PLANTED=all)
	@exec $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) \
	  $(if $(VERBOSE),--verbose) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(FIRST),--first $(FIRST)) $(if $(PLANTED),--planted "$(PLANTED)")

crash: $(STAMP) ## Kill, freeze and starve real processes (MINUTES=30 SEED=)
	@exec $(BIN)/python -m tests.crash --minutes $(MINUTES) $(SEED_FLAG)

lock: ## Pin every dependency anew (needs uv on the PATH)
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --group dev \
	  --generate-hashes --no-header --output-file requirements.lock pyproject.toml

clean: ## Remove .venv and caches (data/ stays)
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find $(FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	  || { echo "forebay: needs Python 3.11 or 3.12; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "forebay: this Python cannot make a venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "forebay: installing the locked packages into $(VENV) (once; about a minute)" >&2
	@$(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  --require-hashes -r requirements.lock >&2 \
	  || { command -v gcc >/dev/null \
	         || echo "forebay: there is no gcc here; a package without a wheel needs it (on Debian: apt-get install gcc python3-dev)" >&2; \
	       exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  --no-deps --no-build-isolation -e . >&2
	@touch $@
