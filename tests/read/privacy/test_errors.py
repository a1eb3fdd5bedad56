"""Texts of errors: those that people wrote for callers are shown, those of libraries are not."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.apps.private_fields.running import rules_of_models
from tests.read.privacy.test_renderers import INTERNAL

pytestmark = pytest.mark.slow

VALUES = ("x", "1e400", "-1", "5e-324", "1e22", "99999999999999999999999", "nan", "2014-99-99", "")
#: of the interpreter, of libraries, of databases
FOREIGN = re.compile(
    r"NoneType|int\(\)|float\(\)|literal for|cannot convert|not supported between|unhashable"
    r"|recursion|Traceback|\.py\b|sqlite|psycopg|sqlalchemy|mongoengine|pymongo|InstrumentedAttr"
    r"|members_stories|Exception\b|Comparator|out of range|too large to",
    re.IGNORECASE,
)
FORMS = (
    *("{f}={v}", "_search=false&{f}={v}", "_search=true&{f}={v}", "_search=false&{f}__gte={v}"),
    *("_sort={f}", "_sort=-{f}", "_search=false&_sort=-{f}", "_search=true&_sort=-{f}"),
    *("_fields={f}", "_search=false&_fields={f}", "q={f}:{v}", "q=x&_search_fields={f}"),
    "_aggs.a.max.field={f}&_aggs.a.max.missing={v}",
    "_aggs.a.terms.field={f}&_aggs.a.terms.missing={v}&_aggs.a.terms.size={v}",
    "_aggs.a.histogram.field={f}&_aggs.a.histogram.interval={v}",
    "_aggs.a.histogram.field={f}&_aggs.a.histogram.interval=1&_aggs.a.histogram.offset={v}",
    "_aggs.a.range.field={f}&_aggs.a.range.ranges.0.from={v}",
    "_aggs.a.date_histogram.field={f}&_aggs.a.date_histogram.fixed_interval={v}",
    "_aggs.a.percentiles.field={f}&_aggs.a.percentiles.percents={v}",
    *("_limit={v}&{f}=1", "_limit=1&_limit=2&{f}=1", "_start={v}&{f}=1", "_page={v}&{f}=1"),
)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_no_error_tells_of_what_is_inside(club, method):
    """An admin may name every field, so more reaches the database."""
    fields = rules_of_models()["Story"].fields
    errors = 0
    for form, name, value in itertools.product(FORMS, fields, VALUES):
        if method == "PATCH" and ("_aggs" in form or "_search=" in form):
            continue
        if "{v}" not in form and value != VALUES[0]:
            continue
        path = f"/selecteds?{form.format(f=name, v=value)}"
        answer = club.ask(path, "eve", method, {} if method == "PATCH" else None)
        assert answer.status in (200, 400), (path, answer.text)
        if answer.status == 400:
            errors += 1
            message = answer.json["message"]
            assert not FOREIGN.search(message), (path, message)
            assert not INTERNAL.search(answer.text), (path, answer.text)
    assert errors > 100


def test_an_error_names_the_parameters(club):
    answer = club.ask("/stories?_search=false&_sort=-author&title=x")
    assert answer.status == 400
    expected = "The request can't be answered with these parameters: _sort, title"
    assert answer.json["message"] == expected


def test_texts_of_the_application_and_of_nefertari_are_shown(club):
    assert club.ask("/raised?text=Titles+are+short").json["message"] == (
        "Bad or missing value 'Titles are short'"
    )
    assert "_limit must be an integer" in club.ask("/stories?_limit=x").json["message"]
    assert club.ask("/raised").json["message"] == "Bad or missing param 'text'"


def test_what_quotes_a_library_is_not_shown(club):
    """Whether a view raises it as an error, or as a response."""
    for kind in ("quoted", "response", "library"):
        answer = club.ask(f"/raised?kind={kind}&text=x")
        assert answer.status == 400
        assert answer.json["message"] == (
            "The request can't be answered with these parameters: kind, text"
        )
