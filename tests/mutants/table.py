"""The modules whose mutants are made, and the tests that are to notice them.

They are part of `make test`, on the embedded backend and SQLite, take seconds, and hold a promise:
what a request answers, what a commit leaves in the index.
"""

from __future__ import annotations


def _of(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{file}::{name}" for name in names)


_BAD_INPUT = _of(
    "read/test_bad_input.py",
    "test_a_search_read_is_refused",
    "test_bytes_that_are_no_text_or_too_many",
    "test_what_only_python_may_ask_is_an_unknown_field",
    "test_a_limit_that_is_no_number",
    "test_a_message_quotes_little_of_a_long_value",
    "test_odd_but_fine",
    "test_empty_parameters_are_none",
    "test_a_view_filter_can_not_be_overridden",
    "test_an_item_has_no_search",
    "test_a_parent_that_is_not_there",
    "test_a_transparent_read_gets_the_primarys_error",
    "test_a_transparent_read_is_the_primarys_answer",
)
_SEARCHES = ("tests/read/test_search_reads.py",)
_VIEWS = ("tests/read/test_views.py",)
_REQUESTS = ("tests/compat/test_requests.py",)
_PROOFS = ("tests/read/test_proofs.py",)
_EQUALITY = (
    *_of(
        "read/test_fields.py",
        "test_edge_values_of_the_field",
        "test_sorting_by_the_field",
        "test_relationships_and_their_keys",
    ),
    *_of("read/test_equality.py", "test_random_requests_to_the_films"),
)
_HIDDEN = _of(
    "read/privacy/test_hidden_fields.py",
    "test_a_hidden_field_is_one_that_does_not_exist",
    "test_admins_name_every_field",
    "test_admins_sort_by_what_is_nested",
    "test_fields_are_for_who_may_name_them",
    "test_a_view_may_narrow_by_what_is_hidden",
    "test_what_a_write_selects_is_told_by_its_number",
    "test_an_object_of_no_model_is_not_shown",
    "test_keys_of_an_own_rendering_follow_the_rules",
)
_GUARDS = _of(
    "compat/test_guards.py",
    "test_everybody_sees_what_the_acls_say[nefertari_sqla]",
    "test_only_what_may_be_changed_is_changed[nefertari_sqla]",
    "test_a_change_of_an_acl_is_seen_at_once[nefertari_sqla]",
)
_SYNC = _of(
    "write/test_sync.py",
    "test_a_created_object_is_read_and_found",
    "test_a_deleted_object_is_gone",
    "test_a_refused_request_leaves_nothing",
    "test_what_a_savepoint_undid_is_not_mirrored",
    "test_a_savepoint_that_was_released_comes_with_the_outer_commit",
    "test_what_is_changed_again_after_an_undone_savepoint_is_recorded_again",
    "test_a_change_shows_two_levels_up",
    "test_an_object_without_a_mirror_shows_where_it_is_nested",
    "test_a_transaction_of_many_chunks_is_mirrored_whole",
    "test_a_search_read_waits_for_what_was_before_it_alone",
    "test_a_released_claim_frees_rows_of_models_without_a_mirror_too",
)
_EVENTS = _of(
    "write/test_sync.py",
    "test_an_application_sees_what_is_created_updated_and_deleted",
    "test_events_are_fired_without_a_request",
    "test_an_event_names_every_document_that_shows_the_change",
    "test_an_event_of_an_object_without_a_mirror_names_those_that_nest_it",
    "test_bulk_statements_fire_one_event_each",
    "test_an_unwatched_model_fires_nothing",
)
_WRITE_PATHS = ("tests/write/test_write_paths.py",)
_DEPENDENCIES = ("tests/unit/test_dependencies.py",)
_RELATIONSHIPS = _of(
    "write/test_sync.py",
    "test_what_a_worker_indexes_shows_where_it_is_nested",
    "test_a_change_shows_two_levels_up",
    "test_an_object_without_a_mirror_shows_where_it_is_nested",
    "test_a_one_to_one_object_can_be_replaced",
    "test_a_foreign_key_that_moved_shows_on_both_owners",
    "test_both_sides_show_what_was_added_on_one",
    "test_a_deleted_tag_leaves_its_items",
    "test_parents_and_children_show_each_other",
    "test_on_delete_set_null_reaches_the_mirrors",
    "test_on_delete_cascade_reaches_the_mirrors",
    "test_a_key_that_changed_is_followed_by_who_mentions_it",
    "test_a_listed_key_that_changed_is_followed_by_the_lists",
    "test_a_zoo_has_nothing_that_can_not_be_followed",
)
_OUTBOX = _of(
    "write/test_outbox.py::TestSqlOutbox",
    "test_what_is_committed_waits_for_its_model_alone",
    "test_a_key_is_recorded_once_in_a_transaction",
    "test_keys_come_back_as_the_model_has_them",
    "test_versions_only_grow",
    "test_a_claim_is_of_one_until_its_lease_is_over",
    "test_what_is_released_is_free",
    "test_rows_of_inline_sync_are_born_claimed",
    "test_a_transaction_longer_than_the_lease_still_has_its_rows",
    "test_dead_letters",
    "test_what_waits_and_for_how_long",
    "test_a_watermark_is_passed_when_what_waited_is_gone",
    "test_a_watermark_does_not_wait_for_what_is_recorded_later",
    "test_rows_are_rolled_back_with_the_change",
    "test_tables_that_were_made_anew_serve_on",
    "test_readers_count_no_row_whose_writer_waits_for_it",
    "test_readers_count_what_any_other_claim_has",
    "test_readers_count_the_rows_of_a_writer_that_is_dead_after_its_lease",
    "test_readers_count_rows_from_before_the_clock_was_set_back",
    "test_rows_that_are_postponed_count_and_are_claimed_after_the_lease",
    "test_what_is_settled_is_a_new_version_for_readers",
    "test_readers_count_what_is_recorded_beside_triggers",
    "test_readers_count_the_rows_of_others_if_triggers_were_just_installed",
)
_IN_FLIGHT = ("tests/write/test_in_flight.py",)
_TABLES = _of(
    "write/test_outbox.py",
    "test_the_documented_statements_create_the_tables",
    "test_tables_that_are_missing_are_created",
    "test_a_database_that_may_not_be_written_is_told_in_one_line",
)
_REBUILD = _of(
    "write/test_rebuild.py",
    "test_one_that_fails_lets_the_next_go_on_at_once",
    "test_one_that_starts_over_leaves_nothing_of_what_was_begun",
    "test_an_index_that_is_not_there_is_built_from_all_that_is",
    "test_a_build_has_one_owner",
    "test_text_keys_are_positions_too",
    "test_what_was_read_long_ago_is_read_again",
)
_SCANS = ("tests/write/test_scans.py",)
_LETTERS = ("tests/write/test_dead_letters.py",)
_SWEEPER = ("tests/write/test_sweeper.py",)
_FAILURES = ("tests/write/test_failures.py",)
_CATCH_UP = ("tests/write/test_catch_up.py",)
_DROP_IN = ("tests/compat/test_dropin.py",)

#: module below nefertari_search_tween/ -> tests, those first that fail first
TESTS: dict[str, tuple[str, ...]] = {
    "search/routing.py": (*_REQUESTS, *_BAD_INPUT, *_VIEWS),
    "search/consistency.py": (
        "tests/read/test_consistency.py",
        "tests/compat/test_eventual.py",
        *_IN_FLIGHT,
    ),
    "search/privacy.py": (*_HIDDEN, *_GUARDS),
    "search/item_acl.py": _GUARDS,
    "search/get_collection.py": (*_VIEWS, *_REQUESTS, *_BAD_INPUT),
    "search/query/transparent_read.py": (*_EQUALITY, *_BAD_INPUT),
    "search/query/fields.py": (*_SEARCHES, *_HIDDEN, *_GUARDS),
    "search/query/sorting.py": (
        *_SEARCHES,
        *_BAD_INPUT,
        "tests/read/test_multi_collection_films.py",
    ),
    "search/query/paging.py": (*_SEARCHES, *_BAD_INPUT, "tests/read/test_result_window.py"),
    "indexing/indexer.py": (*_SYNC, *_FAILURES, *_SCANS, *_IN_FLIGHT),
    "indexing/bulk_writer.py": (*_FAILURES, *_SYNC, *_REBUILD),
    "indexing/recorder.py": (*_SYNC, *_EVENTS),
    "indexing/index_scan.py": (*_SCANS, "tests/write/test_verify.py"),
    "indexing/model_expansion.py": (*_CATCH_UP, *_SCANS),
    "indexing/failures.py": _FAILURES,
    "indexing/recovery.py": (*_FAILURES, *_SWEEPER, "tests/write/test_background.py"),
    "indexing/rebuild/backfill.py": _REBUILD,
    "indexing/rebuild/catch_up.py": (*_CATCH_UP, *_REBUILD),
    "indexing/rebuild/missing.py": (*_SCANS, *_REBUILD, *_DROP_IN),
    "indexing/rebuild/rebuild.py": (*_REBUILD, *_CATCH_UP),
    "primary/claim_tokens.py": _OUTBOX,
    "primary/outbox_base.py": (*_OUTBOX, *_FAILURES),
    "primary/sqla/outbox/claims.py": _OUTBOX,
    "primary/sqla/outbox/connections.py": ("tests/primaries/test_read_connections.py",),
    "primary/sqla/outbox/dead_letters.py": (*_OUTBOX, *_FAILURES),
    "primary/sqla/outbox/fan_out.py": _RELATIONSHIPS,
    "primary/sqla/outbox/outbox.py": (*_OUTBOX, *_SYNC, *_IN_FLIGHT),
    "primary/sqla/outbox/queries.py": (*_OUTBOX, *_SYNC),
    "primary/sqla/outbox/rebuild_lock.py": _REBUILD,
    "primary/sqla/outbox/tables.py": _TABLES,
    "primary/sqla/outbox/transaction.py": (*_OUTBOX, *_SYNC),
    "primary/sqla/outbox/versions.py": _OUTBOX,
    "primary/sqla/capture/rows.py": (*_RELATIONSHIPS, *_WRITE_PATHS),
    "primary/sqla/capture/statement_effects.py": (*_RELATIONSHIPS, *_WRITE_PATHS),
    "primary/sqla/capture/statements.py": _WRITE_PATHS,
    "primary/sqla/dependencies/conditions.py": _DEPENDENCIES,
    "primary/sqla/dependencies/dependencies.py": (*_RELATIONSHIPS, *_DEPENDENCIES),
    "primary/sqla/dependencies/relationships.py": (*_RELATIONSHIPS, *_DEPENDENCIES),
    "primary/sqla/dependencies/tables.py": (*_RELATIONSHIPS, *_DEPENDENCIES),
    "primary/sqla/proof/order.py": _PROOFS,
    "primary/sqla/proof/parameters.py": _PROOFS,
    "primary/sqla/proof/prove.py": _PROOFS,
    "primary/sqla/proof/rendering.py": _PROOFS,
    "primary/sqla/proof/sqlite_ddl.py": ("tests/unit/test_sqlite_ddl.py",),
    "primary/sqla/proof/stored_forms.py": _PROOFS,
    "primary/sqla/proof/types.py": _PROOFS,
    "primary/sqla/semantics.py": (*_EQUALITY, *_PROOFS),
    "mirror/circuit_breaker.py": ("tests/read/test_consistency.py",),
    "caching/cache.py": ("tests/read/test_caching.py",),
}
