"""Random requests to pairs of databases that differ in what is hidden: nobody learns of it.

The pairs and the requests are derived from the models, routes and known parameters (tests/privacy);
`python -m tests.privacy` asks more of them, on every engine.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.privacy.__main__ import run_application
from tests.privacy.applications import APPLICATIONS, Application
from tests.support.tiers import backend_kind, primary_kind

pytestmark = pytest.mark.slow

#: pairs of answers: of all tests here in an ordinary run, and of each on a server
PAIRS = 1500
PAIRS_ON_SERVERS = 48
SEED = 1

ON_SQL = [each for each in APPLICATIONS if "sqlite" in each.primaries]
ON_MONGODB = [each for each in APPLICATIONS if "mongodb" in each.primaries]
ON_ENGINE = [each for each in APPLICATIONS if "engine" in each.primaries]
ORDINARY = ("private_fields", "item_acls")


def parameters(applications: list[Application], ordinary: tuple[str, ...] = ()) -> list[Any]:
    """*applications*, those that are not *ordinary* in long runs only; () for all."""
    return [
        pytest.param(
            each,
            id=each.name,
            marks=[pytest.mark.long] if ordinary and each.name not in ordinary else [],
        )
        for each in applications
    ]


def ask(application: Application, primary: str, record_property: Any) -> None:
    count = PAIRS // (len(ON_SQL) + len(ORDINARY))
    if backend_kind() != "embedded":
        count = PAIRS_ON_SERVERS
    stats = run_application(application, primary, backend_kind(), count, SEED)
    report = stats.report(f"{application.name}, {primary}, {backend_kind()}")
    assert not stats.findings, report
    record_property("compared", report)
    assert stats.answered >= application.answered, report


@pytest.mark.every_backend
@pytest.mark.every_primary
@pytest.mark.parametrize("application", parameters(ON_SQL))
def test_no_request_tells_anything_that_is_hidden(
    application: Application, record_property: Any
) -> None:
    ask(application, primary_kind(), record_property)


@pytest.mark.mongodb
@pytest.mark.every_backend
@pytest.mark.parametrize("application", parameters(ON_MONGODB))
def test_no_request_to_mongodb_tells_anything(
    application: Application, record_property: Any
) -> None:
    ask(application, "mongodb", record_property)


@pytest.mark.every_backend
@pytest.mark.parametrize("application", parameters(ON_ENGINE, ORDINARY))
def test_no_request_to_the_engine_alone_tells_anything(
    application: Application, record_property: Any
) -> None:
    ask(application, "engine", record_property)


def test_what_is_not_protected_is_found() -> None:
    """The suite can fail: with the protection off, its requests tell hidden values."""
    (application,) = (each for each in APPLICATIONS if each.name == "private_fields")
    settings = {**application.settings, "nefertari_search.hidden_fields": "allow"}
    open_application = dataclasses.replace(application, settings=settings)
    stats = run_application(open_application, "sqlite", "embedded", 600, SEED)
    assert any(kind[-1] == "body by value" for kind in stats.findings), stats.report("open")
