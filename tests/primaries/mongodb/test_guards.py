"""nefertari-guards on MongoDB: everybody sees what is theirs, and no trace of what is not.

The application and the tests are those of test_guards.py.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.apps.item_acls import INI
from tests.apps.private_fields.running import Answer
from tests.compat import test_guards
from tests.compat.test_guards import (  # noqa: F401 - run here, too
    ALL,
    entry,
    ids,
    test_a_change_of_an_acl_is_seen_at_once,
    test_a_search_that_is_down_opens_nothing,
    test_entries_are_found_counted_and_replaced_by_the_scripts,
    test_everybody_sees_what_the_acls_say,
    test_only_what_may_be_changed_is_changed,
    test_with_the_engine_of_this_package_beside_the_database_it_is_the_same,
)
from tests.support.mongodb import ini_on_mongodb
from tests.support.object_ids import object_id

pytestmark = pytest.mark.mongodb

# Foreign keys are SQL's.
RELATIONSHIPS = {"author_id": "author", "story_id": "story"}


class Library(test_guards.Library):
    """Objects are numbered in the order in which they are made: the number is their ObjectId.

    :param settings: the ``mongodb.*`` settings.
    """

    def __init__(self, folder: Any, url: str, prefix: str, settings: dict[str, str]) -> None:
        super().__init__(folder, url, prefix, ini_on_mongodb(INI, settings))
        self.object_counts: dict[str, int] = {}

    def get(self, path: str, caller: str, method: str = "GET", body: Any = None) -> Answer:
        if method == "POST":
            self.object_counts[path] = self.object_counts.get(path, 0) + 1
            body = {
                RELATIONSHIPS.get(name, name): object_id(value) if name in RELATIONSHIPS else value
                for name, value in body.items()
            }
            body["id"] = object_id(self.object_counts[path])
        key = r"(?<=/)\d+$|(?<=[?&]author=)\d+"
        path = re.sub(key, lambda match: object_id(match[0]), path)
        answer = super().get(path, caller, method, body)
        return answer._replace(text=re.sub(r'"0{16}([0-9a-f]{8})"', _numbered, answer.text))


def _numbered(match: re.Match[str]) -> str:
    return str(int(match[1], 16))


@pytest.fixture(scope="module")
def library(tmp_path_factory, backend_url, module_prefix, mongodb):
    library = Library(tmp_path_factory.mktemp("guarded"), backend_url, module_prefix, mongodb)
    try:
        library.start()
        library.fill()
        yield library
    finally:
        library.stop()


def test_keys_that_are_asked_for_open_nothing_and_hide_nothing(library):
    """nefertari_mongodb takes lists of keys and operators, which the database alone answers."""
    library.allow([ALL, [entry("ann")], [entry("bob")], [], ALL, ALL], [ALL, ALL])
    keys = ",".join(object_id(number) for number in (1, 2, 3, 4))
    for caller, visible in (("", [1]), ("ann", [1, 2]), ("bob", [1, 3])):
        for flag in ("", "&_search=false"):
            for parameter in (f"id__in={keys}", f"pk__in={keys}"):
                answer = library.get(f"/plain_stories?{parameter}&_sort=id{flag}", caller)
                if parameter.startswith("pk"):
                    # No field of the model.
                    assert answer.status == 400
                    continue
                assert answer.headers["X-Search-Engine"].startswith("primary; reason=")
                assert ids(answer) == visible, (caller, parameter)
            for number in (1, 2, 3, 4):
                response = library.get(f"/plain_stories?id={object_id(number)}{flag}", caller)
                assert ids(response) == ([number] if number in visible else [])
            response = library.get(f"/plain_stories?id__gt={object_id(2)}&_sort=id{flag}", caller)
            assert ids(response) == [*([3] if caller == "bob" else []), 5, 6]


@pytest.mark.parametrize("flag", ["", "&_search=false"])
@pytest.mark.parametrize("parameter", ["_acl__principal", "_acl__0__principal", "_acl__size"])
def test_nobody_but_an_administrator_asks_for_what_an_acl_holds(library, parameter, flag):
    """MongoEngine looks into lists."""
    library.allow([[*ALL, entry("cal")]] * 6, [ALL, ALL])
    value = "2" if parameter.endswith("size") else "cal"
    for caller in ("", "ann"):
        answers = [
            library.get(f"/plain_stories?{parameter}={each}{flag}", caller) for each in (value, "9")
        ]
        assert [each.status for each in answers] == [400, 400], answers[0].text
        assert answers[0].json["message"] == answers[1].json["message"]
