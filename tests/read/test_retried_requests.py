"""A request stays as it came: whoever sends it again, or a copy of it, gets the same answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import transaction
from pyramid_retry import RetryableException, RetryableExecutionPolicy
from webtest import TestApp

from tests.support.apps import forget_sessions, index_everything, observed
from tests.support.compare_answers import engine_of

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

#: query strings -> who answers, and the names; ``name=one`` is a word of the first two
DECISIONS = {
    "name=one&_search=true": ("mirror", ["one", "one more"]),
    "_search=true&name=one": ("mirror", ["one", "one more"]),
    "name=one&%5Fsearch=TRUE": ("mirror", ["one", "one more"]),
    "name=one&_search=false": ("primary; reason=search-false", ["one"]),
    "name=one": ("mirror", ["one"]),
    "q=more": ("mirror", ["one more"]),
    "q=more&_search=true": ("mirror", ["one more"]),
}


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    from pyramid_sqlalchemy import Session

    app = observed(primary_url, backend_url, module_prefix)
    from tests.apps.observed.models import Thing

    with transaction.manager:
        Session().add_all([Thing(id=1, name="one"), Thing(id=2, name="one more")])
    index_everything(app)
    yield app
    forget_sessions()


def twice(environ: Any, router: Any) -> Any:
    """Send a request that is thrown away, and one more, made of the same environ."""
    for _ in range(2):
        with router.request_context(environ) as request:
            response = router.invoke_request(request)
    return response


def copied(environ: Any, router: Any) -> Any:
    """Send a request, then a copy of it."""
    with router.request_context(environ) as request:
        router.invoke_request(request)
        copy = request.copy()
    with router.request_context(copy.environ) as request:
        return router.invoke_request(request)


def retried(environ: Any, router: Any) -> Any:
    """Send a request by pyramid_retry; the first attempt fails."""
    attempts: list[int] = []

    class Router:
        registry = router.registry
        request_context = router.request_context

        def invoke_request(self, request: Any) -> Any:
            response = router.invoke_request(request)
            attempts.append(request.environ["retry.attempt"])
            if len(attempts) == 1:
                raise RetryableException
            return response

    response = RetryableExecutionPolicy(attempts=3)(environ, Router())
    assert attempts == [0, 1]
    return response


@pytest.mark.parametrize("policy", [twice, copied, retried])
@pytest.mark.parametrize("query", DECISIONS)
def test_a_repeated_request_is_decided_as_the_first(
    app: TestApp, monkeypatch: Any, policy: Callable[..., Any], query: str
) -> None:
    plain = app.get(f"/things?_sort=id&{query}")
    assert (engine_of(plain), names_in(plain)) == DECISIONS[query]
    monkeypatch.setattr(app.app, "execution_policy", policy)
    again = app.get(f"/things?_sort=id&{query}")
    assert engine_of(again) == engine_of(plain)
    assert lasting(again) == lasting(plain)
    assert again.request.environ["QUERY_STRING"] == f"_sort=id&{query}"


@pytest.mark.parametrize("path", ["/copys", "/tween_copys"])
@pytest.mark.parametrize("query", [each for each in DECISIONS if "search" in each])
def test_a_copy_in_a_subrequest_is_decided_as_the_request(
    app: TestApp, path: str, query: str
) -> None:
    plain = app.get(f"/things?_sort=id&{query}")
    assert lasting(app.get(f"{path}?_sort=id&{query}")) == lasting(plain)


@pytest.mark.parametrize("path", ["/things", "/own_params"])
@pytest.mark.parametrize("query", DECISIONS)
def test_no_view_takes_the_flag_for_a_filter(app: TestApp, path: str, query: str) -> None:
    response = app.get(f"{path}?_sort=id&{query}")
    assert (engine_of(response), names_in(response)) == DECISIONS[query]
    assert "_search" not in response.headers.get("X-Params", "").split(",")
    assert "_search" not in response.text


def test_an_error_names_the_url_that_was_asked_for(app: TestApp) -> None:
    response = app.get("/things?_search=true&nope=1", status=400)
    assert response.json["request_url"].endswith("/things?_search=true&nope=1")


def names_in(response: Any) -> list[str]:
    return [each["name"] for each in response.json["data"]]


def lasting(response: Any) -> dict[str, Any]:
    return {name: value for name, value in response.json.items() if name != "took"}
