"""Who answered how many reads, as ``status`` and a worker's metrics say it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry
from webtest import TestApp

from nefertari_search_tween.indexing.worker import WorkerStats
from nefertari_search_tween.interfaces.process_counts import MULTI_COLLECTION_READS, reads, sums
from nefertari_search_tween.scripts.metrics import WorkerMetrics
from tests.support import apps
from tests.support.apps import search_of
from tests.support.paths import TOP

pytestmark = pytest.mark.every_primary
#: path, and who answers it
REQUESTS = [
    *[("/accounts?_fields=name", "mirror")] * 3,
    *[("/accounts?_fields=name&_search=false", "primary; reason=search-false")] * 2,
    ("/accounts?email=x", "primary; reason=unproven-field"),
    ("/accounts?q=name:(", "none; reason=bad-request"),
    ("/ordered?_limit=1", "mirror"),
]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.proven(primary_url, backend_url, module_prefix)
    for path, engine in REQUESTS:
        assert app.get(path, expect_errors=True).headers["X-Search-Engine"] == engine, path
    # Writes and single objects are no reads of collections.
    app.get("/accounts/1", expect_errors=True)
    search_of(app).counts.report()
    yield app
    apps.forget_sessions()


def stored(app: TestApp) -> dict[str, dict[str, int]]:
    return {
        model: reads(numbers)
        for model, numbers in sums(search_of(app).process_counts.read_all()).items()
    }


def test_each_read_is_counted_once(app: TestApp) -> None:
    accounts = {
        "mirror": 3,
        "primary; reason=search-false": 2,
        "none; reason=bad-request": 1,
        "primary; reason=unproven-field": 1,
    }
    assert stored(app) == {"Account": accounts, "Ordered": {"mirror": 1}}
    assert list(stored(app)["Account"]) == list(accounts)
    assert MULTI_COLLECTION_READS not in stored(app)


def test_what_is_reported_again_is_not_counted_twice(app: TestApp) -> None:
    before = stored(app)
    search_of(app).counts.report()
    assert stored(app) == before
    app.get("/ordered?_limit=1")
    search_of(app).counts.report()
    search_of(app).counts.report()
    assert stored(app)["Ordered"]["mirror"] == before["Ordered"]["mirror"] + 1


def test_a_database_that_refuses_them_gets_them_later(
    app: TestApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    counts, store = search_of(app).counts, search_of(app).process_counts
    engine = store.engine
    before = stored(app)["Ordered"]["mirror"]
    with engine.begin() as connection:
        connection.execute("ALTER TABLE nefertari_search_counts RENAME TO gone_for_now")
    app.get("/ordered?_limit=1")
    counts.report()
    assert "counts of reads could not be stored" in caplog.text
    with engine.begin() as connection:
        connection.execute("ALTER TABLE gone_for_now RENAME TO nefertari_search_counts")
    counts.report()
    assert stored(app)["Ordered"]["mirror"] == before + 1


def test_status_says_it(
    app: TestApp, primary_url: str, backend_url: str, module_prefix: str, tmp_path: Path
) -> None:
    """In the form that docs/operations.rst shows."""
    line = (
        "Account: 42.9% of 7 reads answered by the mirror, the others: "
        "2 primary; reason=search-false, 1 none; reason=bad-request, "
        "1 primary; reason=unproven-field"
    )
    status = partial(
        apps.command_of_proven, "status", primary_url, backend_url, module_prefix, tmp_path
    )
    assert line in status().stdout.splitlines()
    page = (TOP / "docs" / "operations.rst").read_text(encoding="utf-8")
    assert line in re.sub(r"\s+", " ", page)
    rows = json.loads(status("--json").stdout)
    assert rows["Account"]["reads"] == stored(app)["Account"]


def test_a_worker_exports_it(app: TestApp) -> None:
    search: Any = search_of(app)
    registry = CollectorRegistry()
    registry.register(
        WorkerMetrics(WorkerStats(), search.outbox, ["Account"], search.process_counts)
    )
    samples = {
        (sample.labels["engine"], sample.labels["reason"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "nefertari_search_reads_total" and sample.labels["model"] == "Account"
    }
    assert samples == {
        ("mirror", ""): 3,
        ("primary", "search-false"): 2,
        ("primary", "unproven-field"): 1,
        ("none", "bad-request"): 1,
    }
