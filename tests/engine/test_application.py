"""An application on this engine alone, under pserve, as its users see it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.apps.engine_auth import INI
from tests.servers import free_port
from tests.servers.pserve import Pserve
from tests.support.apps import backend_and_hosts

pytestmark = pytest.mark.slow


def served(directory: Path, **variables: str) -> Pserve:
    path = directory / "club.ini"
    path.write_text(INI, encoding="utf-8")
    return Pserve(path, variables=variables)


@pytest.fixture(params=["ticket", "token"])
def variables(request: pytest.FixtureRequest, backend_url: str, module_prefix: str) -> Any:
    backend, hosts = backend_and_hosts(backend_url)
    return {
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": f"{module_prefix}-{request.param}",
        "policy": request.param,
    }


class Caller:
    """A caller of the application; requests of all callers are counted."""

    requests = 0

    def __init__(self, url: str, policy: str) -> None:
        self.url = url
        self.policy = policy
        self.token: Optional[str] = None
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def __call__(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """Status and body of one request."""
        Caller.requests += 1
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self.token:
            request.add_header("Authorization", self.token)
        try:
            answer = self._opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            challenge = answer.headers.get("WWW-Authenticate") or ""
            if challenge.startswith("ApiKey ") and ":" in challenge:
                self.token = challenge
            return answer.status, json.loads(text) if text else None

    def login(self, name: str, password: str) -> int:
        path = "/token" if self.policy == "token" else "/login"
        return self("POST", path, login=name, password=password)[0]


def names(answer: tuple[int, Any]) -> list[str]:
    status, body = answer
    assert status == 200, body
    return [each["name"] for each in body["data"]]


@pytest.fixture
def club(variables: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    with served(tmp_path, **variables) as server:
        yield lambda: Caller(server.url, variables["policy"])


def test_a_session(club: Any, variables: dict[str, str], record_property: Any) -> None:
    Caller.requests = 0
    anonymous, ada, bob, admin = club(), club(), club(), club()

    # Users
    assert anonymous("GET", "/stories")[1]["data"] == []
    assert anonymous("POST", "/stories", name="No")[0] in (401, 403)
    assert (
        ada("POST", "/register", username="Ada ", email="Ada@x.org", password="lovelace")[0] == 200
    )
    assert bob("POST", "/register", username="bob", email="bob@x.org", password="babbage")[0] == 200
    assert club()("POST", "/register", username="eve", email="bob@x.org", password="x")[0] == 400
    assert club()("POST", "/register", username="eve", email="bob@x.org", password="xxxx")[0] == 409
    assert club().login("ada", "wrong") == 401
    assert club().login("nobody", "wrong") == 404
    assert ada.login("ada", "lovelace") == 200
    assert bob.login("bob@x.org", "babbage") == 200
    assert admin.login("admin", "secret") == 200
    status, users = admin("GET", "/users?_sort=username")
    assert [each["username"] for each in users["data"]] == ["ada", "admin", "bob"]
    assert users["data"][0]["email"] == "ada@x.org"
    assert "password" not in ada("GET", "/users/bob")[1]
    assert anonymous("GET", "/users")[0] in (401, 403)

    # Stories
    status, story = ada(
        "POST", "/stories", name="First", slug="first", owner="ada", text="Once upon a time"
    )
    assert status == 201
    first = f"/stories/{story['id']}"
    assert story["owner"]["username"] == "ada"
    assert "password" not in story["owner"]
    assert story["state"] == "draft"
    assert ada("POST", "/stories", name="Again", slug="first")[0] == 409
    assert ada("POST", "/stories", name="x")[0] == 400
    assert ada("POST", "/stories", slug="nameless")[0] == 400
    assert ada("POST", "/stories", name="Bad", likes=-1)[0] == 400
    assert ada("POST", "/stories", name="Bad", state="gone")[0] == 400
    assert ada("POST", "/stories", name="Bad", owner="nobody")[0] == 400
    for number in range(12):
        caller, owner = (ada, "ada") if number % 2 else (bob, "bob")
        body = {"name": f"Story {number:02}", "slug": f"s{number}", "owner": owner}
        body.update(likes=number, rating=number / 3, tags=[f"t{number % 3}"])
        assert caller("POST", "/stories", **body)[0] == 201
    assert ada("GET", "/stories")[1]["total"] == 13
    assert names(ada("GET", "/stories?_sort=-likes&_limit=3")) == [
        "Story 11",
        "Story 10",
        "Story 09",
    ]
    assert names(ada("GET", "/stories?_sort=likes,name&_start=2&_limit=2")) == [
        "Story 01",
        "Story 02",
    ]
    assert names(ada("GET", "/stories?likes=7")) == ["Story 07"]
    assert ada("GET", "/stories?likes=many")[0] == 400
    assert ada("GET", "/stories?nothing=1")[0] == 400
    assert len(names(ada("GET", "/stories?tags=t1"))) == 4
    assert ada("GET", "/stories?_count&owner=bob")[1] == {"data": 6}
    status, some = ada("GET", "/stories?_fields=name,likes&_sort=likes&_limit=1&likes=3")
    assert {k: v for k, v in some["data"][0].items() if k in ("name", "likes")} == {
        "name": "Story 03",
        "likes": 3,
    }
    assert set(anonymous("GET", first)[1]) == {"id", "name", "_type", "_pk", "_self"}
    assert anonymous("GET", "/stories/999")[0] == 404

    # Search in the same index
    assert names(ada("GET", "/founds?q=upon")) == ["First"]
    assert names(ada("GET", "/stories?_search=true&text=once+AND+time")) == ["First"]
    assert ada("GET", "/founds?q=upon")[1]["data"][0]["owner"]["username"] == "ada"
    assert ada("GET", "/founds?q=likes:[10+TO+*]")[1]["total"] == 2
    assert anonymous("GET", "/founds?q=upon")[1]["total"] == 0
    assert ada("GET", "/founds?q=(")[0] == 400

    # Changes
    assert ada("PATCH", first, name="Second", tags=["new"])[1]["tags"] == ["new"]
    assert ada("PATCH", first, tags=["more", "-new"])[1]["tags"] == ["more"]
    assert ada("PATCH", first, likes="x")[0] == 400
    assert ada("PATCH", "/stories/999", name="None")[0] == 404
    assert names(ada("GET", "/founds?q=second")) == ["Second"]
    status, replaced = admin("PUT", first, name="Third", slug="third", owner="ada")
    assert (status, replaced["text"]) == (200, None)
    assert ada("POST", "/stories", name="Free", slug="first")[0] == 201
    assert admin("PATCH", "/stories?state=draft&likes=5", state="out")[0] == 200
    assert names(ada("GET", "/stories?state=out")) == ["Story 05"]

    # Relationships
    for text in ("one", "two", "three"):
        assert bob("POST", "/comments", text=text, story=story["id"])[0] == 201
    comments = ada("GET", first)[1]["comments"]
    assert len(comments) == 3
    assert admin("PATCH", first, comments=comments[:2])[1]["comments"] == comments[:2]
    assert bob("GET", f"/comments/{comments[2]}")[1]["story"] is None
    assert len(admin("GET", "/users/bob")[1]["stories"]) == 6
    assert admin("PATCH", first, owner="bob")[0] == 200
    assert len(admin("GET", "/users/bob")[1]["stories"]) == 7
    assert admin("DELETE", first)[0] == 200
    assert ada("GET", first)[0] == 404
    assert [each["id"] for each in ada("GET", "/comments")[1]["data"]] == comments[2:]
    assert admin("DELETE", "/stories?tags=t0")[0] == 200
    assert ada("GET", "/stories")[1]["total"] == 9
    assert admin("DELETE", "/users/bob")[0] == 200
    remaining = admin("GET", "/stories?_limit=50")[1]["data"]
    assert {each["owner"] and each["owner"]["username"] for each in remaining} == {"ada", None}
    # nefertari looks a token's user up for each request, and passes on that there is none.
    assert bob("POST", "/stories", name="Gone")[0] in (400, 401, 403, 404)
    assert ada("HEAD", "/stories")[0] == 200
    if variables["policy"] == "ticket":
        assert ada("POST", "/logout")[0] == 200
        assert ada("POST", "/stories", name="Out")[0] in (401, 403)
    else:
        before = ada.token
        assert ada("POST", "/reset_token", login="ada", password="lovelace")[0] == 200
        assert ada.token != before
        assert ada("POST", "/stories", name="In")[0] == 201
        ada.token = before
        assert ada("POST", "/stories", name="Out")[0] in (401, 403)
    assert Caller.requests >= 60
    record_property(
        "compared",
        f"engine: a session of {Caller.requests} requests ({variables['policy']}) under pserve",
    )


def test_what_was_stored_is_there_after_a_restart(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with served(tmp_path, **variables) as server:
        caller = Caller(server.url, variables["policy"])
        assert caller.login("admin", "secret") == 200
        story = caller("POST", "/stories", name="Kept", owner="admin")[1]["id"]
    with served(tmp_path, **variables) as server:
        caller = Caller(server.url, variables["policy"])
        assert caller.login("admin", "secret") == 200
        assert caller("GET", f"/stories/{story}")[1]["owner"]["username"] == "admin"


def test_a_database_that_is_away_is_a_503(tmp_path: Path) -> None:
    from tests.apps.any_engine import main as _  # noqa: F401 - the library needs no user to start

    path = tmp_path / "library.ini"
    text = INI.replace("tests.apps.engine_auth:main", "tests.apps.any_engine:main").replace(
        "auth = true", "auth = false"
    )
    path.write_text(text.replace("get club.policy = policy\n", ""), encoding="utf-8")
    variables = {"elasticsearch_hosts": f"127.0.0.1:{free_port()}", "index_name": "away"}
    with Pserve(path, variables=variables) as server:
        caller = Caller(server.url, "none")
        for method, where, body in (
            ("GET", "/books", {}),
            ("GET", "/books/a", {}),
            ("POST", "/books", {"code": "a", "title": "A"}),
            ("DELETE", "/books/a", {}),
            ("GET", "/founds?q=a", {}),
        ):
            began = time.monotonic()
            status, answer = caller(method, where, **body)
            assert (status, answer["status_code"]) == (503, 503), (method, where)
            assert time.monotonic() - began < 10
