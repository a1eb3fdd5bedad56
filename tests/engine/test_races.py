"""Twenty at once: four processes of five threads each, on every backend.

The racers are tests/support/racing.py; what is left behind is read by this process, straight from
the backend.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import indices_of
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

PROCESSES, THREADS = 4, 5
RACERS = PROCESSES * THREADS
ROUNDS = 5


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("elasticsearch", marks=pytest.mark.long),
        pytest.param("opensearch", marks=pytest.mark.long),
    ]
)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, index_prefix: str
) -> Iterator[dict[str, str]]:
    """The settings of an application on a backend, with nothing in it."""
    if request.param == "embedded":
        yield {
            "nefertari_search.backend": f"embedded:{tmp_path}",
            "elasticsearch.index_name": index_prefix,
        }
        return
    url = request.getfixturevalue(f"{request.param}_url")
    yield {
        "nefertari_search.backend": request.param,
        "elasticsearch.hosts": url.partition("://")[2],
        "elasticsearch.index_name": index_prefix,
    }
    assert indices_of(url, index_prefix)


def started(work: str, threads: int, first: int, settings: dict[str, str]) -> Any:
    """A process of racers, ready to go."""
    process = subprocess.Popen(
        [
            sys.executable,
            *("-m", "tests.support.racing", work, str(threads), str(first)),
            *(f"{key}={value}" for key, value in settings.items()),
        ],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(TOP))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: Any) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def results(process: Any) -> list[Any]:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    results_: list[Any] = json.loads(output.strip().splitlines()[-1])
    return results_


def race(work: str, settings: dict[str, str]) -> list[Any]:
    """What twenty saw that did the same at the same time."""
    processes = [started(work, THREADS, n * THREADS, settings) for n in range(PROCESSES)]
    for process in processes:
        go(process)
    return [each for process in processes for each in results(process)]


def alone(work: str, settings: dict[str, str]) -> Any:
    """What one sees."""
    process = started(work, 1, 100, settings)
    go(process)
    (result,) = results(process)
    return result


def sources(settings: dict[str, str], model: str) -> dict[str, Any]:
    """All documents of a model, by id, as the backend has them."""
    from nefertari_search_tween.backends import make_backend
    from nefertari_search_tween.settings.settings import Settings

    settings_ = Settings(settings)
    backend = make_backend(*settings_.backend, settings_.connection)
    alias = f"{settings['elasticsearch.index_name']}-{model}"
    if backend.get_mapping(alias) is None:
        return {}
    backend.refresh(alias)
    body = {"sort": [{"_pk": "asc"}]}
    return {hit["_id"]: hit["_source"] for chunk in backend.scan(alias, body, 500) for hit in chunk}


@pytest.mark.thorough
def test_one_of_twenty_creators_wins(settings: dict[str, str], record_property: Any) -> None:
    statuses = race("create", settings)
    assert sorted(statuses) == [201] + [409] * (RACERS - 1)
    cards = sources(settings, "card")
    assert list(cards) == ["race"]
    # The values that losers had reserved are free again, the winner's is not.
    (winner,) = cards.values()
    freed = alone("reuse", settings)
    assert [racer for racer, status in enumerate(freed) if status != 201] == [winner["visits"]]
    assert freed[winner["visits"]] == 409
    record_property("compared", f"races: {RACERS} creators of a key: {statuses.count(201)} won")


@pytest.mark.thorough
def test_one_of_twenty_gets_a_unique_value(settings: dict[str, str], record_property: Any) -> None:
    statuses = race("take", settings)
    assert sorted(statuses) == [201] + [409] * (RACERS - 1)
    assert len(sources(settings, "card")) == 1
    record_property("compared", f"races: {RACERS} takers of a value: {statuses.count(201)} won")


@pytest.mark.thorough
def test_no_update_of_twenty_is_lost(settings: dict[str, str], record_property: Any) -> None:
    assert alone("create", settings) == 201
    before = sources(settings, "card")["race"]["visits"]
    tries = race("count", settings)
    assert len(tries) == RACERS
    difference = sources(settings, "card")["race"]["visits"] - before
    assert difference == RACERS * ROUNDS
    record_property(
        "compared",
        f"races: {RACERS} updaters of a document: {difference} of {RACERS * ROUNDS} updates kept, "
        f"{sum(tries) - difference} were refused and made again",
    )


@pytest.mark.thorough
def test_numbers_are_given_out_once(settings: dict[str, str]) -> None:
    numbers = [each for some in race("number", settings) for each in some]
    assert sorted(numbers) == list(range(1, RACERS * ROUNDS + 1))
    assert len(sources(settings, "ticket")) == RACERS * ROUNDS


def test_no_reference_to_a_deleted_document(settings: dict[str, str]) -> None:
    assert alone("author", settings) == 201
    pages = race("append", settings)
    statuses = {status for some in pages if isinstance(some, list) for status in some}
    assert statuses <= {201, 400}
    assert "deleted" in pages
    assert sources(settings, "author") == {}
    books = sources(settings, "book")
    assert {each["author_code"] for each in books.values()} <= {None}
    assert len(books) == sum(some.count(201) for some in pages if isinstance(some, list))


@pytest.mark.thorough
def test_a_value_reserved_by_a_process_that_died(settings: dict[str, str]) -> None:
    # All are running before the reservation is made: it lasts five seconds.
    process = started("die", 1, 1, settings)
    early, late = (started("take", 1, number, settings) for number in (100, 101))
    go(process)
    assert process.wait(timeout=60) == 9
    process.communicate()
    go(early)
    assert results(early) == [409]
    assert sources(settings, "card") == {}
    time.sleep(5.0)
    go(late)
    assert results(late) == [201]


def test_a_value_reserved_by_a_process_that_stood_still(settings: dict[str, str]) -> None:
    process = started("freeze", 1, 1, settings)
    go(process)
    assert process.stdout.readline() == "frozen\n"
    time.sleep(1.0)
    assert alone("take", settings) == 201
    go(process)
    assert results(process) == [409]
    assert list(sources(settings, "card")) == ["c100"]
