"""nefertari-guards: everybody sees what is theirs, and no trace of what is not.

What the application answers is compared with an evaluation of the ACLs in plain Python.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nefertari_search_tween.search.aggregations.types import KINDS, METRIC, PIPELINE
from tests.apps.item_acls import INI, PRINCIPALS
from tests.apps.private_fields.running import Answer, Club
from tests.read.aggregations.test_types import LACKING
from tests.support.forked import run_python
from tests.support.reference_aggregations import request
from tests.support.tiers import examples

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]

ADMIN = "root,g:admin"
ALONE = "nefertari_search_tween.engine"
TITLES = ("red lion", "red tiger", "blue lion", "blue bear", "red bear", "green owl")
NAMES = ("ann", "bob")

Entry = dict[str, str]


def entry(principal: str, permission: str = "view", action: str = "allow") -> Entry:
    return {"action": action, "principal": principal, "permission": permission}


principals = st.sampled_from(["everyone", "authenticated", "ann", "bob", "g:staff", "g:press"])
entries = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["allow", "allow", "deny"]),
        "principal": principals,
        "permission": st.sampled_from(["view", "view", "all", "update", "create"]),
    }
)
acls = st.lists(entries, max_size=4)
callers = st.sampled_from(
    ["", "ann", "bob", "ann,g:staff", "bob,g:press", "cal,g:staff,g:press", ADMIN]
)


def principals_of(caller: str) -> set[str]:
    identities = {each for each in caller.split(",") if each}
    return identities | {"everyone"} | ({"authenticated"} if identities else set())


def visible(acl: list[Entry], caller: str, permission: str = "view") -> bool:
    """One entry allows, and none denies."""
    mine = [
        entry["action"]
        for entry in acl
        if entry["principal"] in principals_of(caller)
        and entry["permission"] in ("all", permission)
    ]
    return "allow" in mine and "deny" not in mine


def readable(acl: list[Entry], caller: str) -> bool:
    """As Pyramid decides who reads an object by itself: the first entry that fits."""
    for entry in acl:
        if entry["principal"] in principals_of(caller) and entry["permission"] in ("all", "view"):
            return entry["action"] == "allow"
    return False


class Library(Club):
    """The application, and the ACLs that its objects have."""

    stories: list[list[Entry]]
    authors: list[list[Entry]]

    @property
    def alone(self) -> bool:
        """Return True if the index is the database, too."""
        return self.variables.get("engine") == ALONE

    def stored(self, number: int) -> dict[str, Any]:
        """A story as the database has it."""
        answer = self.get(f"/admin_stories/{number}", ADMIN)
        assert answer.status == 200, answer.text
        return answer.json

    def get(self, path: str, caller: str, method: str = "GET", body: Any = None) -> Answer:
        return self.ask(path, method=method, body=body, **{PRINCIPALS: caller})

    def fill(self) -> None:
        """Six stories of two authors, with a note each."""
        for name in NAMES:
            assert self.get("/admin_authors", ADMIN, "POST", {"name": name}).status == 201
        for number, title in enumerate(TITLES):
            story = {"title": title, "pages": number % 3, "author_id": 1 + number % 2}
            story["printed"] = f"{2010 + number}-01-01T00:00:00"
            done = self.get("/admin_stories", ADMIN, "POST", story)
            assert done.status == 201, done.text
            note = {"text": f"note {number}", "story_id": number + 1}
            assert self.get("/notes", ADMIN, "POST", note).status == 201

    def allow(self, stories: list[list[Entry]], authors: list[list[Entry]]) -> None:
        """Set the ACLs of the objects as an administrator."""
        self.stories, self.authors = stories, authors
        for collection, acls in (("stories", stories), ("authors", authors)):
            for number, acl in enumerate(acls, 1):
                path = f"/admin_{collection}/{number}"
                done = self.get(path, ADMIN, "PATCH", {"_acl": acl})
                assert done.status == 200, done.text

    def visible_stories(self, caller: str, permission: str = "view") -> list[int]:
        return [
            number for number, acl in enumerate(self.stories, 1) if visible(acl, caller, permission)
        ]


@pytest.fixture(scope="module", params=["nefertari_sqla", ALONE])
def library(request, tmp_path_factory, backend_url, module_prefix):
    folder, prefix = tmp_path_factory.mktemp("guarded"), f"{module_prefix}-{len(request.param)}"
    library = Library(folder, backend_url, prefix, INI, engine=request.param)
    try:
        library.start()
        library.fill()
        yield library
    finally:
        library.stop()


def ids(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["data"]]


@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stories=st.lists(acls, min_size=len(TITLES), max_size=len(TITLES)),
    authors=st.lists(acls, min_size=len(NAMES), max_size=len(NAMES)),
    asking=st.lists(callers, min_size=1, max_size=3, unique=True),
)
@example(  # each kind of entry, and a story that all see of an author whom only one sees
    stories=[
        [entry("everyone")],
        [entry("ann")],
        [entry("authenticated"), entry("bob", action="deny")],
        [entry("everyone")],
        [entry("g:staff", "all")],
        [entry("everyone", "update")],
    ],
    authors=[[entry("everyone")], [entry("ann")]],
    asking=["", "ann,g:staff", "bob"],
)
def test_everybody_sees_what_the_acls_say(library, stories, authors, asking):
    library.allow(stories, authors)
    for caller in asking:
        expected = library.visible_stories(caller)
        for path in (
            "/stories?_sort=id",
            "/plain_stories?_sort=id",
            "/plain_stories?_search=false&_sort=id",
            "/plain_stories?_search=true&_sort=id",
            "/plain_stories?q=title:*&_sort=id",
            "/raw_stories?_sort=id",
        ):
            answer = library.get(path, caller)
            assert ids(answer) == expected, (path, caller)
            assert answer.json["total"] == answer.json["count"] == len(expected), (path, caller)
            for document in answer.json["data"]:
                _shows_what_may_be_read(library, document, caller)
        assert ids(library.get("/query_stories", caller)) == expected[::-1]
        red = [number for number in expected if TITLES[number - 1].startswith("red")]
        assert ids(library.get("/stories?title=red&_sort=id", caller)) == red
        lions = [number for number in expected if TITLES[number - 1].endswith("lion")]
        assert ids(library.get("/plain_stories?q=lion&_sort=id", caller)) == lions
        for path in (
            "/stories?_count",
            "/plain_stories?_count",
            "/plain_stories?_count&_search=false",
        ):
            assert library.get(path, caller).json["data"] == len(expected), (path, caller)
        same = "/plain_stories?_sort=-pages,id&_start=1&_limit=3"
        mirror, primary = library.get(same, caller), library.get(f"{same}&_search=false", caller)
        engine = "primary; reason=read-from-primary" if library.alone else "mirror"
        assert mirror.headers["X-Search-Engine"] == engine
        assert primary.headers["X-Search-Engine"] == "primary; reason=search-false"
        assert mirror.text == primary.text
        _counts_what_is_visible(library, expected, caller)
        for number, name in enumerate(NAMES):
            by = [each for each in expected if (each - 1) % 2 == number]
            visible_ids = by if visible(authors[number], caller) else []
            for path in ("/plain_stories?_search=true&", "/stories?"):
                for query in (f"author.name={name}", f"author={number + 1}"):
                    answer = library.get(f"{path}{query}&_sort=id", caller)
                    assert ids(answer) == visible_ids, (path, query, caller)


def _facets_count_what_is_visible(
    library: Library, expected: list[int], authors: list[int], caller: str
) -> None:
    """Stories by their authors, whose own ACLs count."""
    request = "/plain_stories?_facets=author.name,title:50"
    if library.alone:
        # Authors are in an index of their own.
        assert library.get(request, caller).status == 400
        return
    facets = library.get(request, caller).json["facets"]
    by_name = {
        name: len([each for each in expected if (each - 1) % 2 == number])
        for number, name in enumerate(NAMES)
        if number + 1 in authors
    }
    counts = {each["value"]: each["count"] for each in facets["author.name"]}
    assert counts == {name: count for name, count in by_name.items() if count}
    assert {each["value"] for each in facets["title"]} == {TITLES[each - 1] for each in expected}


def _counts_what_is_visible(library: Library, expected: list[int], caller: str) -> None:
    """Aggregations, and the collections of several models."""
    tree = (
        "_aggs.t.terms.field=title&_aggs.t.terms.size=50&_aggs.n.value_count.field=id"
        "&_aggs.g.global=&_aggs.g.aggs.n.value_count.field=id"
    )
    for path in ("/stories", "/plain_stories"):
        response = library.get(f"{path}?{tree}", caller).json
        titles = {bucket["key"]: bucket["doc_count"] for bucket in response["t"]["buckets"]}
        assert titles == {TITLES[number - 1]: 1 for number in expected}, (path, caller)
        totals = (response["n"]["value"], response["g"]["n"]["value"])
        assert totals == (len(expected), len(expected)), (path, caller)
    authors = [number for number, acl in enumerate(library.authors, 1) if visible(acl, caller)]
    _facets_count_what_is_visible(library, expected, authors, caller)
    both = library.get("/stories,authors?_sort=_type,id&_limit=100", caller)
    listed = [(each["_type"], each["id"]) for each in both.json["data"]]
    expected_items = [("Author", each) for each in authors] + [("Story", each) for each in expected]
    assert listed == expected_items
    assert both.json["total"] == len(expected_items)
    assert library.get("/stories,authors?_count", caller).json["data"] == len(expected_items)
    response = library.get(
        "/stories,authors?_aggs.t.terms.field=_type&_aggs.g.global=&_aggs.g.aggs.n.terms.field=_type",
        caller,
    ).json
    counts = {"Author": len(authors), "Story": len(expected)}
    for each in (response["t"], response["g"]["n"]):
        assert {bucket["key"]: bucket["doc_count"] for bucket in each["buckets"]} == {
            model: count for model, count in counts.items() if count
        }


def _shows_what_may_be_read(library: Library, document: dict[str, Any], caller: str) -> None:
    author = (document["id"] - 1) % 2
    if not readable(library.authors[author], caller):
        assert document["author"] is None
    elif document["author"] is not None:
        assert document["author"]["name"] == NAMES[author]
    assert "_acl" not in document or caller == ADMIN


ALL: list[Entry] = [{"action": "allow", "principal": "everyone", "permission": "all"}]


# What else the options of a type need, besides the field; a type that is not here, and needs more,
# fails the test.
OPTIONS: dict[str, Any] = {
    "percentile_ranks": {"field": "pages", "values": "1,2"},
    "weighted_avg": {"value": {"field": "pages"}, "weight": {"field": "id"}},
    "string_stats": {"field": "title"},
    "matrix_stats": {"fields": "pages,id"},
    "rate": {"unit": "year"},
    "top_metrics": {"metrics": {"field": "pages"}, "sort": "-id"},
    "top_hits": {"size": 9, "sort": "id", "_source": "title,pages"},
    "filter": {"range": {"pages": {"gte": 1}}},
    "missing": {"field": "pages"},
    "global": {},
    "nested": {"path": "notes"},
    "sampler": {},
    "random_sampler": {"probability": 1, "seed": 1},
    "multi_terms": {"terms": [{"field": "title"}, {"field": "pages"}]},
    "significant_terms": {"field": "title", "min_doc_count": 1, "size": 50},
    "significant_text": {"field": "title", "min_doc_count": 1, "size": 50},
    "range": {"field": "pages", "ranges": [{"from": 1}]},
    "histogram": {"field": "pages", "interval": 1},
    "date_range": {"field": "printed", "ranges": [{"from": "2011-06-01"}]},
    "date_histogram": {"field": "printed", "calendar_interval": "year"},
    "auto_date_histogram": {"field": "printed", "buckets": 3},
    "composite": {"sources": [{"t": {"terms": {"field": "title"}}}]},
    "filters": {"filters": {"a": {"exists": {"field": "pages"}}}, "other_bucket": True},
    "adjacency_matrix": {"filters": {"a": {"exists": {"field": "pages"}}}},
    "terms": {"field": "title", "size": 50},
    "rare_terms": {"field": "title", "max_doc_count": 9},
}
INSIDE = {"n": {"value_count": {"field": "id"}}, "p": {"sum": {"field": "pages"}}}


def trees() -> dict[str, Any]:
    """A request for each type of aggregation; pipelines work on numbers of each title."""
    counts = {}
    for name, kind in KINDS.items():
        # The one that needs nested documents around it is below.
        if name in LACKING or name == "reverse_nested" or kind.category == PIPELINE:
            continue
        spec: dict[str, Any] = {name: OPTIONS.get(name, {"field": "pages"})}
        if (
            kind.category != METRIC
            and not kind.closed
            and name not in ("significant_text", "nested")
        ):
            spec["aggs"] = INSIDE
        counts[name] = {"x": spec}
    if "avg_bucket" not in LACKING:
        counts["sum_bucket"] = {**counts["terms"], "y": {"sum_bucket": {"buckets_path": "x>p"}}}
    # Around all others, and inside of them.
    counts["global terms"] = {"x": {"global": {}, "aggs": counts["terms"]}}
    counts["reverse_nested"] = {
        "x": {"nested": {"path": "notes"}, "aggs": {"y": {"reverse_nested": {}, "aggs": INSIDE}}}
    }
    return counts


def _comparable(answer: Answer) -> str:
    """Return the body of *answer* for comparisons.

    Significant terms of equal scores have no order: a server returns them in the order of its
    segments, which it merges at any time.
    """
    body = json.loads(answer.lasting[2])
    for aggregation in body.values():
        buckets = aggregation.get("buckets", ()) if isinstance(aggregation, dict) else ()
        if any("bg_count" in each for each in buckets):
            buckets.sort(key=lambda each: (-each["score"], each["key"]))
    return json.dumps(body)


def test_aggregations_tell_nothing_of_objects_that_may_not_be_seen(
    library, record_property, backend_url
):
    """Stories that ann may not see are changed, and their number: no answer of hers changes,
    whatever the type counts around what was found."""
    every = entry("g:admin", "all")
    hers, others = [entry("ann"), every], [entry("bob"), every]
    library.allow([hers, others, hers, others, hers, hers], [[*hers, entry("bob")], others])
    # With the engine alone, documents hold no nested ones: these are refused (test_engine_search).
    nothing = {"nested", "reverse_nested"} if library.alone else set()
    on_opensearch = backend_url.startswith("opensearch")
    requests = {
        (path, kind): request(path, tree, **narrowed)
        for path in ("/stories", "/plain_stories", "/stories,authors")
        for kind, tree in trees().items()
        if kind not in nothing
        # Its pipelines don't look through a bucket that is alone (docs/aggregations.rst).
        if (kind, path, on_opensearch) != ("sum_bucket", "/stories,authors", True)
        for narrowed in [{"title": "red OR green"} if kind.startswith(("sig", "glob")) else {}]
    }

    def responses(caller: str) -> dict[tuple[str, str], str]:
        answers = {key: library.get(path, caller) for key, path in requests.items()}
        refused = [(key, each.text) for key, each in answers.items() if each.status != 200]
        assert not refused, refused[0]
        return {key: _comparable(each) for key, each in answers.items()}

    def change(title: str, pages: int, printed: str) -> None:
        for number in (2, 4):
            body = {"title": title, "pages": pages, "printed": f"{printed}-01-01T00:00:00"}
            done = library.get(f"/admin_stories/{number}", ADMIN, "PATCH", body)
            assert done.status == 200, done.text

    before, all_before = responses("ann"), responses(ADMIN)
    change("red bear", -77, "1950")
    more = {"title": "red crow", "author_id": 2, "printed": "2060-01-01T00:00:00", "_acl": others}
    for path, body in (
        ("/admin_stories", more),
        ("/admin_stories", {**more, "pages": 98}),
        ("/admin_stories", {**more, "pages": 99}),
        ("/notes", {"text": "another", "story_id": 2}),
    ):
        created = library.get(path, ADMIN, "POST", body)
        assert created.status == 201, created.text
    try:
        after, all_after = responses("ann"), responses(ADMIN)
    finally:
        change("blue tiger", 1, "2014")
        deleted = library.get("/stories?title=crow", ADMIN, "DELETE")
    assert deleted.json["message"] == "Deleted 3 Story(s) objects", deleted.text
    assert [key for key in requests if before[key] != after[key]] == []
    # Whoever sees them gets other responses each time: the test could fail.
    assert [key for key in requests if all_before[key] == all_after[key]] == []
    record_property(
        "compared", f"guards: {len(requests)} aggregations told nothing of hidden objects"
    )


def test_only_what_may_be_changed_is_changed(library):
    """Update-many and delete-many select what the caller may update, or delete."""
    mine = [*ALL, entry("ann", "update", "deny")]
    library.allow([ALL, mine, ALL, [entry("ann")], [], ALL], [ALL, ALL])
    done = library.get("/stories?title=red", "ann", "PATCH", {"pages": 77})
    assert done.json["message"] == "Updated 1 Story(s) objects"
    assert [each for each in range(1, 7) if library.stored(each)["pages"] == 77] == [1]
    done = library.get("/stories?pages=77", "bob", "PATCH", {"pages": 0})
    assert done.json["message"] == "Updated 1 Story(s) objects"


def test_a_view_that_narrows_what_it_selected_changes_no_more(library):
    """Stories of one author that the search selected: only what is both."""
    library.allow([ALL] * 6, [ALL, ALL])
    for number in range(1, 7):
        library.get(f"/admin_stories/{number}", ADMIN, "PATCH", {"pages": number})
    done = library.get("/first_stories?pages=%5B2%20TO%206%5D", "bob", "PATCH", {"pages": 88})
    assert done.json["message"] == "Updated 2 Story(s) objects"
    assert [each for each in range(1, 7) if library.stored(each)["pages"] == 88] == [3, 5]


def test_a_change_of_an_acl_is_seen_at_once(library):
    library.allow([ALL] * 6, [ALL, ALL])
    assert len(ids(library.get("/stories", "ann"))) == 6
    for acl, is_visible in (
        ([entry("bob")], False),
        ([entry("ann")], True),
        ([], False),
        (ALL, True),
    ):
        library.get("/admin_stories/2", ADMIN, "PATCH", {"_acl": acl})
        for path in ("/stories", "/plain_stories", "/plain_stories?_search=false"):
            assert (2 in ids(library.get(path, "ann"))) is is_visible, (acl, path)


@pytest.mark.thorough
def test_entries_are_found_counted_and_replaced_by_the_scripts(library):
    library.allow([[entry("ann")], [entry("ann"), entry("bob")], ALL, [], ALL, ALL], [ALL, []])
    ann, press = entry("ann"), entry("g:press")
    assert counted(library, ann) == {"Story": "2", "Author": "0", "Note": "0"}
    done = script(
        library, "update_ace", "--from_ace", json.dumps(ann), "--to_ace", json.dumps(press)
    )
    assert done.splitlines()[-1] == "Done"
    assert counted(library, ann) == {"Story": "0", "Author": "0", "Note": "0"}
    assert counted(library, press, "--models", "Story") == {"Story": "2"}
    assert library.stored(2)["_acl"] == [press, entry("bob")]
    assert ids(library.get("/stories?_sort=id", "x,g:press")) == [1, 2, 3, 5, 6]


def script(library: Library, name: str, *arguments: str) -> str:
    """Run a script of nefertari-guards on the application and return its output."""
    ini = library.ini.with_name("script.ini")
    text = library.ini.read_text()
    for key, value in library.variables.items():
        text = text.replace(f"\n{key} =", f"\n{key} = {value}\n_{key} =", 1)
    ini.write_text(text)
    code = f"from nefertari_search_tween.scripts.guards import {name}; {name}()"
    done = run_python("-c", code, "--config", ini, *arguments, env=library.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(library: Library, ace: Entry, *arguments: str) -> dict[str, str]:
    printed = script(library, "count_ace", "--ace", json.dumps(ace), *arguments).splitlines()
    assert printed[0] == "Model,Count"
    return dict(line.split(",") for line in printed[1:])


@pytest.mark.thorough
def test_with_the_engine_of_this_package_beside_the_database_it_is_the_same(library):
    library.allow([ALL, [entry("ann")], [entry("bob")], [], ALL, ALL], [ALL, ALL])
    if library.alone:
        pytest.skip("it is the database")
    engine = re.search(r"(?m)^engine = (.*)$", library.ini.read_text())[1]
    try:
        library.start(engine=f"{engine} {ALONE}")
        for caller in ("", "ann", "bob"):
            for path in ("/stories?", "/plain_stories?", "/plain_stories?_search=false&"):
                keys = ids(library.get(f"{path}_sort=id", caller))
                assert keys == library.visible_stories(caller), (path, caller)
        assert library.get("/plain_stories", "").headers["X-Search-Engine"] == "mirror"
        library.get("/admin_stories/4", ADMIN, "PATCH", {"_acl": ALL})
        assert 4 in ids(library.get("/stories", "ann"))
    finally:
        library.start()


def test_a_search_that_is_down_opens_nothing(library, tmp_path):
    """The database answers transparent reads, by the same rules; other reads are refused."""
    if library.alone:
        pytest.skip("what is searched is the database: without it, nothing is answered")
    library.allow([ALL, [entry("ann")], [entry("bob")], [], ALL, ALL], [ALL, ALL])
    hidden = "elasticsearch" if library.variables["elasticsearch_hosts"] else "embedded:"
    lost = (
        {"elasticsearch_hosts": "127.0.0.1:9"}
        if hidden == "elasticsearch"
        else {"index_name": "nothing-was-built-here"}
    )
    try:
        library.start(**lost)
        for caller in ("", "ann", "bob"):
            answer = library.get("/plain_stories?_sort=id", caller)
            assert ids(answer) == library.visible_stories(caller)
            assert answer.headers["X-Search-Engine"].startswith("primary; reason=")
        for path in ("/stories", "/plain_stories?q=lion"):
            assert library.get(path, "ann").status == 503, path
    finally:
        library.start()
