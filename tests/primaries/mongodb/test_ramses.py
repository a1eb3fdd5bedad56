"""The library on Ramses (test_ramses.py) with MongoDB, and the same two lines more.

The script is that of test_ramses.py. Foreign keys are SQL's: what is set and asked for here is the
relationship, and no document shows a foreign key.
"""

from __future__ import annotations

import pytest

from tests.compat import test_ramses
from tests.support.object_ids import ObjectIdTalk

pytestmark = pytest.mark.mongodb

RELATIONSHIPS = {"author_id": "author", "book_id": "book", "reviewer": "user"}
RELATIONSHIPS.update({name: name for name in ("author", "books", "book", "reviews")})


class Session(test_ramses.Session):
    """The same talk."""

    def caller(self, url):
        return ObjectIdTalk(url, RELATIONSHIPS, counted=("/authors", "/books", "/reviews"))

    def book(self, key):
        book = super().book(key)
        del book["author_id"]
        return book

    def review(self, key):
        review = super().review(key)
        del review["book_id"], review["reviewer"]
        return review

    def of_user(self, name):
        return {}

    def privacy(self):
        """Operators are nefertari_mongodb's, and no way around."""
        super().privacy()
        for talk, path, name in (
            (self.anybody.talk, "/books", "price"),
            (self.ann.talk, "/users", "password"),
        ):
            for parameter in (f"{name}__gt", f"{name}__exists", f"{name}__startswith", "_sort"):
                for flag in ({}, {"_search": "false"}):
                    value = name if parameter == "_sort" else "0"
                    answer = talk.send("GET", path, {parameter: value, **flag})
                    assert answer.status_code == 400, (parameter, flag, answer.text)
                    # Views of guards search, and can't be made to ask the database.
                    subject = "_search" if flag and self.database_acls else name
                    assert subject in answer.json()["message"]

    def books_by_author(self):
        ann = self.ann.talk
        params = {"_aggs.by.nested.path": "author", "_aggs.by.aggs.id.terms.field": "author.id"}
        if not self.database_acls:
            body = ann.read("/books", **params)
            return {(each["key"], each["doc_count"]) for each in body["by"]["id"]["buckets"]}
        # Nested authors have ACLs of their own, which a sum over all of them can't respect.
        refused = "none; reason=forbidden"
        ann.call("GET", "/books", params, status=403, engine=refused)
        aggregation = {"_aggs.n.value_count.field": "id"}
        counts = {
            key: ann.read("/books", author=key, **aggregation)["n"]["value"] for key in self.authors
        }
        return set(counts.items())


def deploy(folder, url, index_prefix, mongodb, name, **lines):
    """The library with MongoDB, in a database of its own."""
    return test_ramses.deploy(
        folder,
        url,
        index_prefix,
        nefertari__engine="nefertari_mongodb",
        mongodb__host=mongodb["mongodb.host"],
        mongodb__port=mongodb["mongodb.port"],
        mongodb__db=f"{mongodb['mongodb.db']}_{name}",
        **lines,
    )


@pytest.mark.parametrize(
    ("database_acls", "backend"),
    [(False, "embedded"), pytest.param(True, "elasticsearch", marks=pytest.mark.long)],
)
def test_an_application_on_ramses_needs_two_lines(
    database_acls, backend, request, mongodb, tmp_path, index_prefix, record_property
):
    url = f"embedded:{tmp_path}/search"
    if backend != "embedded":
        url = request.getfixturevalue(f"{backend}_url")
    lines = {"database_acls": str(database_acls).lower()}
    deployment = deploy(tmp_path, url, index_prefix, mongodb, backend, **lines)
    with deployment.serve() as server:
        session = Session(f"{server.url}/api", database_acls)
        session.run()
        assert session.talk.requests >= test_ramses.REQUESTS
        assert server.running
        results = deployment.verify()
        assert results["Book"]["compared"] == len(session.books)
    engines = ", ".join(f"{count} {name}" for name, count in session.talk.engines.most_common())
    record_property(
        "compared",
        f"a library on Ramses{' with ACLs' * database_acls} on {backend}, MongoDB: "
        f"{session.talk.requests} requests ({engines})",
    )


def test_users_with_tokens(mongodb, tmp_path, index_prefix):
    url = f"embedded:{tmp_path}/search"
    test_ramses.talk_with_tokens(deploy(tmp_path, url, index_prefix, mongodb, "tokens"))
