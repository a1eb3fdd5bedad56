"""Who asks is looked up in the database, whatever happens to the search."""

from __future__ import annotations

import pytest

from tests.apps.private_fields import TABLES
from tests.apps.private_fields.running import Club

pytestmark = pytest.mark.slow

ACCOUNT = {"username": "Dora", "email": "dora@example.org", "password": "a password"}


def tables(answer) -> set[str]:
    """The application's tables that the request touched."""
    return {each.partition("=")[0] for each in answer.headers[TABLES].split(", ") if each}


#: settings with which no search can answer
def lost(club: Club) -> dict[str, str]:
    if club.variables["elasticsearch_hosts"]:
        return {"elasticsearch_hosts": "127.0.0.1:9"}
    return {"index_name": "nothing-was-built-here"}


def test_a_caller_is_looked_up_in_the_database_and_the_collection_in_the_mirror(club):
    for path, count in (("/stories", 6), ("/stories?q=title", 6), ("/members?_sort=username", 4)):
        answer = club.ask(path, "ann")
        assert answer.json["total"] == count
        assert answer.headers["X-Search-Engine"] == "mirror"
        # The caller's own look-up, and nothing of the collection or what it nests.
        assert {"members_users", "nefertari_apikey"} <= tables(answer)
        assert "members_stories" not in tables(answer)
        assert club.ask(path).headers[TABLES] == ""
    own = club.ask("/members?username=ann", "ann")
    assert [each["username"] for each in own.json["data"]] == ["ann"]
    assert own.headers["X-Search-Engine"] == "mirror"


def test_a_wrong_token_is_nobody(club):
    right = club.ask("/stories?_limit=1", Authorization="ApiKey ann:token-ann")
    wrong = club.ask("/stories?_limit=1", Authorization="ApiKey ann:token-bob")
    assert "body" in right.json["data"][0]
    assert "body" not in wrong.json["data"][0]
    assert club.ask("/closed_stories", Authorization="ApiKey ann:token-bob").status == 403
    assert club.ask("/closed_stories", "ann").status == 200
    assert club.ask("/closed_stories?q=title").status == 403
    assert club.ask("/closed_stories?q=title", "ann").json["total"] == 6


def test_tokens_are_registered_claimed_and_reset(club):
    assert club.ask("/account", method="POST", body=ACCOUNT).status == 200
    answer = club.ask("/token", method="POST", body={"login": "dora", "password": "a password"})
    token = answer.headers["Www-Authenticate"]
    assert token.startswith("ApiKey dora:")
    assert tables(answer) >= {"members_users"}
    assert "body" in club.ask("/stories?_limit=1", Authorization=token).json["data"][0]
    # Who has just been registered is found.
    assert club.ask("/members?q=dora").json["total"] == 1
    wrong = club.ask("/token", method="POST", body={"login": "dora", "password": "no"})
    assert wrong.status == 401
    stranger = club.ask("/token", method="POST", body={"login": "nobody", "password": "no"})
    assert stranger.status == 404
    login = {"login": "dora@example.org", "password": "a password"}
    again = club.ask("/reset_token", method="POST", body=login).headers["Www-Authenticate"]
    assert again != token
    assert club.ask("/closed_stories", Authorization=token).status == 403
    assert club.ask("/closed_stories", Authorization=again).status == 200
    second = club.ask("/account", method="POST", body=ACCOUNT)
    assert second.status == 409


def test_a_login_works_while_there_is_no_search(club):
    try:
        club.start(**lost(club))
        login = {"login": "ann", "password": "wrong"}
        assert club.ask("/token", method="POST", body=login).status == 401
        answer = club.ask("/stories?_sort=id", "ann")
        assert answer.headers["X-Search-Engine"].startswith("primary; reason=")
        assert "body" in answer.json["data"][0] and "note" not in answer.json["data"][0]
        assert club.ask("/stories?q=title", "ann").status == 503
        assert club.ask("/closed_stories", "ann").status == 200
        # Hidden fields stay so when the database answers.
        assert club.ask("/stories?_sort=rank", "ann").status == 400
        assert club.ask("/stories?_sort=rank", "eve").status == 200
    finally:
        club.start()


@pytest.mark.thorough
def test_tickets(club):
    """The same by a ticket in a cookie."""
    club.variables["login"] = "ticket"
    try:
        club.start()
        # Without tokens, members have none to be mirrored.
        club.rebuild()
        account = {"username": "fay", "email": "fay@example.org", "password": "a password"}
        registered = club.ask("/account", method="POST", body=account)
        assert registered.status == 200 and "auth_tkt" in registered.headers["Set-Cookie"]
        login = {"login": "fay", "password": "a password"}
        answer = club.ask("/login", method="POST", body=login)
        assert answer.status == 200 and "members_users" in tables(answer)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        response = club.ask("/stories?q=title", Cookie=cookie)
        assert response.headers["X-Search-Engine"] == "mirror"
        assert "members_users" in tables(response) and "members_stories" not in tables(response)
        assert "body" in response.json["data"][0]
        assert club.ask("/stories?rank=3", Cookie=cookie).status == 400
        assert club.ask("/closed_stories", Cookie="auth_tkt=forged").status == 403
        wrong = {"login": "fay", "password": "another"}
        assert club.ask("/login", method="POST", body=wrong).status == 401
        bye = club.ask("/logout", method="POST", body={}, Cookie=cookie)
        assert bye.status == 200 and "auth_tkt=;" in bye.headers["Set-Cookie"]
    finally:
        del club.variables["login"]
        club.start()
        club.rebuild()
