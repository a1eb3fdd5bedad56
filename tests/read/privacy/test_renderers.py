"""A renderer changes the form of an answer, never what it shows: every action, shape of a result
and ``Accept``, with renderers that print all they get."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from tests.apps.private_fields.contents import vary
from tests.support.tiers import mostly_long

pytestmark = pytest.mark.slow

#: texts of the fields that the anonymous do not see, and that members do not see; see `vary`
HIDDEN = {"": ("another", "secretone"), "ann": ("another",)}
INTERNAL = re.compile(r"SELECT|object at 0x|0x[0-9a-f]{8}|<class|<tests\.|\[SQL")
ACCEPTS = (None, "application/json", "text/plain", "text/html", "*/*")
RENDERERS = (None, "nosy", "own_after_calls", "calls_again", "plain_json")
SHAPES = (
    *("query", "rows", "excluded", "list", "tuple", "generator", "object", "dicts"),
    *("in a dict", "in lists", "with data", "unknown"),
)
#: method and path of each action of nefertari's views
ACTIONS = (
    *(("GET", "/shapes"), ("POST", "/shapes"), ("PUT", "/shapes"), ("PATCH", "/shapes")),
    *(("DELETE", "/shapes"), ("GET", "/shapes/1"), ("PUT", "/shapes/1")),
    *(("PATCH", "/shapes/1"), ("DELETE", "/shapes/1")),
)
#: every way in which a view gets its result
PATHS = (
    "/stories",
    "/stories?_search=false",
    "/stories?q=title",
    "/found_stories",
    "/shelved_stories",
    "/members",
    "/members,stories",
    "/drafts",
    "/profiles",
    "/strange_stories",
    "/stories/1",
    "/members?_fields=username,password,diary,motto",
    "/members?_search=false&_fields=username,password,diary,motto",
    "/stories?_fields=-title",
    "/stories?_search=false&_fields=-title",
    "/stories?_search=true&_fields=-title",
    "/stories?_count",
    "/stories?_aggs.a.top_hits.size=100",
    "/members,stories?_aggs.a.terms.field=_type&_aggs.a.aggs.b.top_hits.size=9",
)


def assert_shows_nothing_hidden(text, caller, request):
    for hidden in HIDDEN[caller]:
        assert hidden not in text, (request, text[:500])
    assert not INTERNAL.search(text), (request, text[:500])


@pytest.mark.parametrize("renderer", mostly_long(RENDERERS, len(RENDERERS), pytest.mark.thorough))
def test_a_result_of_any_shape(club, renderer):
    vary(club, 1, 0)
    visible = 0
    for accept, (method, path), shape, caller in itertools.product(
        ACCEPTS, ACTIONS, SHAPES, HIDDEN
    ):
        headers = {"X-Shape": shape}
        if accept is not None:
            headers["Accept"] = accept
        if renderer is not None:
            headers["X-Renderer"] = renderer
        body = {} if method in ("POST", "PUT", "PATCH") else None
        answer = club.ask(path, caller, method, body, **headers)
        assert answer.status in (200, 201), (method, path, headers, answer.text)
        assert_shows_nothing_hidden(answer.text, caller, (method, path, headers, caller))
        visible += "title 2" in answer.text
    # Enough was there to be hidden.
    assert visible > 100


@pytest.mark.parametrize("caller", HIDDEN)
def test_plain_text_is_the_same_as_json(club, caller):
    vary(club, 1, 0)
    for path in PATHS:
        as_json, as_text = (
            club.ask(path, caller, Accept=accept) for accept in ("application/json", "text/plain")
        )
        assert as_text.status == as_json.status, path
        assert_shows_nothing_hidden(as_text.text, caller, path)
        one, other = as_json.json, json.loads(as_text.text)
        if as_json.status == 200:
            one.pop("took", None), other.pop("took", None)
            assert one == other, path
            assert as_text.headers["Content-Type"].startswith("text/plain")


def test_a_renderer_that_filters_by_itself_declares_it(club):
    """docs/privacy.rst, rule 16"""
    vary(club, 1, 0)
    answer = club.ask("/shapes", **{"X-Shape": "list", "X-Renderer": "declared"})
    assert answer.text.split() == [f"Story:{number}" for number in range(1, 7)]
