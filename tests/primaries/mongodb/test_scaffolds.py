"""The applications that the scaffolds generate for MongoDB, with two lines more.

The script is that of test_scaffolds.py: what is an object's number there is its ObjectId here.
"""

from __future__ import annotations

import pytest

from tests.acceptance import test_scaffolds
from tests.support.object_ids import ObjectIdTalk
from tests.support.scaffolds import INCLUDES, Deployment, generate

pytestmark = pytest.mark.mongodb


class Session(test_scaffolds.Session):
    """Items have no number in them that could be added up: their keys are texts."""

    def no_such_key(self):
        self.expect([], id="abc")

    def aggregations(self):
        talk, shelf = self.talk, self.shelf
        ids = shelf.ids()
        metrics = {"_aggs.all.value_count.field": "id", "_aggs.kinds.cardinality.field": "name"}
        names = len({item["name"] for item in shelf.items.values()})
        assert talk.read("/items", **metrics) == {"all": {"value": 25}, "kinds": {"value": names}}
        # Filters and q apply; paging does not.
        plums = shelf.with_words("name", "plum")
        params = {"name": "plum", "_limit": 1, "_aggregations.n.value_count.field": "id"}
        assert talk.read("/items", **params) == {"n": {"value": len(plums)}}
        north = shelf.with_any("north")
        body = talk.read("/items", q="north", **{"_aggs.n.value_count.field": "id"})
        assert body == {"n": {"value": len(north)}}
        # Buckets, and aggregations in them.
        body = talk.read(
            "/items",
            **{
                "_aggs.at.terms.field": "description",
                "_aggs.at.aggs.n.value_count.field": "name",
                "_aggs.at.aggs.ids.terms.field": "id",
                "_aggs.at.aggs.ids.terms.size": "30",
            },
        )
        ids_by_description = {
            bucket["key"]: sorted(each["key"] for each in bucket["ids"]["buckets"])
            for bucket in body["at"]["buckets"]
        }
        places = {item["description"] for item in shelf.items.values()} - {None}
        assert ids_by_description == {
            description: shelf.ids(
                lambda item, description=description: item["description"] == description
            )
            for description in places
        }
        for bucket in body["at"]["buckets"]:
            assert (
                bucket["n"]["value"]
                == bucket["doc_count"]
                == len(ids_by_description[bucket["key"]])
            )
        body = talk.read(
            "/items", **{"_aggs.kinds.terms.field": "id", "_aggs.kinds.terms.size": "30"}
        )
        assert sorted((each["key"], each["doc_count"]) for each in body["kinds"]["buckets"]) == [
            (each, 1) for each in ids
        ]
        talk.refuse("/items", "nope", **{"_aggs.x.max.field": "nope"})
        talk.refuse("/items", "text", **{"_aggs.x.max.field": "id"})

    def added(self, ids):
        return (
            {"_aggs.ids.terms.field": "id", "_aggs.ids.terms.order._key": "asc"},
            {
                "ids": {
                    "doc_count_error_upper_bound": 0,
                    "sum_other_doc_count": 0,
                    "buckets": [{"key": each, "doc_count": 1} for each in ids],
                }
            },
        )


@pytest.mark.parametrize(
    ("scaffold", "backend"),
    [
        ("nefertari_starter", "embedded"),
        pytest.param("ramses_starter", "elasticsearch", marks=pytest.mark.long),
    ],
)
def test_a_scaffolded_application_needs_two_lines(
    scaffold, backend, request, mongodb, tmp_path, index_prefix, record_property
):
    url = f"embedded:{tmp_path}/search"
    if backend != "embedded":
        url = request.getfixturevalue(f"{backend}_url")
    folder = generate(scaffold, tmp_path, "stock", "mongodb")
    deployment = Deployment(
        folder,
        "local.ini",
        mongodb__host=mongodb["mongodb.host"],
        mongodb__port=mongodb["mongodb.port"],
        mongodb__db=f"{mongodb['mongodb.db']}_{scaffold}",
        elasticsearch__index_name=index_prefix,
        elasticsearch__enable_aggregations="true",
        elasticsearch__enable_polymorphic_query="true",
    )
    before = deployment.sources()
    added, removed_lines = deployment.add_search(url)
    assert added[0] == INCLUDES and len(added) == 2 and len(removed_lines) <= 1
    assert all(line.startswith("elasticsearch.hosts") for line in removed_lines)

    name = f"{scaffold} on {backend}, MongoDB"
    figures = test_scaffolds.run_session(deployment, before, name, Session, ObjectIdTalk)
    record_property("compared", figures)
