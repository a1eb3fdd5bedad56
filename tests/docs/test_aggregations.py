"""docs/aggregations.rst: every request in it is sent, every type in it is there."""

from __future__ import annotations

import re

import pytest
from webtest import TestApp

from nefertari_search_tween.search.aggregations.types import KINDS
from tests.read.aggregations.test_types import LACKS
from tests.read.test_search_reads import encoded
from tests.support.apps import Films, films
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

DOCUMENTATION = TOP / "docs" / "aggregations.rst"
TEXT = DOCUMENTATION.read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^ +GET (/\S.*)\n(?: +-> (\d+) (.*)\n)?", re.MULTILINE)
EXAMPLES = EXAMPLE.findall(TEXT)


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


def test_the_page_has_examples():
    assert len([request for request, status, _ in EXAMPLES if not status]) >= 20
    assert len([request for request, status, _ in EXAMPLES if status]) >= 5


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [pytest.param(*example, id=example[0]) for example in EXAMPLES],
)
def test_example(request_: str, status: str, message: str, app: TestApp):
    response = app.get(encoded(request_), expect_errors=bool(status))
    assert response.status_int == int(status or 200)
    if status:
        assert response.json["message"] == message
        return
    assert response.headers["X-Search-Engine"] == "mirror"
    for result in response.json.values():
        assert has_hits(result), "an example should find something"


def has_hits(result: dict) -> bool:
    """An aggregation found something."""
    if "buckets" in result:
        buckets = result["buckets"]
        buckets = buckets.values() if isinstance(buckets, dict) else buckets
        return any(bucket["doc_count"] for bucket in buckets)
    if "values" in result:
        return all(value is not None for value in result["values"].values())
    return bool(result.get("doc_count") or result.get("value") or result.get("count"))


def test_the_documented_answer(app: TestApp):
    example = re.search(r'^ +(\{"longest".*\})$', TEXT, re.MULTILINE)
    response = app.get("/films?_aggs.longest.max.field=runtime&_aggs.won.sum.field=oscars")
    assert response.text == example[1]


def test_every_type_is_in_the_table():
    table = TEXT[TEXT.index("   * - numbers") : TEXT.index("   * - not supported")]
    types = set(re.findall(r"``(\w+)``", table))
    assert types == set(KINDS)
    embedded = set()
    for row in table.split("   * - "):
        marked = re.match(r".*\(all E\)", row, re.DOTALL)
        if marked:
            embedded |= set(re.findall(r"``(\w+)``", marked[0]))
        embedded |= set(re.findall(r"``(\w+)`` \(E\)", row))
    assert embedded == set(KINDS) - LACKS["embedded"]


def test_the_python_of_the_page(app: TestApp):
    block = re.search(r"code-block:: python\n\n((?:    .*\n|\n)+)", TEXT)
    code = "\n".join(line[4:] for line in block[1].splitlines())
    names: dict = {}
    exec(compile(code, str(DOCUMENTATION), "exec"), names)
    assert len(names["results"]["years"]["buckets"]) == 3
