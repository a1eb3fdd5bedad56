# make demo | demo-check | test | lint | smoke | env | clean: each does its own set-up.
#
#   PYTHON=...               the Python to build .venv with (default: 3.11 when there is one)
#   ELASTICSEARCH_HOSTS=...  a running Elasticsearch for the demo, instead of one of its own

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := $(wildcard constraints/*.txt)
SETUP := setup.py $(wildcard examples/films/setup.py) .ci/install
# 3.11 first, then the newest of the rest: the old stack is best known on 3.11.
PYTHON ?= $(shell .ci/pythons | sort -k1,1Vr | awk '$$1 == "3.11" {best = $$2} NR == 1 {first = $$2} END {print best ? best : first}')
export ELASTICSEARCH_HOSTS

.PHONY: env demo demo-check test lint smoke clean
.DELETE_ON_ERROR:

env: $(STAMP)

$(STAMP): $(CONSTRAINTS) $(SETUP)
	@test -n "$(PYTHON)" || { echo 'No Python 3.9 to 3.13 found; give one with PYTHON=...' >&2; exit 1; }
	.ci/install "$(PYTHON)" $(VENV) constraints/tools.txt
	@touch $@

demo: env
	$(BIN)/python examples/demo.py

demo-check: env
	$(BIN)/python examples/demo.py --check

# The second run is on PostgreSQL: one process can have models on one kind of database only.
test: env
	$(BIN)/python -m pytest -n 2 --dist loadfile
	NEFERTARI_SEARCH_TEST_PRIMARY=postgresql $(BIN)/python -m pytest tests/test_fields.py \
		tests/test_equality.py -k 'test_fields or zoo'
	$(MAKE) smoke

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The demo's checks on the oldest and the newest Python here, each in an environment of its own.
smoke:
	.ci/smoke

clean:
	rm -rf $(VENV) build *.egg-info examples/films/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
