"""Indices: creating, listing, changing, swapping and deleting them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from nefertari_search_tween.backends.base import Backend, BulkAction
from nefertari_search_tween.backends.conformance.base_case import Cases, run_together, unique_name
from nefertari_search_tween.backends.conformance.corpus import (
    ALL,
    KEYWORD,
    MAPPING,
    Index,
    write_alias,
)
from nefertari_search_tween.exceptions import BackendRejected, IndexMissing


class IndexCases(Cases):
    # Life cycle

    def test_a_new_index_is_empty_and_has_its_aliases(self, backend: Backend, empty: Index) -> None:
        aliases = backend.indices(empty.name)
        assert aliases == {empty.name: {empty.alias, empty.write_alias}}
        assert empty.total() == 0
        assert empty.hits() == []

    def test_an_index_is_found_by_its_own_name_and_by_its_aliases(
        self, backend: Backend, films: Index
    ) -> None:
        for name in (films.name, films.alias, films.write_alias):
            hits = backend.search(name, {"size": 100})["hits"]["hits"]
            assert {hit["_id"] for hit in hits} == ALL

    def test_an_index_can_be_made_without_an_alias(self, backend: Backend, prefix: str) -> None:
        name = unique_name(prefix)
        backend.create_index(name, MAPPING, self.index_settings, [])
        assert backend.indices(name) == {name: set()}

    def test_an_index_is_not_made_twice(self, backend: Backend, empty: Index) -> None:
        empty.write({"1": {"id": 1}})
        with pytest.raises(BackendRejected) as raised:
            backend.create_index(empty.name, MAPPING, self.index_settings, [])
        assert raised.value.status == 400
        assert empty.hits() == ["1"]

    def test_of_many_that_make_an_index_one_succeeds(self, backend: Backend, prefix: str) -> None:
        name = unique_name(prefix)

        def create() -> bool:
            try:
                backend.create_index(name, MAPPING, self.index_settings, [f"{name}-alias"])
            except BackendRejected:
                return False
            return True

        assert sorted(run_together([create] * 6)) == [False] * 5 + [True]

    @pytest.mark.parametrize("name", ["Upper", "with space", "with/slash", "_lead", "a*b", "a,b"])
    def test_names_that_could_mean_something_else_are_refused(
        self, backend: Backend, prefix: str, name: str
    ) -> None:
        refused = name if name.startswith("_") else f"{prefix}-{name}"
        with pytest.raises(BackendRejected):
            backend.create_index(refused, MAPPING, self.index_settings, [])
        assert not any("Upper" in each or " " in each for each in backend.indices(f"{prefix}*"))

    def test_an_index_is_deleted_with_its_aliases(self, backend: Backend, empty: Index) -> None:
        backend.delete_index(empty.name)
        assert backend.indices(f"{empty.alias}*") == {}
        for name in (empty.name, empty.alias, empty.write_alias):
            assert backend.get_mapping(name) is None
            with pytest.raises(IndexMissing):
                backend.search(name, {})

    def test_what_is_not_there(self, backend: Backend, prefix: str) -> None:
        """To delete it is no error, and it has no mapping."""
        backend.delete_index(f"{prefix}-nothing")
        assert backend.get_mapping(f"{prefix}-nothing") is None
        assert backend.indices(f"{prefix}-nothing-*") == {}
        assert backend.indices(f"{prefix}-nothing") == {}

    def test_an_index_made_anew_holds_nothing_of_the_old(
        self, backend: Backend, empty: Index
    ) -> None:
        empty.write({"1": {"id": 1}}, version=9)
        backend.delete_index(empty.name)
        backend.create_index(
            empty.name, MAPPING, self.index_settings, [empty.alias, empty.write_alias]
        )
        assert empty.state() == {}
        empty.write({"1": {"id": 2}}, version=1)
        assert empty.state() == {"1": {"id": 2}}

    def test_indices_are_listed_by_pattern(self, backend: Backend, prefix: str) -> None:
        stem = unique_name(prefix)
        for name in ("-000001", "-000002", "x-000001"):
            backend.create_index(stem + name, MAPPING, self.index_settings, [])
        assert backend.indices(f"{stem}-*") == {f"{stem}-000001": set(), f"{stem}-000002": set()}
        names = {f"{stem}-000001", f"{stem}-000002", f"{stem}x-000001"}
        assert set(backend.indices(f"{stem}*")) == names

    # Mappings and settings

    def test_a_mapping_comes_back_with_its_meta(self, backend: Backend, films: Index) -> None:
        for name in (films.name, films.alias):
            mapping = backend.get_mapping(name)
            assert mapping is not None
            assert mapping["_meta"] == MAPPING["_meta"]
            assert _types(mapping) == _types(MAPPING)

    def test_indices_are_listed_with_aliases_and_meta(self, backend: Backend, prefix: str) -> None:
        alias = unique_name(prefix)
        names = [f"{alias}-{number:06d}" for number in (1, 2)]
        backend.create_index(names[0], MAPPING, self.index_settings, [alias])
        backend.create_index(names[1], {"dynamic": False}, self.index_settings, [])
        assert backend.entries(f"{alias}-*") == {
            names[0]: ({alias}, MAPPING["_meta"], 1),
            names[1]: (set(), {}, 1),
        }
        # By its alias, too, and each once.
        assert list(backend.entries(alias)) == [names[0]]
        assert sorted(backend.entries(f"{alias},{alias}-*")) == names
        assert backend.entries(f"{alias}-000003") == {}

    def test_the_latest_version_is_not_below_what_was_written_last(
        self, backend: Backend, empty: Index
    ) -> None:
        assert backend.latest_version(empty.alias) == 0
        for version in (7, 9, 8):
            action = BulkAction(empty.write_alias, str(version), version, b"{}")
            assert all(item.indexed for item in backend.bulk([action], 1))
            backend.refresh(empty.alias)
            assert backend.latest_version(empty.alias) >= version

    def test_the_mapping_of_two_indices_is_refused(self, backend: Backend, prefix: str) -> None:
        alias = unique_name(prefix)
        for number in (1, 2):
            backend.create_index(f"{alias}-{number}", MAPPING, self.index_settings, [alias])
        with pytest.raises(BackendRejected):
            backend.get_mapping(alias)

    def test_a_mapping_grows_and_its_meta_is_replaced(self, backend: Backend, empty: Index) -> None:
        empty.write({"1": {"id": 1, "added": "before"}})
        meta = {"fingerprint": "new"}
        backend.put_mapping(empty.name, {"properties": {"added": KEYWORD}, "_meta": meta})
        empty.write({"2": {"id": 2, "added": "after"}})
        mapping = backend.get_mapping(empty.name)
        assert mapping is not None
        assert mapping["_meta"] == meta
        assert mapping["properties"]["added"]["type"] == "keyword"
        assert mapping["properties"]["title"]["type"] == "text"
        assert empty.matching_ids({"term": {"added": "after"}}) == {"2"}

    def test_a_field_does_not_change_its_type(self, backend: Backend, empty: Index) -> None:
        with pytest.raises(BackendRejected) as raised:
            backend.put_mapping(empty.name, {"properties": {"year": {"type": "text"}}})
        assert raised.value.status == 400
        mapping = backend.get_mapping(empty.name)
        assert mapping is not None
        assert mapping["properties"]["year"]["type"] == "long"

    def test_a_mapping_of_an_unknown_type_is_refused(self, backend: Backend, prefix: str) -> None:
        name = unique_name(prefix)
        with pytest.raises(BackendRejected):
            backend.create_index(
                name, {"properties": {"a": {"type": "no_such_type"}}}, self.index_settings, []
            )
        assert backend.indices(name) == {}

    def test_fields_that_are_not_mapped_are_kept_and_not_searched(self, empty: Index) -> None:
        empty.write({"1": {"id": 1, "unmapped": "here", "extra": {"unmapped": "here"}}})
        assert empty.state()["1"]["unmapped"] == "here"
        assert empty.matching_ids({"term": {"unmapped": "here"}}) == set()
        assert empty.matching_ids({"term": {"extra.unmapped": "here"}}) == set()

    def test_a_dynamic_mapping_finds_new_fields(self, backend: Backend, prefix: str) -> None:
        index = self.create(backend, prefix, {**MAPPING, "dynamic": True})
        index.write({"1": {"id": 1, "added": "Two Words"}, "2": {"id": 2, "number": 5}})
        assert index.matching_ids({"match_phrase": {"added": {"query": "two words"}}}) == {"1"}
        assert index.matching_ids({"term": {"number": {"value": 5}}}) == {"2"}

    def test_dynamic_settings_change(self, backend: Backend, empty: Index) -> None:
        empty.write({str(number): {"id": number} for number in range(12)})
        backend.put_settings(empty.name, {"index.max_result_window": 10})
        with pytest.raises(BackendRejected):
            empty.hits(size=11)
        backend.put_settings(empty.name, {"index.max_result_window": 20})
        assert len(empty.hits(size=11)) == 11

    # Analyzers

    def test_what_analyzers_there_are(self, backend: Backend) -> None:
        assert backend.unknown_analyzers([], {}) == {}
        assert backend.unknown_analyzers(["standard"], self.index_settings) == {}
        unknown = backend.unknown_analyzers(["no_such_one", "standard", "nor_this"], {})
        assert set(unknown) == {"no_such_one", "nor_this"}
        assert all(unknown.values())

    def test_an_index_with_an_unknown_analyzer_is_not_made(
        self, backend: Backend, prefix: str
    ) -> None:
        name = unique_name(prefix)
        mapping = {"properties": {"title": {"type": "text", "analyzer": "no_such_one"}}}
        with pytest.raises(BackendRejected) as raised:
            backend.create_index(name, mapping, self.index_settings, [])
        assert raised.value.status == 400
        assert "analyzer" in raised.value.reason
        assert backend.indices(name) == {}

    # Aliases

    def test_an_alias_moves_to_another_index(self, backend: Backend, empty: Index) -> None:
        empty.write({"1": {"id": 1}})
        following = f"{empty.alias}-000002"
        backend.create_index(following, MAPPING, self.index_settings, [])
        assert backend.swap_alias(empty.alias, following) == {empty.name}
        assert backend.indices(f"{empty.alias}-*") == {
            empty.name: {empty.write_alias},
            following: {empty.alias},
        }
        assert empty.hits() == []

    def test_swapping_to_the_same_index_changes_nothing(
        self, backend: Backend, empty: Index
    ) -> None:
        before = backend.indices(empty.name)
        assert backend.swap_alias(empty.alias, empty.name) == set()
        assert backend.indices(empty.name) == before

    def test_an_alias_is_made_by_the_first_swap(self, backend: Backend, prefix: str) -> None:
        alias = unique_name(prefix)
        backend.create_index(f"{alias}-000001", MAPPING, self.index_settings, [])
        assert backend.swap_alias(alias, f"{alias}-000001") == set()
        assert backend.indices(f"{alias}-*") == {f"{alias}-000001": {alias}}

    def test_an_alias_of_two_indices_is_left_with_one(self, backend: Backend, prefix: str) -> None:
        alias = unique_name(prefix)
        names = [f"{alias}-{number:06d}" for number in (1, 2, 3)]
        for name in names:
            backend.create_index(name, MAPPING, self.index_settings, [alias])
        assert backend.swap_alias(alias, names[2]) == set(names[:2])
        aliases = [set(), set(), {alias}]
        assert backend.indices(f"{alias}-*") == dict(zip(names, aliases))

    def test_an_alias_does_not_move_to_an_index_that_is_not_there(
        self, backend: Backend, empty: Index
    ) -> None:
        with pytest.raises(IndexMissing):
            backend.swap_alias(empty.alias, f"{empty.alias}-000009")
        assert empty.alias in backend.indices(empty.name)[empty.name]

    def test_readers_see_one_index_while_the_alias_moves(
        self, backend: Backend, empty: Index
    ) -> None:
        following = f"{empty.alias}-000002"
        backend.create_index(following, MAPPING, self.index_settings, [write_alias(following)])
        empty.write({"old": {"id": 1}})
        Index(backend, following, following).write({"new": {"id": 2}})
        done = threading.Event()
        results: list[list[str]] = []

        def read() -> None:
            while not done.is_set():
                results.append(empty.hits())

        def swap() -> None:
            swaps = 0
            try:
                # On and on while the readers are slow: an embedded index moves in a millisecond.
                end = time.monotonic() + 30
                while swaps < 20 or (len(results) <= 20 and time.monotonic() < end):
                    swaps += 1
                    backend.swap_alias(empty.alias, following)
                    backend.swap_alias(empty.alias, empty.name)
            finally:
                done.set()

        run_together([read, read, swap])
        assert [each for each in results if each not in (["old"], ["new"])] == []
        assert len(results) > 20


def _types(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return names and types of a mapping, without the defaults that a backend may add."""
    return {
        name: _types(each) if "properties" in each else each["type"]
        for name, each in mapping["properties"].items()
    }
