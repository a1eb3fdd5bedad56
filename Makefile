# make demo | demo-check | test | lint | docs | smoke | faults | bench | env | clean: each does its own set-up.
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
export ELASTICSEARCH_HOSTS

# `make test` does these, too, each by itself: other backends and databases.
OTHERS := test-postgresql test-mongodb test-opensearch test-embedded test-mongodb-embedded

.PHONY: env demo demo-check test $(OTHERS) lint docs smoke faults bench clean
.DELETE_ON_ERROR:

env: $(STAMP)

$(STAMP): $(CONSTRAINTS) $(SETUP)
	@test -n "$(PYTHON)" || { echo 'No Python 3.9 to 3.13 found; give one with PYTHON=...' >&2; exit 1; }
	.ci/install "$(PYTHON)" $(VENV) constraints/tools.txt
	@touch $@

demo: env
	$(BIN)/python examples/demo.py --backend $(BACKEND)

demo-check: env
	$(BIN)/python examples/demo.py --check --backend $(BACKEND)

# Elasticsearch with everything; then what every backend answers alike on the other two, and what
# every database does alike on PostgreSQL (one process can have models on one kind only).
ALIKE := tests/read/test_equality.py tests/read/test_search_reads.py tests/read/test_fields.py tests/compat/test_guards.py
# A process has one engine: these are skipped in the others' runs.
MONGODB := tests/primaries/mongodb
# Three at a time on two cores: they wait for servers and for each other more than they compute.
test: env
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
	$(MAKE) --jobs=3 --output-sync=target $(OTHERS)
	$(MAKE) smoke

# The rest, three beside each other: one after the other, each would end with one process that is
# still at the longest file. What the others say comes when they end.
# (pytest removes old folders of its own, which may be another's.)
PYTEST = $(BIN)/python -m pytest --basetemp=.pytest_tmp/$@
.pytest_tmp:
	mkdir -p $@
test-postgresql: env | .pytest_tmp
	NEFERTARI_SEARCH_TEST_PRIMARY=postgresql $(PYTEST) tests/primaries/test_triggers.py tests/read/test_fields.py \
		tests/read/test_equality.py tests/write/test_interleaving.py tests/write/test_overlapping.py \
		-k 'test_triggers or test_fields or zoo or test_interleaving or test_overlapping'
test-mongodb: env | .pytest_tmp
	NEFERTARI_SEARCH_TEST_PRIMARY=mongodb $(PYTEST) $(MONGODB)
test-opensearch: env | .pytest_tmp
	NEFERTARI_SEARCH_TEST_BACKEND=opensearch $(PYTEST) $(ALIKE)
test-embedded: env | .pytest_tmp
	NEFERTARI_SEARCH_TEST_BACKEND=embedded $(PYTEST) $(ALIKE)
test-mongodb-embedded: env | .pytest_tmp
	NEFERTARI_SEARCH_TEST_PRIMARY=mongodb NEFERTARI_SEARCH_TEST_BACKEND=embedded $(PYTEST) \
		tests/primaries/mongodb/test_equality.py

lint: env docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages as HTML, in docs/_build. A table that is none, or a link that leads nowhere, is an error.
docs: env
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build

# The demo's checks on the oldest and the newest Python here, without Java.
smoke: env
	.ci/smoke

# Long campaigns of processes, signals and servers; `make test` runs short ones.
faults: env
	$(BIN)/python -m tests.faults.campaign postgresql --writers 8 --seconds 60
	$(BIN)/python -m tests.faults.campaign sqlite --writers 3 --seconds 60
	$(BIN)/python -m tests.faults.campaign mongodb --writers 3 --seconds 60
	$(BIN)/python examples/demo.py --check --backend elasticsearch
	$(BIN)/python examples/demo.py --check --backend opensearch
	NEFERTARI_SEARCH_TEST_PRIMARY=postgresql NEFERTARI_SEARCH_TEST_ROWS=200000 $(BIN)/python -m pytest tests/primaries/test_triggers.py -k many_rows
	$(BIN)/python -m tests.faults.untold
	NEFERTARI_SEARCH_TEST_EXAMPLES=400 $(BIN)/python -m pytest tests/write/test_interleaving.py
	NEFERTARI_SEARCH_TEST_SECONDS=60 NEFERTARI_SEARCH_TEST_KILLS=50 $(BIN)/python -m pytest \
		tests/backends/embedded/test_processes.py
	$(BIN)/python -m tests.faults.rebuild_flights

# Ratios within one run; nothing is asserted.
bench: env
	$(BIN)/python -W ignore -m bench.writes sqlite
	$(BIN)/python -W ignore -m bench.writes postgresql
	$(BIN)/python -W ignore -m bench.claims
	$(BIN)/python -W ignore -m bench.reads
	$(BIN)/python -W ignore -m bench.caching
	$(BIN)/python -W ignore -m bench.engine

clean:
	rm -rf $(VENV) build docs/_build *.egg-info examples/films/*.egg-info .pytest_cache .pytest_tmp .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
