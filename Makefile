# `make help` lists the targets. Each does its own set-up.
#
#   PYTHON=...               the Python to build .venv with (default: 3.11 when there is one)
#   BACKEND=...              where the demo's mirrors live: embedded (the default: files, no server),
#                            elasticsearch or opensearch (fetched and started)
#   ELASTICSEARCH_HOSTS=...  a running server of that backend, instead of one of the demo's own

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := $(wildcard constraints/*.txt)
SETUP := setup.py $(wildcard examples/films/setup.py) .ci/install
# 3.11 first, then the newest of the rest: the old stack is best known on 3.11.
PYTHON ?= $(shell .ci/pythons | sort -k1,1Vr | awk '$$1 == "3.11" {best = $$2} NR == 1 {first = $$2} END {print best ? best : first}')
BACKEND ?= embedded
# More for pytest: make test-quick ARGS='--durations=20'
ARGS ?=
export ELASTICSEARCH_HOSTS

.PHONY: help env demo demo-check test-quick test test-all test-matrix lint docs smoke faults mutants bench clean
.DELETE_ON_ERROR:

# First, so that `make` alone shows it. What each target does stands behind its name: "target: # text".
help: # this list
	@sed -nE 's/^([a-z-]+):.*# (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

env: $(STAMP) # the project and all that it needs, in .venv (two minutes the first time)

$(STAMP): $(CONSTRAINTS) $(SETUP)
	@test -n "$(PYTHON)" || { echo 'No Python 3.9 to 3.13 found; give one with PYTHON=...' >&2; exit 1; }
	.ci/install "$(PYTHON)" $(VENV) constraints/tools.txt
	@touch $@

demo: env # the films on http://localhost: load, index, serve
	$(BIN)/python examples/demo.py --backend $(BACKEND)

demo-check: env # the demo once through, with checks, and no questions
	$(BIN)/python examples/demo.py --check --backend $(BACKEND)

# The tiers: tests/run.py has their runs, tests/support/tiers.py the marks.
#
#   what `make test-all` has beside                what of it `make test` has
#   ---------------------------------------------  -----------------------------------------------
#   suites of every backend on Elasticsearch       the conformance suite, random requests; all on
#                                                  the embedded backend
#   tests marked "thorough": more cases of         one case of each kind
#   workers, triggers, faults, forks, engines
#
#   what `make test-matrix` has beside             what of it `make test-all` has
#   ---------------------------------------------  -----------------------------------------------
#   every suite on Elasticsearch, on PostgreSQL    those of every backend on it and on the embedded
#   and on MongoDB beside Elasticsearch            one, those of every database, on the embedded one
#   suites of every backend on OpenSearch          its conformance suite
#   conformance on three nodes, and with TLS       application tests with TLS
#   all examples of random tests                   one of four
#   scaffolds and Ramses on Elasticsearch          the same sessions on the embedded backend
#   workers and races on a second server           SQLite; Elasticsearch
#   58,788 titles, campaigns of kills              `make faults` has longer ones
#   the helpers that start servers, each switch    one switch of the example application
#   of the example application; .ci/smoke
#   mutants of five modules (make mutants: more)
test-quick: env # before each commit: no server, embedded backend and SQLite (minutes)
	$(BIN)/python -m tests.run quick $(ARGS)

test: env # before each push: servers too (half an hour)
	$(BIN)/python -m tests.run test $(ARGS)

test-all: test # thorough tests, too (three quarters of an hour)
	$(BIN)/python -m tests.run rest $(ARGS)

test-matrix: env # each suite on each backend and database, all random examples (hours)
	$(BIN)/python -m tests.run matrix $(ARGS)

lint: env docs # ruff, mypy, layout and vocabulary, and the pages without a warning
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layout.py tests/unit/test_vocabulary.py

# The pages as HTML, in docs/_build. A table that is none, or a link that leads nowhere, is an error.
docs: env # the pages as HTML
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build
	@echo 'The pages: file://$(CURDIR)/docs/_build/index.html'

# Without Java or Maven; `make test-matrix` runs it, too.
smoke: # the demo's checks on the oldest and newest Python here, from nothing
	.ci/smoke

# Long campaigns of processes, signals and servers; `make test-matrix` runs short ones. Those of
# tests/schemas write to random models, by every path, and print a seed to repeat; those of
# tests/columns ask mirrors and databases of random columns and values the same. The last one asks
# random requests of pairs of databases that differ in what is hidden (tests/privacy): by itself,
#   python -m tests.privacy mongodb --seed 7 --pairs 2000
faults: env # long campaigns of killed processes and servers, schemas, columns, and leaks (hours)
	$(BIN)/python -m tests.faults.campaign postgresql --writers 8 --seconds 60
	$(BIN)/python -m tests.faults.campaign sqlite --writers 3 --seconds 60
	$(BIN)/python -m tests.faults.campaign mongodb --writers 3 --seconds 60
	$(BIN)/python examples/demo.py --check --backend elasticsearch
	$(BIN)/python examples/demo.py --check --backend opensearch
	NEFERTARI_SEARCH_TEST_PRIMARY=postgresql NEFERTARI_SEARCH_TEST_ROWS=200000 $(BIN)/python -m pytest tests/primaries/test_triggers.py -k many_rows
	$(BIN)/python -m tests.faults.untold
	NEFERTARI_SEARCH_TEST_EXAMPLES=20 $(BIN)/python -m pytest tests/write/test_interleaving.py
	NEFERTARI_SEARCH_TEST_SECONDS=60 NEFERTARI_SEARCH_TEST_KILLS=50 $(BIN)/python -m pytest \
		tests/backends/embedded/test_processes.py
	$(BIN)/python -m tests.faults.rebuild_flights
	$(BIN)/python -m tests.schemas sqlite
	$(BIN)/python -m tests.schemas postgresql
	$(BIN)/python -m tests.schemas sqlite --triggers
	$(BIN)/python -m tests.schemas postgresql --triggers
	$(BIN)/python -m tests.columns sqlite
	$(BIN)/python -m tests.columns postgresql
	$(BIN)/python -m tests.columns mariadb --requests 2000
	$(BIN)/python -m tests.privacy sqlite postgresql mongodb engine --backends embedded elasticsearch

# Which small changes of the package's heart no test notices (tests/mutants). A sample, always the
# same one; more of it, or all of some modules:
#   make mutants ARGS='--most 30'
#   make mutants ARGS='--all search/ indexing/indexer.py'
#   make mutants ARGS=--again        # those that survived the last run: after a test was written
# A survivor is a missing test, or changes nothing that a test could see: then it goes, with the
# reason, to tests/mutants/equivalents.txt.
mutants: env # whether tests notice small changes of the code (hours for all; a sample: 40 minutes)
	$(BIN)/python -m tests.mutants $(ARGS)

# Ratios within one run; nothing is asserted.
bench: env # speed, as ratios within one run
	$(BIN)/python -W ignore -m bench.writes sqlite
	$(BIN)/python -W ignore -m bench.writes postgresql
	$(BIN)/python -W ignore -m bench.beside
	$(BIN)/python -W ignore -m bench.claims
	$(BIN)/python -W ignore -m bench.reads
	$(BIN)/python -W ignore -m bench.caching
	$(BIN)/python -W ignore -m bench.engine
	$(BIN)/python -W ignore -m bench.embedded 59000
	$(BIN)/python -W ignore -m bench.bounds
	$(BIN)/python -W ignore -m bench.large_rows
	$(BIN)/python -W ignore -m bench.verifying

clean: # what the other targets made
	rm -rf $(VENV) build docs/_build *.egg-info examples/films/*.egg-info .pytest_cache .pytest_tmp .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
