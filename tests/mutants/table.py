"""The modules whose mutants are made, and the tests that are to notice them.

Tests of `make test` on the embedded backend and SQLite, those first that fail first. They notice at
the level of a promise: what a request answers, what a commit leaves in the index.
"""

from __future__ import annotations

_EQUALITY = ("tests/read/test_equality.py", "tests/read/test_fields.py")
_REQUESTS = ("tests/read/test_bad_input.py", "tests/compat/test_requests.py")
_SYNC = ("tests/write/test_sync.py",)
_OUTBOX = ("tests/write/test_outbox.py", *_SYNC)

#: module below nefertari_search_tween/ -> arguments of pytest
TESTS: dict[str, tuple[str, ...]] = {
    "search/routing.py": (*_REQUESTS, "tests/read/test_views.py"),
    "search/consistency.py": (
        "tests/read/test_consistency.py",
        "tests/read/test_caching.py",
        "tests/compat/test_eventual.py",
    ),
    "search/privacy.py": (
        "tests/read/privacy/test_hidden_fields.py",
        "tests/read/privacy/test_aggregations.py",
    ),
    "search/item_acl.py": ("tests/compat/test_guards.py",),
    "search/get_collection.py": ("tests/read/test_views.py", *_REQUESTS, *_EQUALITY),
    "search/query/transparent_read.py": (*_EQUALITY, *_REQUESTS),
    "search/query/fields.py": (
        "tests/read/privacy/test_hidden_fields.py",
        "tests/read/test_search_reads.py",
        "tests/compat/test_guards.py",
    ),
    "search/query/sorting.py": (
        "tests/read/test_search_reads.py",
        "tests/read/test_bad_input.py",
        "tests/read/test_multi_collection.py",
    ),
    "search/query/paging.py": (
        "tests/read/test_search_reads.py",
        "tests/read/test_bad_input.py",
        "tests/read/test_result_window.py",
    ),
    "indexing/indexer.py": (
        *_SYNC,
        "tests/write/test_dead_letters.py",
        "tests/write/test_sweeper.py",
        "tests/write/test_scans.py",
    ),
    "indexing/bulk_writer.py": ("tests/write/test_dead_letters.py", "tests/write/test_rebuild.py"),
    "indexing/recorder.py": _SYNC,
    "indexing/index_scan.py": ("tests/write/test_scans.py", "tests/write/test_verify.py"),
    "indexing/model_expansion.py": ("tests/write/test_catch_up.py", "tests/write/test_scans.py"),
    "indexing/failures.py": ("tests/write/test_dead_letters.py", "tests/write/test_sweeper.py"),
    "indexing/recovery.py": ("tests/write/test_sweeper.py",),
    "indexing/rebuild/backfill.py": ("tests/write/test_rebuild.py",),
    "indexing/rebuild/catch_up.py": ("tests/write/test_catch_up.py", "tests/write/test_rebuild.py"),
    "indexing/rebuild/missing.py": ("tests/write/test_scans.py", "tests/write/test_rebuild.py"),
    "indexing/rebuild/rebuild.py": ("tests/write/test_rebuild.py", "tests/write/test_catch_up.py"),
    "primary/outbox_base.py": ("tests/write/test_outbox.py", "tests/write/test_dead_letters.py"),
    "primary/sqla/outbox/claims.py": _OUTBOX,
    "primary/sqla/outbox/connections.py": ("tests/primaries/test_read_connections.py",),
    "primary/sqla/outbox/dead_letters.py": (
        "tests/write/test_outbox.py",
        "tests/write/test_dead_letters.py",
    ),
    "primary/sqla/outbox/fan_out.py": ("tests/primaries/test_triggers.py", *_SYNC),
    "primary/sqla/outbox/outbox.py": _OUTBOX,
    "primary/sqla/outbox/queries.py": _OUTBOX,
    "primary/sqla/outbox/rebuild_lock.py": ("tests/write/test_rebuild.py",),
    "primary/sqla/outbox/tables.py": _OUTBOX,
    "primary/sqla/outbox/transaction.py": _OUTBOX,
    "primary/sqla/outbox/versions.py": _OUTBOX,
    "primary/sqla/dependencies.py": _SYNC,
    "primary/sqla/semantics.py": _EQUALITY,
    "mirror/circuit_breaker.py": ("tests/read/test_consistency.py",),
    "caching/cache.py": ("tests/read/test_caching.py", "tests/read/test_cache_regions.py"),
}
