"""A caller's names are judged as the database gets them, in every method and spelling."""

from __future__ import annotations

import itertools
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefertari_search_tween.search.privacy import CallerNames
from tests.apps.private_fields.contents import filled, vary
from tests.apps.private_fields.running import Club
from tests.read.privacy.test_renderers import INTERNAL
from tests.support.tiers import mostly_long

pytestmark = pytest.mark.slow

#: every modifier of either engine, and MongoDB's own operators
MODIFIERS = ("bool", "in", "all", "ne", "gte", "lt", "exists", "startswith", "iregex", "not__gte")
OPERATORS = ("$gte", "$regex", "$ne", "$where", "$exists", "x", "x.$gte", "0")
FORMS = (
    "{f}=a",
    "{f}=a&{f}=b",
    *(f"{{f}}__{each}=a" for each in MODIFIERS),
    *(f"{{f}}.{each}=a" for each in OPERATORS),
    *(f"{{f}}%2E{each.replace('$', '%24')}=a" for each in OPERATORS),
    *("_sort={f}", "_sort=-{f}", "_sort=title,%20-{f}", "_sort={f}__x", "_sort=title&_sort={f}"),
)
METHODS = ("GET", "PATCH", "PUT", "DELETE")
#: for Python code alone: what they make of a request is no caller's business
PYTHON_ONLY = ("_explain", "_strict", "_item_request", "_raise_on_empty", "query_set")
COLLECTIONS = ("/selecteds", "/hits")
CALLERS = {"": "rank", "ann": "note"}


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix):
    """The application, filled; methods can be tunnelled."""
    club = Club(tmp_path_factory.mktemp("members"), backend_url, module_prefix, tunneling="true")
    yield from filled(club)


def ask(club, method, path, caller, tunnelled=False):
    if tunnelled and method != "GET":
        return club.ask(f"{path}&_m={method}", caller)
    body = {} if method in ("PATCH", "PUT") else None
    return club.ask(path, caller, method, body)


def without(name, answer):
    text = re.sub(r'"request_url": "[^"]*"', "", answer.lasting[2])
    return answer.status, text.replace(name, "it")


@pytest.mark.parametrize("tunnelled", [False, True])
@pytest.mark.parametrize("method", mostly_long(METHODS, 2, pytest.mark.thorough))
def test_a_hidden_field_is_one_that_does_not_exist(club, method, tunnelled):
    """In every spelling, or what is hidden could be read letter by letter."""
    vary(club, 1, 0)
    for collection, form, (caller, hidden) in itertools.product(
        COLLECTIONS, FORMS, CALLERS.items()
    ):
        path = f"{collection}?{form}"
        one = ask(club, method, path.format(f=hidden), caller, tunnelled)
        other = ask(club, method, path.format(f="nofield"), caller, tunnelled)
        assert not INTERNAL.search(one.text), (path, one.text)
        if tunnelled and method in ("PATCH", "PUT"):
            # nefertari makes the body of the query string and selects by nothing: the answer is
            # that all are updated, or that the caller may not write the field.
            assert one.status in (400, 403) or "Updated 6 " in one.text, (path, one.text)
            continue
        assert without(hidden, one) == without("nofield", other), path
        assert one.status == 400, (method, path, one.text)


@pytest.mark.parametrize("caller", ["", "ann", "eve"])
def test_a_value_is_no_query(club, caller):
    """Not of a visible field, either: the database would take it for one in its own language."""
    for method, operator in itertools.product(("PATCH", "PUT"), OPERATORS):
        for name in ("title", "_sort", "_limit", "_fields"):
            answer = ask(club, method, f"/selecteds?{name}.{operator}=title", caller)
            assert answer.status == 400, (method, name, operator, answer.text)
            assert not INTERNAL.search(answer.text)
            if name == "title":
                assert "a value is expected" in answer.json["message"]


def test_plain_values_select(club):
    vary(club, 1, 0)
    selections = ("/selecteds?title=title%201", "/hits?title=%22title%201%22")
    for path, method in itertools.product(selections, ("PATCH", "PUT", "DELETE")):
        answer = ask(club, method, path, "")
        assert re.search(r"(Updated|Deleted) 1 Story", answer.json["message"]), answer.text


@pytest.mark.parametrize("name", PYTHON_ONLY)
def test_what_is_for_python_code_is_an_unknown_field(club, name):
    """``_explain`` showed SQL and the view's own filter."""
    for collection, method, flag, value, caller in itertools.product(
        (*COLLECTIONS, "/shelved_stories", "/members,stories"),
        ("GET", "PATCH", "DELETE"),
        ("", "_search=true&", "_search=false&"),
        ("1", ""),
        ("", "eve"),
    ):
        if collection == "/members,stories" and (method != "GET" or "false" in flag):
            continue
        if method != "GET" and flag:
            continue
        path = f"{collection}?{flag}title=nothing&{name}={value}"
        answer = ask(club, method, path, caller)
        assert answer.status in (400, 403, 405), (method, path, answer.text)
        assert not INTERNAL.search(answer.text) and "shelf" not in answer.text


def test_names_that_nest_deeply(club):
    deep = ".".join(["a"] * 900)
    for method in METHODS:
        answer = ask(club, method, f"/selecteds?{deep}=1&a.{deep}=2&{deep}.b=3", "eve")
        assert answer.status == 400
        assert "recursion" not in answer.text


# The names themselves are the caller's, too.


@pytest.mark.parametrize(
    "names",
    [["a" + "." * 60_000], [f"_{number}" for number in range(8_000)], ["a__b." * 12_000]],
    ids=["separators", "many", "parts"],
)
def test_any_names_that_fit_a_query_string_take_little_memory(names):
    """Less than a kilobyte for each part: what they begin with is not kept for each of them."""
    tracemalloc.start()
    try:
        caller_names = CallerNames(names)
        assert all(name in caller_names for name in names)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@given(
    st.lists(st.text("ab._", max_size=8), max_size=4),
    st.text("ab._", max_size=6),
)
def test_a_name_is_the_callers_if_one_of_theirs_can_become_it(names, text):
    """By the definition: it is one, or what stands before a separator in one."""
    beginnings = {name[: each.start()] for name in names for each in re.finditer(r"\.|__", name)}
    assert (text in CallerNames(names)) == (text in {*names, *beginnings})
