"""nefertari-guards: everybody sees what is theirs, and no trace of what is not.

What the application answers is compared with an evaluation of the ACLs in plain Python.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guarded import INI, PRINCIPALS
from tests.members.running import Answer, Club

ADMIN = "root,g:admin"
TITLES = ("red lion", "red tiger", "blue lion", "blue bear", "red bear", "green owl")
NAMES = ("ann", "bob")

Entry = dict[str, str]

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
    given = {each for each in caller.split(",") if each}
    return given | {"everyone"} | ({"authenticated"} if given else set())


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

    def get(self, path: str, caller: str, method: str = "GET", body: Any = None) -> Answer:
        return self.ask(path, method=method, body=body, **{PRINCIPALS: caller})

    def allow(self, stories: list[list[Entry]], authors: list[list[Entry]]) -> None:
        """Give the objects their ACLs, as an administrator does."""
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


@pytest.fixture(scope="module")
def library(tmp_path_factory, backend_url, module_prefix):
    """Six stories of two authors, with a note each."""
    made = Library(tmp_path_factory.mktemp("guarded"), backend_url, module_prefix, INI)
    try:
        made.start()
        for name in NAMES:
            assert made.get("/admin_authors", ADMIN, "POST", {"name": name}).status == 201
        for number, title in enumerate(TITLES):
            story = {"title": title, "pages": number % 3, "author_id": 1 + number % 2}
            done = made.get("/admin_stories", ADMIN, "POST", story)
            assert done.status == 201, done.text
            note = {"text": f"note {number}", "story_id": number + 1}
            assert made.get("/notes", ADMIN, "POST", note).status == 201
        yield made
    finally:
        made.stop()


def ids(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["data"]]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stories=st.lists(acls, min_size=len(TITLES), max_size=len(TITLES)),
    authors=st.lists(acls, min_size=len(NAMES), max_size=len(NAMES)),
    asking=st.lists(callers, min_size=1, max_size=3, unique=True),
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
        ):
            answer = library.get(path, caller)
            assert ids(answer) == expected, (path, caller)
            assert answer.json["total"] == answer.json["count"] == len(expected), (path, caller)
            for shown in answer.json["data"]:
                _shows_what_may_be_read(library, shown, caller)
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
        assert mirror.headers["X-Search-Engine"] == "mirror"
        assert primary.headers["X-Search-Engine"] == "primary; reason=flag"
        assert mirror.text == primary.text
        for number, name in enumerate(NAMES):
            by = [each for each in expected if (each - 1) % 2 == number]
            found = by if visible(authors[number], caller) else []
            for path in ("/plain_stories?_search=true&", "/stories?"):
                assert ids(library.get(f"{path}author.name={name}&_sort=id", caller)) == found


def _shows_what_may_be_read(library: Library, shown: dict[str, Any], caller: str) -> None:
    author = (shown["id"] - 1) % 2
    if not readable(library.authors[author], caller):
        assert shown["author"] is None
    elif shown["author"] is not None:
        assert shown["author"]["name"] == NAMES[author]
    assert "_acl" not in shown or caller == ADMIN
