"""Limits of pages, and of the primary's time, for every routed read (docs/settings.rst)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import transaction
from sqlalchemy import event

from nefertari_search_tween.primary.sqla import time_limit
from tests.support.apps import museum, search_of, zoo
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

PAGE = (TOP / "docs" / "settings.rst").read_text(encoding="utf-8")
DOCUMENTED = dict(re.findall(r"^   (nefertari_search\.\w+) = (\d+)$", PAGE, re.MULTILINE))
REQUEST, ANSWER = re.search(r"^   GET (\S+)\n   400 (.+)$", PAGE, re.MULTILINE).groups()
KEEPERS = 30


def add_keepers() -> None:
    from tests.apps.every_field.models import Keeper

    for number in range(KEEPERS):
        Keeper(code=f"k{number:05}", name=f"Ann {number}").save()
    transaction.commit()


@pytest.fixture(scope="module")
def limited(primary_url: str, backend_url: str, module_prefix: str) -> Any:
    settings = {**DOCUMENTED, "elasticsearch.enable_aggregations": "true"}
    app = zoo(primary_url, backend_url, module_prefix, **settings)
    add_keepers()
    return app


def test_the_documented_limits_are_those_that_are_tested(limited: Any) -> None:
    assert search_of(limited).settings.max_limit == 1000
    assert search_of(limited).settings.primary_timeout == 5


def test_the_documented_request_is_answered_as_documented(limited: Any) -> None:
    response = limited.get(REQUEST, status=400)
    assert response.json["message"] == ANSWER
    assert response.headers["X-Search-Engine"] == "none; reason=bad-request"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "&_search=true",
        "&_search=false",
        "&q=ann",
        "&_count",
        "&_fields=name",
        "&_aggs.codes.terms.field=code",
        "&_page=2",
        "&_limit=5",
    ],
)
@pytest.mark.parametrize("limit", ["1001", "%2B20000", "20_000", "%201001%20", "9" * 300])
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_larger_page_is_refused_whoever_answers(
    limited: Any, method: str, limit: str, rest: str
) -> None:
    response = getattr(limited, method)(f"/keepers?_limit={limit}{rest}", status=400)
    assert response.headers["X-Search-Engine"].startswith("none")


@pytest.mark.parametrize("rest", ["", "&_search=true", "&_search=false", "&q=ann"])
def test_the_largest_page_is_answered(limited: Any, rest: str) -> None:
    assert len(limited.get(f"/keepers?_limit=1000{rest}").json["data"]) == KEEPERS


@pytest.mark.parametrize("limit", ["many", "1e9", "-1", ""])
def test_what_is_no_page_is_reported_as_ever(limited: Any, limit: str) -> None:
    """By the search, or by nefertari."""
    assert "max_limit" not in limited.get(f"/keepers?_limit={limit}", expect_errors=True).text


def test_several_collections_have_the_same_limit(
    backend_url: str, index_prefix: str, tmp_path: Path
) -> None:
    app = museum(
        f"sqlite:///{tmp_path}/museum.sqlite",
        backend_url,
        index_prefix,
        **{"nefertari_search.max_limit": "7"},
    )
    routes = search_of(app).router._multi_routes
    assert routes
    assert "max_limit" in app.get("/artists,paintings?_limit=8", expect_errors=True).text


# The time of the primary


@pytest.fixture
def slow(primary_url: str, backend_url: str, module_prefix: str, limited: Any) -> Any:
    settings = {"nefertari_search.primary_timeout": "0.2", "auth": "false"}
    return zoo(primary_url, backend_url, module_prefix, **settings)


def engine_of_reads() -> Any:
    from pyramid_sqlalchemy import Session

    return Session().get_bind()


def endless(dialect: str) -> str:
    if dialect == "postgresql":
        return "SELECT pg_sleep(600)"
    return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.mark.parametrize("path", ["/keepers?_search=false", "/keepers?name=Ann%201&_search=false"])
def test_a_statement_without_an_end_is_ended(slow: Any, path: str) -> None:
    engine = engine_of_reads()

    def before(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
        if "zoo_keepers" in statement and "count" not in statement:
            return endless(engine.dialect.name), ()
        return statement, parameters

    event.listen(engine, "before_cursor_execute", before, retval=True)
    try:
        response = slow.get(path, status=503)
    finally:
        event.remove(engine, "before_cursor_execute", before)
    assert response.json["status_code"] == 503
    assert response.json["title"]
    assert response.headers["Retry-After"]
    assert response.headers["X-Search-Engine"] == "none; reason=primary-timeout"
    # The next one is answered, if it has the time: nothing of this limit is left behind.
    search_of(slow).settings.primary_timeout = 3600.0
    assert len(slow.get("/keepers?_search=false").json["data"]) == 20


def test_no_statement_begins_after_the_time(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    engine = engine_of_reads()

    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "zoo_keepers" in statement:
            statements.append(statement)
            monkeypatch.setattr(time_limit.TimeLimit, "remaining", 0.0)

    event.listen(engine, "after_cursor_execute", after)
    try:
        slow.get("/keepers?_search=false", status=503)
    finally:
        event.remove(engine, "after_cursor_execute", after)
    assert len(statements) == 1


def test_other_requests_have_no_limit(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items and writes are the application's, and a mirror's answer needs no primary."""
    monkeypatch.setattr(time_limit.TimeLimit, "remaining", 0.0)
    assert slow.get("/keepers/k00001").json["name"] == "Ann 1"
    assert slow.get("/keepers").headers["X-Search-Engine"] == "mirror"
    slow.get("/keepers?_search=false", status=503)


def test_without_the_setting_nothing_is_limited(
    backend_url: str, index_prefix: str, tmp_path: Path
) -> None:
    app = zoo(f"sqlite:///{tmp_path}/zoo.sqlite", backend_url, index_prefix)
    assert search_of(app).settings.primary_timeout is None
    app.get("/keepers?_search=false&_limit=20000")
    engine = engine_of_reads()
    assert not event.contains(engine, "before_cursor_execute", time_limit._before)
