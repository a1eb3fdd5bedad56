"""Random requests to pairs of databases that differ in what is hidden: nobody learns of it.

The pairs and the requests are derived from the models, routes and known parameters (tests/privacy);
`python -m tests.privacy` asks more of them, on every engine.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest

from tests.privacy.__main__ import run_application
from tests.privacy.applications import APPLICATIONS, Application
from tests.privacy.pairs import ANSWERED
from tests.support.tiers import PRIMARY, backend_kind

#: pairs of answers; each is some milliseconds of two processes, and more of a server
PAIRS = {"embedded": 1500}
PAIRS_ON_SERVERS = 300
SEED = 1

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary, pytest.mark.slow]


def primary() -> str:
    return os.environ.get(PRIMARY, "sqlite")


def ask(application: Application, engine: str, record_property: Any) -> None:
    if engine not in application.primaries:
        pytest.skip(f"{application.name} is not for {engine}")
    count = PAIRS.get(backend_kind(), PAIRS_ON_SERVERS) // len(APPLICATIONS)
    stats = run_application(application, engine, backend_kind(), count, SEED)
    report = stats.report(f"{application.name}, {engine}")
    assert not stats.findings, report
    record_property("compared", report)
    assert stats.answered >= ANSWERED, report


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each.name)
def test_no_request_tells_anything_that_is_hidden(
    application: Application, record_property: Any
) -> None:
    ask(application, primary(), record_property)


@pytest.mark.mongodb
@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each.name)
def test_no_request_to_mongodb_tells_anything(
    application: Application, record_property: Any
) -> None:
    ask(application, primary(), record_property)


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each.name)
def test_no_request_to_the_engine_alone_tells_anything(
    application: Application, record_property: Any
) -> None:
    ask(application, "engine", record_property)


def test_what_is_not_protected_is_found(record_property: Any) -> None:
    """The suite can fail: with the protection off, its requests tell hidden values."""
    (application,) = (each for each in APPLICATIONS if each.name == "private_fields")
    settings = {**application.settings, "nefertari_search.hidden_fields": "allow"}
    open_application = dataclasses.replace(application, settings=settings)
    stats = run_application(open_application, "sqlite", "embedded", 360, SEED)
    assert any(kind[-1] == "body by value" for kind in stats.findings), stats.report("open")
