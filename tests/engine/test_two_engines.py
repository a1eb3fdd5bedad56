"""``nefertari.engine = nefertari_sqla nefertari_search_tween.engine``: both side by side; and
nefertari_mongodb with it.

Each answer comes with whether the application's tables (or collections) were asked for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.paths import TOP

pytestmark = pytest.mark.slow

OURS = "nefertari_search_tween.engine"
SQL, MONGODB = "nefertari_sqla", "nefertari_mongodb"
PRIMARY, MIRROR = "primary", "mirror"


@pytest.fixture(scope="module", params=[SQL, MONGODB])
def first(request: pytest.FixtureRequest) -> str:
    """The first engine."""
    return str(request.param)


@pytest.fixture(scope="module")
def facts(
    first: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    backend_url: str,
    module_prefix: str,
) -> dict[str, Any]:
    from tests.support.apps import backend_and_hosts

    directory = tmp_path_factory.mktemp("both")
    backend, hosts = backend_and_hosts(backend_url)
    settings = {
        "nefertari.engine": f"{first} {OURS}",
        "nefertari_search.backend": backend,
        "elasticsearch.hosts": hosts,
        "elasticsearch.index_name": f"{module_prefix}-{first.replace('_', '-')}",
    }
    if first == SQL:
        settings["sqlalchemy.url"] = f"sqlite:///{directory}/library.sqlite"
    else:
        settings.update(request.getfixturevalue("mongodb"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.apps.two_engines",
            *(f"{k}={v}" for k, v in settings.items()),
        ],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(TOP))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return results


def test_both_are_loaded_and_the_first_gives_the_names(facts: dict[str, Any], first: str) -> None:
    assert facts["engines"] == [first, OURS]
    assert facts["names are the first one's"]


def test_setup_database_sets_up_both(facts: dict[str, Any], first: str) -> None:
    models = ["Author", "Book", "Card", "Chapter", "Place", "Profile", "Seat", "Shelf"]
    tables = {SQL: [*(f"library_{name.lower()}s" for name in models[:-1]), "library_shelves"]}
    assert facts["tables"] == tables.get(first, [name.lower() for name in models])
    stored = {"Author": 2, "Book": 5, "Chapter": 3}
    assert facts["stored"] == {name: stored.get(name, 0) for name in models}
    assert facts["indices"] == models


def test_models_and_mirrors_know_each_other(facts: dict[str, Any], first: str) -> None:
    assert facts["secondary"] == [True, True, True]
    ours = "nefertari_search_tween.documents.fields"
    assert facts["field classes"] == {
        "code": ["StringField", ours],
        # In nefertari_mongodb a choice field has the type of its choices.
        "genre": ["ChoiceField" if first == SQL else "UnicodeField", ours],
        "author": ["Relationship", ours],
        "printed": ["DateTimeField", ours],
    }


def test_get_collection(facts: dict[str, Any]) -> None:
    novels = ["orlando", "ulysses", "waves"]
    assert facts["collection"] == [
        [novels, PRIMARY],
        [novels, MIRROR],
        [novels, PRIMARY],
        [novels, MIRROR],
        [5, MIRROR],
    ]


def test_get_item(facts: dict[str, Any]) -> None:
    assert facts["item"] == [
        ["The Waves", PRIMARY],
        ["The Waves", MIRROR],
        ["The Waves", PRIMARY],
        ["orlando", MIRROR],
        ["JHTTPNotFound 404", MIRROR],
        [None, MIRROR],
    ]


def test_get_by_ids(facts: dict[str, Any]) -> None:
    both = ["room", "waves"]
    assert facts["by ids"] == [
        [both, PRIMARY],
        [both, MIRROR],
        [both, PRIMARY],
        [["waves"], MIRROR],
        [["room"], MIRROR],
    ]


def test_a_caller_over_http_can_not_switch_in_python_only_ways(facts: dict[str, Any]) -> None:
    assert facts["over HTTP"] == [400, "mirror", "primary; reason=search-false"]


def test_a_write_through_the_mirror_reaches_both(facts: dict[str, Any]) -> None:
    assert facts["a write through the mirror"] == ["Waves", "Waves"]
    assert facts["author"] == ["James Joyce", MIRROR]
