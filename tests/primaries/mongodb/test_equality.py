"""Transparent reads on MongoDB: whatever is asked, the mirror answers what the primary answers.

Random requests, with random writes between them, each compared byte for byte; while the mirror
answers, no command reaches a collection of the application.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.every_field_mongo.content import WRITES, change, fill
from tests.support import mongodb as on_mongodb
from tests.support.compare_answers import Comparison
from tests.support.random_requests import LIMITS, Catalogue, drawn, paths_of, texts, zoo_paths
from tests.support.tiers import examples

pytestmark = [pytest.mark.mongodb, pytest.mark.every_backend]

EXAMPLES = examples(40)
STEPS = 20


class MongoComparison(Comparison):
    """Counts commands where the other counts statements."""

    def _watch(self) -> None:
        """Nothing: all commands are counted."""

    @property
    def statements(self) -> int:
        return on_mongodb.COMMANDS.count

    @statements.setter
    def statements(self, value: int) -> None:
        """Nothing: see :attr:`statements`."""


@pytest.fixture(scope="module")
def catalogue(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Catalogue:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    fill(60)
    from tests.apps.every_field_mongo import models

    # What is never answered by the mirror is asked now and then only.
    relations = {"keeper", "label", "tags", "items", "item", "children"}
    rare = {*relations, "keeper_code", "blob", "thing", "options"}

    def values_of(model: Any) -> dict[str, list[str]]:
        return {
            name: [] if name in rare else texts(getattr(each, name) for each in model.objects)
            for name in model._fields
        }

    paths = paths_of({**zoo_paths(models), "/narrows": models.Item}, values_of)
    comparison = MongoComparison(app, opaque="thing")
    comparison.default_sorts["/nodes"] = "-name"
    return Catalogue(comparison, paths, LIMITS)


@drawn(EXAMPLES)
@given(data=st.data())
def test_random_requests(catalogue: Catalogue, data: Any) -> None:
    catalogue.change_and_compare(data, WRITES, change, STEPS)


def test_the_mirror_answered_most_of_them(catalogue: Catalogue, record_property: Any) -> None:
    comparison = catalogue.comparison
    record_property("compared", comparison.report("zoo on MongoDB"))
    assert comparison.requests >= EXAMPLES * STEPS
    # Bad parameters and what only the database can do are asked, too; the rest is ours.
    assert comparison.by_mirror > comparison.requests / 3


def test_a_field_class_of_the_applications_own_is_not_known(catalogue: Catalogue) -> None:
    from tests.apps.every_field_mongo.models import Badge
    from tests.support.apps import search_of

    for name in ("anna", "Bob", "bob"):
        Badge(name=name).save()
    for params in ({"_sort": "name"}, {"name": "bob"}, {"name": None}, {"_sort": "id"}):
        expected = [each.name for each in Badge.get_collection(**params)]
        mirrored = Badge.get_collection(_query_secondary=True, **params)
        assert [each.name for each in mirrored] == expected, params
    proof = search_of(catalogue.comparison.app).searcher.semantics["Badge"].proof("name")
    for doubt in (proof.rendering, proof.equality, proof.order, proof.nulls):
        assert doubt is not None and doubt.words == "its class Reversed is not known"


def test_nothing_is_left_to_do_or_refused(catalogue: Catalogue) -> None:
    from tests.support.apps import search_of

    outbox = search_of(catalogue.comparison.app).outbox
    assert outbox.pending_count() == 0
    assert outbox.dead_letters() == []
