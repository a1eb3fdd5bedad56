"""Who may name which field, and what they are told of the others.

That nobody learns anything about a field that they may not see is for random requests to show
(tests/privacy); here is how the answers read.
"""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("caller", "path", "hidden"),
    [
        ("", "/stories?{}=3", "rank"),
        ("", "/stories?_search=true&{}=3", "rating"),
        ("ann", "/stories?_search=false&{}=3", "note"),
        ("ann", "/stories?_sort=-{}", "rank"),
        ("ann", "/stories?q=x&_sort={}", "price"),
        ("ann", "/stories?q={}:x", "author.salary"),
        ("ann", "/stories?q=x&_search_fields={}", "note"),
        ("ann", "/stories?q=x&_fields={}", "note"),
        ("", "/members,stories?{}=3", "salary"),
        ("ann", "/stories?_exists_={}", "rank"),
        ("", "/stories?_missing_={}", "rating"),
        ("ann", "/stories?_missing_={}", "author.salary"),
        ("ann", "/stories?q=_exists_:{}", "note"),
        ("ann", "/stories?q=x&_aggs.a.filter.query_string.query=_missing_:{}", "rank"),
        ("ann", "/members,stories?_missing_={}", "salary"),
        ("", "/stories?_search=false&_exists_={}", "rank"),
    ],
)
def test_a_hidden_field_is_one_that_does_not_exist(club, caller, path, hidden):
    """But for its name the answer is the same."""
    unknown = re.sub(r"[a-z]+$", "nofield", hidden)
    one, other = (club.ask(path.format(name), caller) for name in (hidden, unknown))
    assert one.status == other.status == 400
    messages = [
        re.sub(r'"request_url": "[^"]*"', "", answer.lasting[2]).replace(name, "it")
        for answer, name in ((one, hidden), (other, unknown))
    ]
    assert messages[0] == messages[1]
    assert one.headers["X-Search-Engine"] == other.headers["X-Search-Engine"]


def test_admins_name_every_field(club):
    for path in (
        "/stories?rank=3",
        "/stories?_search=false&rank=3",
        "/stories?_search=true&rank=[1 TO 9]",
        "/stories?q=note:*&_sort=-rank",
        "/stories?_missing_=note&q=_exists_:author.salary",
        "/members?_sort=-salary",
        "/stories?_aggs.a.terms.field=note",
    ):
        assert club.ask(path.replace(" ", "%20"), "eve").status == 200, path


def test_admins_sort_by_what_is_nested(club):
    assert club.ask("/stories?q=note:*&_sort=-author.salary", "eve").status == 200


def test_fields_are_for_who_may_name_them(club):
    """What members see, they search; the anonymous do not."""
    for path in ("/stories?rating=3", "/stories?q=body:*", "/stories?_sort=-rating"):
        assert club.ask(path, "ann").status == 200, path
        assert club.ask(path).status == 400, path
    assert club.ask("/stories?author.age=[1 TO 99]&_search=true".replace(" ", "%20"), "ann").json[
        "total"
    ]


def test_a_view_may_narrow_by_what_is_hidden(club):
    """It is the application that names the field; the caller still may not."""
    for path in ("/shelved_stories", "/found_stories", "/shelved_stories?q=title"):
        answer = club.ask(path)
        assert [each["id"] for each in answer.json["data"]] == [1, 2, 3, 4], path
        assert answer.headers["X-Search-Engine"] == "mirror"
    # Views put their own value where the caller typed one; what it is made of nobody can tell.
    for path in ("/shelved_stories", "/found_stories"):
        for value in ("open", "closed", "*"):
            assert club.ask(f"{path}?shelf={value}").status == 400, (path, value)
    assert club.ask("/found_stories?title=x%20OR%20shelf:closed").status == 400
    assert club.ask("/found_stories?_exists_=shelf").status == 400
    assert club.ask("/found_stories?_missing_=title&_exists_=title").json["total"] == 0


def test_what_a_write_selects_is_told_by_its_number(club):
    """So nobody selects by what is hidden, whoever may write."""
    club.sql("UPDATE members_users SET groups = ? WHERE username = 'cal'", '["editor"]')
    for path in ("/stories", "/found_stories"):
        refused = club.ask(f"{path}?rank=3", "cal", "PATCH", {"title": "changed"})
        assert refused.status == 400, refused.text
        done = club.ask(f"{path}?title=nothing", "cal", "PATCH", {"title": "changed"})
        assert done.json["message"] == "Updated 0 Story(s) objects"


def test_an_object_of_no_model_is_not_shown(club):
    assert club.ask("/strange_stories", "ann").json["data"] == [
        {"_type": "Nothing", "_pk": "1", "_self": "http://members.example/strange_stories"}
    ]
    assert club.ask("/strange_stories", "eve").json["data"][0]["note"] == "hidden"


def test_keys_of_an_own_rendering_follow_the_rules(club):
    for path in ("/drafts", "/drafts?q=draft", "/drafts?_search=true"):
        (draft,) = club.ask(path, "ann").json["data"]
        assert draft["shouted"] == "draft!" and "whispered" not in draft and "plot" not in draft
    for path in ("/drafts?q=secretone", "/drafts?_search=true&title=secretone"):
        assert club.ask(path, "ann").json["total"] == 0
    assert club.ask("/drafts?_search=true&whispered=x", "ann").status == 400


def test_public_limits(club):
    """The anonymous see so many, and are told of no more."""
    try:
        club.start(public_max_limit="3")
        for path in (
            "/stories?",
            "/stories?_search=false&",
            "/stories?q=title&",
            "/found_stories?",
        ):
            answer = club.ask(f"{path}_limit=5&_sort=id")
            assert answer.json["total"] == 3 and answer.json["count"] == 3, path
            assert [each["id"] for each in answer.json["data"]] == [1, 2, 3]
            assert club.ask(f"{path}_count").json["data"] == 3, path
            for beyond in ("_start=3", "_start=5&_limit=1", "_page=1&_limit=3", "_page=9"):
                assert club.ask(f"{path}{beyond}").json["data"] == [], (path, beyond)
            assert [each["id"] for each in club.ask(f"{path}_start=2&_sort=id").json["data"]] == [3]
            assert club.ask(f"{path}_limit=5", "ann").json["total"] > 3
        assert club.ask("/members,stories?_limit=9").json["total"] == 3
        assert club.ask("/members,stories?_count").json["data"] == 3
    finally:
        club.start()


def test_hidden_fields_may_be_allowed(club):
    """As nefertari has it: only what is shown is protected."""
    try:
        club.start(hidden_fields="allow")
        for path in ("/stories?rank=3", "/stories?_search=true&rank=3", "/stories?_sort=-note"):
            answer = club.ask(path)
            assert answer.status == 200
            assert "rank" not in answer.text and "note" not in answer.text
        # Fragments are values, and messages name what is shown alone.
        assert club.ask("/stories?q=title&_highlight=note").status == 400
        assert "did you mean" not in club.ask("/stories?q=title&_sort=rnak").text
    finally:
        club.start()
