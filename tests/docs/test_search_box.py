"""The requests of docs/searchbox.rst, on the example application's films."""

from __future__ import annotations

import re
from typing import Any

import pytest
from webtest import TestApp

from tests.read.test_search_reads import encoded, titles
from tests.support.apps import Films, films
from tests.support.paths import TOP

pytestmark = pytest.mark.every_backend

# A request, what it finds or the message of its error, and a line about what else is returned.
_EXAMPLE = re.compile(
    r"^ *GET (?P<request>.*)\n *-> (?P<expected>.*)(?:\n *(?P<about>[a-z]+): (?P<more>.*))?", re.M
)


def documented() -> list[tuple[str, str, str, str]]:
    text = (TOP / "docs" / "searchbox.rst").read_text(encoding="utf-8")
    return [
        (match["request"], match["expected"], match["about"] or "", match["more"] or "")
        for match in _EXAMPLE.finditer(text)
    ]


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


def test_all_requests_are_examples():
    text = (TOP / "docs" / "searchbox.rst").read_text(encoding="utf-8")
    assert len(documented()) == len(re.findall(r"^ *GET ", text, re.M)) > 5


def in_words(body: dict[str, Any], about: str) -> str:
    """What the documentation says of the response *body*."""
    if about == "suggestions":
        return " | ".join(body["suggestions"])
    if about == "highlights":
        (item,) = body["data"]
        return " | ".join(part for parts in item["_highlight"].values() for part in parts)
    assert about == "facets"
    facets = (
        f"{name} " + ", ".join(f"{each['value']} {each['count']}" for each in values)
        for name, values in body["facets"].items()
    )
    return "; ".join(facets)


@pytest.mark.parametrize(("request_", "expected", "about", "more"), documented())
def test_a_documented_request(app: TestApp, request_: str, expected: str, about: str, more: str):
    if expected.startswith("400 "):
        response = app.get(encoded(request_), status=400)
        assert f"400 {response.json['message']}" == expected
        return
    response = app.get(encoded(request_))
    assert response.headers["X-Search-Engine"] == "mirror"
    assert titles(response.json) == expected.split(" | ")
    assert not about or in_words(response.json, about) == more
