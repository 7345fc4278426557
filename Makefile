# Every target sets up what it needs first. `make help` lists them.

PY := .venv/bin/python
ARGS ?=
FLAGS ?=
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup browser demo test unit integration run bench simulate lint compile docs format lock clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with the pinned packages (every other target does it by itself)

.venv/.ready: requirements.txt pyproject.toml deploy/setup.sh
	@sh deploy/setup.sh

browser: ## install Debian's chromium for the browser test, where that may be done
	@sh deploy/setup.sh browser

demo: setup ## watch real data go through everything, and an alteration caught (FLAGS=--json, FLAGS=--keep)
	@$(PY) -m deploy.cli demo $(FLAGS)

test: setup browser ## run every test (TESTS=tests/unit/protocol for some)
	@$(PY) -m pytest $(TESTS) $(FLAGS)

unit: setup ## run the tests that start no server
	@$(PY) -m pytest -m "not integration and not browser" $(TESTS) $(FLAGS)

integration: setup ## run the tests on a real Kafka and real Valkeys
	@$(PY) -m pytest tests/integration $(FLAGS)

run: setup ## run the command line: make run ARGS="status --json"
	@$(PY) -m deploy.cli $(or $(ARGS),--help)

bench: setup ## measure requests/s, latency and CPU per request (ARGS="transfer --seconds 20")
	@$(PY) -m deploy.cli bench $(ARGS)

simulate: setup ## run the deterministic simulation (ARGS="--seeds 1000")
	@$(PY) -m deploy.cli simulate $(ARGS)

lint: setup ## style, types and import rules
	@$(PY) -m ruff check .
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m mypy

compile: setup ## make machine code of the hot modules anew, after a change of the sources
	@$(PY) -m deploy.compiled

docs: setup ## write the pages of docs/ that are generated from tables in the code
	@$(PY) -m deploy.pages
	@$(PY) -m tests.attacks.page

format: setup ## sort imports and mend what ruff can mend
	@$(PY) -m ruff check --fix .

lock: setup ## write requirements.txt and the list of Kafka's jars anew, after a change of versions
	@$(PY) -m uv --version >/dev/null 2>&1 || command -v uv >/dev/null || { echo "make lock needs uv"; exit 1; }
	@PATH="$$PWD/.venv/bin:$$PATH" uv pip compile --quiet --universal --all-extras --generate-hashes --no-emit-index-url \
		--no-header --python-version 3.11 pyproject.toml -o requirements.txt
	@$(PY) -m deploy.local.jars

clean: ## remove .venv, all that was built, and the demo's ledger; Kafka's jars and your own ledgers stay
	-@if [ -x $(PY) ]; then $(PY) -m deploy.cli demo --forget; fi
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
