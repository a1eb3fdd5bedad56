"""One suite for every engine: what differs from nefertari_sqla is in docs/engine.rst, and no more.

Each engine runs in a process of its own (tests/engine/contract/runner.py); this module compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.support.paths import TOP

pytestmark = pytest.mark.slow

ENGINE = "nefertari_search_tween.engine"
SECONDS = 300
#: what docs/engine.rst calls them
OURS, MONGODB = "engine", "mongodb"


def run(engine: str, **settings: str) -> dict[str, Any]:
    """What each case saw on *engine*."""
    pairs = [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.contract.runner", engine, *pairs],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(TOP))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return results


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("contract")
    return run(
        "nefertari_sqla",
        **{
            "sqlalchemy.url": f"sqlite:///{directory}/library.sqlite",
            # nefertari does not start without: today's Elasticsearch clients are not its own.
            "pyramid.includes": "nefertari_search_tween",
            "nefertari_search.read_from": "primary",
            "nefertari_search.backend": f"embedded:{directory}/mirrors",
            "elasticsearch.index_name": "contract",
        },
    )


@pytest.fixture(scope="module")
def on_embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("contract")
    return run(
        ENGINE,
        **{
            "nefertari_search.backend": f"embedded:{directory}",
            "elasticsearch.index_name": "contract",
        },
    )


@pytest.fixture(scope="module")
def on_elasticsearch(elasticsearch_url: str, module_prefix: str) -> dict[str, Any]:
    return run(
        ENGINE,
        **{
            "elasticsearch.hosts": elasticsearch_url.partition("://")[2],
            "elasticsearch.index_name": module_prefix,
        },
    )


@pytest.fixture(scope="module")
def on_mongodb(mongodb: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("contract")
    return run(
        "nefertari_mongodb",
        **mongodb,
        **{
            "pyramid.includes": "nefertari_search_tween",
            "nefertari_search.read_from": "primary",
            "nefertari_search.backend": f"embedded:{directory}",
            "elasticsearch.index_name": "contract",
        },
    )


def listed() -> dict[str, set[str]]:
    """The table of docs/engine.rst: names of cases -> names of the engines that differ."""
    text = (TOP / "docs" / "engine.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - ``(\w+)``\n     - ([\w, ]+)\n", text, re.MULTILINE)
    differences = {name: set(engines.split(", ")) for name, engines in rows}
    assert len(differences) == len(rows), "a case is listed twice"
    return differences


def differing(results: dict[str, Any], reference: dict[str, Any]) -> set[str]:
    return {name for name, value in results.items() if value != reference[name]}


def check(results: dict[str, Any], reference: dict[str, Any], engine: str) -> None:
    failed = {name: each["failed"] for name, each in results.items() if _failed(each)}
    assert not failed
    expected = {name for name, engines in listed().items() if engine in engines}
    names = differing(results, reference)
    pairs = {name: (reference[name], results[name]) for name in names - expected}
    assert not pairs, "not in docs/engine.rst"
    assert not expected - names, "in docs/engine.rst, and the same"


def _failed(value: Any) -> bool:
    return isinstance(value, dict) and "failed" in value


@pytest.mark.thorough
def test_there_are_cases_and_the_reference_passes_them(reference: dict[str, Any]) -> None:
    assert len(reference) > 100
    assert not {name for name, each in reference.items() if _failed(each)}
    assert set(listed()) <= set(reference)


def test_on_the_embedded_backend(on_embedded: dict[str, Any], reference: dict[str, Any]) -> None:
    check(on_embedded, reference, OURS)


@pytest.mark.thorough
def test_on_elasticsearch(
    on_elasticsearch: dict[str, Any], reference: dict[str, Any], on_embedded: dict[str, Any]
) -> None:
    check(on_elasticsearch, reference, OURS)
    assert on_elasticsearch == on_embedded


@pytest.mark.thorough
def test_nefertari_mongodb(on_mongodb: dict[str, Any], reference: dict[str, Any]) -> None:
    check(on_mongodb, reference, MONGODB)


@pytest.mark.thorough
def test_table_of_results(
    on_mongodb: dict[str, Any],
    reference: dict[str, Any],
    on_embedded: dict[str, Any],
    on_elasticsearch: dict[str, Any],
    record_property: Any,
) -> None:
    """Printed at the end of the run."""
    rows = {
        "nefertari_sqla (SQLite)": reference,
        "nefertari_mongodb (FerretDB)": on_mongodb,
        "engine, embedded": on_embedded,
        "engine, Elasticsearch": on_elasticsearch,
    }
    for name, results in rows.items():
        different = differing(results, reference)
        record_property(
            "compared",
            f"contract: {name}: {len(results)} cases, {len(results) - len(different)} as "
            f"nefertari_sqla, {len(different)} listed in docs/engine.rst",
        )
        assert set(results) == set(reference)
