"""Random columns, values and requests, in short: see tests/columns."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Optional

import pytest

from tests.columns.differences import Answer, difference
from tests.support.forked import run_python
from tests.support.tiers import PRIMARY, examples

REQUESTS = 3000
SEED = 1
#: of requests to models of ordinary fields; some filter by what only a database reads
LEAST_SHARE = 0.5


@pytest.mark.slow
@pytest.mark.every_primary
def test_the_mirror_answers_what_the_primary_answers(record_property: Any) -> None:
    primary, count = os.environ.get(PRIMARY, "sqlite"), examples(REQUESTS)
    command = ["tests.columns", primary, "--requests", count, "--seed", SEED]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = run_python("-m", *command, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z]+)", done.stdout)}
    assert counts["requests"] >= count
    shares = re.findall(r"^(\w+) models: (\d+) of (\d+) by the mirror", done.stdout, re.MULTILINE)
    share = {name: int(mirrored) / int(every) for name, mirrored, every in shares}
    record_property("compared", f"columns on {primary}: {' '.join(done.stdout.split()[-30:])}")
    assert share["ordinary"] > LEAST_SHARE


ITEMS = [{"_pk": "1", "a": 1}, {"_pk": "2", "a": None}]
BODY = {"data": ITEMS, "total": 2, "count": 2}


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, "mirror", json.dumps(body))


@pytest.mark.parametrize(
    ("primary", "what"),
    [
        (answer(BODY), None),
        (answer({**BODY, "data": [ITEMS[0], {"_pk": "2", "a": 0}]}), "rendering"),
        (answer({**BODY, "data": [{"_pk": "1", "a": 1.0}, ITEMS[1]]}), "rendering"),
        (answer({**BODY, "data": [{"a": 1, "_pk": "1"}, ITEMS[1]]}), "text"),
        (answer({**BODY, "data": ITEMS[::-1]}), "order"),
        (answer({**BODY, "data": ITEMS[:1]}), "rows"),
        (answer({**BODY, "total": 3}), "rows"),
        (answer({**BODY, "start": 1}), "text"),
        (answer({"data": 2}), "error"),
        (answer({"message": "no"}, 400), "status 200, the primary's is 400"),
    ],
)
def test_what_differs_is_noticed(primary: Answer, what: Optional[str]) -> None:
    differing = difference(answer(BODY), primary, lambda: primary, frozenset())
    assert (differing and differing.what) == what


def test_only_an_order_that_the_primary_does_not_define_is_free() -> None:
    upside_down = answer({**BODY, "data": ITEMS[::-1]})
    assert difference(answer(BODY), upside_down, lambda: answer(BODY), frozenset()) is None
