# The commands, the same by hand and in .ci/run. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell .ci/find-python)
NPM := $(shell command -v npm)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile
# All cores compile, and some files of packages are none of this Python.
COMPILE := $(BIN)/python -m compileall -qq -j 0 .venv/lib/python3.*/site-packages src || true
NODE_MODULES := $(if $(NPM),$(patsubst %/package-lock.json,%/node_modules/.installed,$(wildcard js/package-lock.json tests/support/*/package-lock.json)))
unexport PYTHONDONTWRITEBYTECODE  # every start of a kernel would compile the package
ARGS ?=
WORKERS ?= 3
# Tests that share a fixture of a module stay on one worker (tests/support/scheduling.py); -n0 in ARGS runs all in one process.
# One malloc arena: with one a thread, a worker grows by a third. Large blocks have pages of their own, which a test gives
# back at its end.
MALLOC := MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=4194304
PYTEST := $(MALLOC) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: help demo install node-modules prepare test nightly test-nightly live test-js check lint ruff mypy imports tsc format bundles docs notebooks bench lock clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 10

demo: .venv/.demo  ## one session in the terminal, then the first notebook (ARGS=--no-lab: the terminal part alone)
	@$(BIN)/python notebooks/demo.py $(ARGS)

install: .venv/.dev  ## create .venv with all development tools

node-modules: $(NODE_MODULES)

prepare: .venv/.dev .cache/kernels/.installed .cache/validators/.installed $(NODE_MODULES)  ## install the tests' other requirements

test: prepare test-js  ## all tests that this machine can run (ARGS: for pytest; REQUIRE=all: skip none)
	@$(PYTEST) $(ARGS)

nightly: prepare  ## the stages too long for CI: all kills, the soak; for hours (KILLS: number, SEED: of an earlier run)
	@.ci/nightly

test-nightly: prepare
	@$(PYTEST) --nightly $(ARGS)

check: .venv/.dev  ## lint, and the quick ones of the tests that start no process: within a minute
	@$(MAKE) --silent --jobs 2 --keep-going ruff mypy imports tsc
	@$(PYTEST) --no-process -m 'not slow' $(ARGS)

live: .venv/.dev  ## the contract of sandboxes at a cloud itself, with your key and on your account (PROVIDER=e2b)
	@$(BIN)/session-widgets sandboxes check $(PROVIDER)

test-js: $(NODE_MODULES)
	@if [ -e js/node_modules/.installed ]; then $(NPM) --prefix js run --silent check && $(NPM) --prefix js run --silent test; \
	  else echo "skipped: the tests of js/ need Node.js 20 or newer, with npm"; [ "$${REQUIRE:-}" != all ]; fi

lint: ruff mypy imports  ## ruff, mypy and import-linter

ruff: .venv/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

mypy: .venv/.dev
	@$(BIN)/mypy

imports: .venv/.dev
	@$(BIN)/lint-imports --no-cache

tsc:
	@if [ -e js/node_modules/.installed ]; then $(NPM) --prefix js run --silent check; fi

format: .venv/.dev  ## ruff's automatic fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bundles: js/node_modules/.installed  ## rebuild the front end into src/session_widgets/static
	@$(NPM) --prefix js run --silent build

docs: .venv/.dev  ## write the tables of docs/ that are generated from code
	@$(BIN)/python docs/tables.py

notebooks: .venv/.dev  ## run the notebooks and store their outputs
	@$(BIN)/python notebooks/render.py $(ARGS)

bench: .venv/.dev $(NODE_MODULES)  ## run the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

lock:  ## write requirements/*.txt from pyproject.toml (needs uv: pip install uv)
	@.ci/lock

clean:  ## remove the files that the commands above created
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis js/node_modules tests/support/*/node_modules

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer found. Install one, or pass its path: make demo PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; }

.venv/.demo: requirements/demo.txt pyproject.toml binder/overrides.json | .venv/bin/python
	@echo "Installing JupyterLab and the other packages into .venv: about a minute, once."
	@$(PIP) --require-hashes --requirement requirements/demo.txt
	@$(PIP) --no-build-isolation --editable .
	@$(COMPILE)
	@mkdir -p .venv/share/jupyter/lab/settings && cp binder/overrides.json .venv/share/jupyter/lab/settings/
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "Installing the development tools into .venv: about a minute, once."
	@$(PIP) --require-hashes --requirement requirements/dev.txt
	@$(PIP) --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

.cache/kernels/.installed: .ci/kernels requirements/dev.txt | .venv/.dev
	@.ci/kernels && touch $@

.cache/validators/.installed: .ci/validators requirements/inspect.txt | .venv/.dev
	@.ci/validators && touch $@

%/node_modules/.installed: %/package-lock.json
	@$(NPM) ci --ignore-scripts --prefix $* --no-audit --no-fund --silent && touch $@ \
	  || echo "npm ci failed in $*: the tests that need it are skipped" >&2
