"""Which documents depend on a row, by kinds of dependency and by write paths: tests/schemas/cases.

Each case is a process with models of its own. Its last transaction changes documents, and each
mirror must equal one that is built from nothing.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.schemas.cases import CASES
from tests.support.forked import run_python
from tests.support.tiers import mostly_long, primary_kind

pytestmark = [pytest.mark.slow, pytest.mark.every_primary]


@pytest.mark.parametrize("name", mostly_long(CASES, 7))
def test_each_document_that_shows_a_row_follows_it(name: str) -> None:
    command = ("-m", "tests.schemas.cases", primary_kind(), name)
    done = run_python(*command, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)[name]
    assert outcome["invalid"] is None
    assert outcome["findings"] == []
    # Nothing was refused or left out, and the last transaction changed a document.
    assert (outcome["errors"], outcome["untracked"]) == ([], 0)
    assert outcome["changes"][-1] > 0
