"""Bulk writes: results, missing names, visibility, keys and sizes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from nefertari_search_tween.backends.base import Backend, BulkAction
from nefertari_search_tween.backends.conformance.base_case import Cases, unique_name
from nefertari_search_tween.backends.conformance.corpus import FILMS, Index, document
from nefertari_search_tween.exceptions import BackendRejected

MEGABYTE = 1024 * 1024
UNFITTING = ("year", "rating", "released", "length")
KEYS = [
    *("a", "A", "a ", " ", "a b", "1", "01", "1.0", "a/b?c=d&e#f%20", '"quoted"', "back\\slash"),
    *("line\nbreak", "..", "_all", "*", "a,b", "é", "É", "e\u0301", "千と千尋", "😀"),
    *("x" * 512, "é" * 256, "千" * 170 + "ab"),
]


class WriteCases(Cases):
    # Outcomes

    def test_documents_come_back_as_they_were_written(self, empty: Index) -> None:
        documents = {key: document(key, film) for key, film in FILMS.items()}
        empty.write(documents)
        assert empty.state() == documents

    def test_the_text_of_numbers_survives(self, empty: Index) -> None:
        values = [1e300, -0.0, 1.0, 9_223_372_036_854_775_807, 1e-7]
        numbers = {"id": 1, "rating": 0.1, "year": 2**53 + 1, "extra": {"n": values}}
        empty.write({"1": numbers})
        assert json.dumps(empty.state()["1"]) == json.dumps(numbers)

    def test_there_is_one_outcome_for_each_action_in_order(self, empty: Index) -> None:
        actions = [empty.action(str(number), {"id": number}) for number in range(25)]
        results = empty.bulk(actions, chunk_size=10)
        assert [result.action for result in results] == actions
        assert {(result.status, result.error) for result in results} == {(201, None)}

    def test_actions_are_taken_one_chunk_at_a_time(self, backend: Backend, empty: Index) -> None:
        numbers = []

        def actions() -> Any:
            for number in range(100):
                numbers.append(number)
                yield empty.action(str(number), {"id": number})

        results = backend.bulk(actions(), chunk_size=10)
        next(results)
        assert len(numbers) <= 20
        assert len(list(results)) == 99

    def test_no_actions_are_no_work(self, empty: Index) -> None:
        assert empty.bulk([]) == []

    def test_a_bad_document_does_not_keep_the_others_back(self, empty: Index) -> None:
        actions = [empty.action("1", {"id": 1}), empty.action("2", {"id": 2, "seen": "neither"})]
        first, second, third = empty.bulk([*actions, empty.action("3", {"id": 3})])
        assert (first.error, third.error) == (None, None)
        assert second.status == 400
        assert second.error
        assert not any([second.indexed, second.target_missing, second.overloaded])
        assert set(empty.state()) == {"1", "3"}

    def test_text_that_is_no_json_is_refused(self, empty: Index) -> None:
        broken, _ = empty.bulk(
            [
                BulkAction(empty.write_alias, "1", 1, b'{"id": 1'),
                BulkAction(empty.write_alias, "2", 1, b'{"id": 2}'),
            ]
        )
        assert broken.error is not None
        assert broken.status == 400
        assert set(empty.state()) == {"2"}

    def test_line_ends_between_values_do_no_harm(self, empty: Index) -> None:
        text = json.dumps({"title": "two\nlines"}, indent=2).encode()
        (result,) = empty.bulk([BulkAction(empty.write_alias, "1", 1, text)])
        assert result.error is None
        assert empty.state() == {"1": {"title": "two\nlines"}}

    def test_values_that_do_not_fit_are_kept_and_not_indexed(self, empty: Index) -> None:
        documents = {field: {field: "no such thing"} for field in UNFITTING}
        empty.write(documents)
        assert empty.state() == documents
        matching = {field: empty.matching_ids({"exists": {"field": field}}) for field in UNFITTING}
        assert matching == {field: set() for field in UNFITTING}

    # Names that are gone

    def test_a_write_to_a_name_that_is_gone_creates_nothing(
        self, backend: Backend, empty: Index
    ) -> None:
        backend.delete_index(empty.name)
        for body in ({"id": 1}, None):
            (result,) = empty.bulk([empty.action("1", body)])
            assert result.target_missing
            assert not result.indexed
            assert backend.indices(f"{empty.alias}*") == {}

    @pytest.mark.parametrize("end", ["", "-000009", "-000009-write"])
    def test_a_write_to_a_name_that_never_was_creates_nothing(
        self, backend: Backend, prefix: str, end: str
    ) -> None:
        name = unique_name(prefix)
        (result,) = backend.bulk([BulkAction(f"{name}{end}", "1", 1, b"{}")], 500)
        assert result.target_missing
        assert backend.indices(f"{name}*") == {}

    def test_names_that_are_gone_do_not_keep_the_others_back(
        self, backend: Backend, empty: Index
    ) -> None:
        missing = f"{empty.alias}-000009-WRITE"
        results = empty.bulk(
            [
                BulkAction(missing, "1", 1, b"{}"),
                empty.action("1", {"id": 1}),
                BulkAction(missing, "1", 1, None),
            ]
        )
        assert [result.target_missing for result in results] == [True, False, True]
        assert results[1].error is None
        assert set(backend.indices(f"{empty.alias}*")) == {empty.name}
        assert set(empty.state()) == {"1"}

    def test_a_write_by_the_name_of_the_index_is_refused(
        self, backend: Backend, empty: Index
    ) -> None:
        (result,) = empty.bulk([BulkAction(empty.name, "1", 1, b"{}")])
        assert result.target_missing
        assert empty.state() == {}

    # Visibility

    def test_a_write_is_visible_after_a_refresh(self, backend: Backend, empty: Index) -> None:
        for number in range(10):
            empty.bulk([empty.action(str(number), {"id": number})])
            # Before the refresh it may be seen or not; the response is one of the two states.
            assert len(empty.hits()) in (number, number + 1)
            backend.refresh(empty.alias)
            assert len(empty.hits()) == number + 1

    def test_changes_and_deletes_are_visible_after_a_refresh(
        self, backend: Backend, empty: Index
    ) -> None:
        empty.write({"1": {"year": 1}, "2": {"year": 2}})
        empty.bulk([empty.action("1", {"year": 3}, 2), empty.action("2", None, 2)])
        backend.refresh(empty.alias)
        assert empty.matching_ids({"term": {"year": {"value": 3}}}) == {"1"}
        assert empty.matching_ids({"range": {"year": {"lt": 3}}}) == set()
        assert empty.total() == 1

    # Keys and sizes

    def test_ids_may_be_any_text_of_512_bytes(self, backend: Backend, empty: Index) -> None:
        """Equal-looking ids are different documents."""
        documents = {key: {"title": key} for key in KEYS}
        empty.write(documents)
        assert empty.state() == documents
        assert backend.multi_get(empty.alias, KEYS) == documents
        results = empty.bulk([empty.action(key, None, 2) for key in KEYS])
        assert {result.action.id: result.status for result in results} == dict.fromkeys(KEYS, 200)
        assert empty.state() == {}

    @pytest.mark.parametrize("key", ["x" * 513, "é" * 257])
    def test_longer_ids_are_refused(self, empty: Index, key: str) -> None:
        """The action or the whole request is rejected: a server may check all of it first."""
        try:
            statuses = [result.status for result in empty.bulk([empty.action(key, {"id": 1})])]
        except BackendRejected as error:
            statuses = [error.status]
        assert statuses == [400]
        assert empty.state() == {}

    def test_a_document_of_ten_megabytes_is_stored_whole(
        self, backend: Backend, empty: Index
    ) -> None:
        words = random.Random(7)
        text = " ".join(f"w{words.randrange(10_000)}" for _ in range(1_800_000))
        big = {"id": 1, "plot": text + " needle", "extra": {"size": len(text)}}
        assert len(json.dumps(big)) > 10 * MEGABYTE - 400_000
        empty.write({"1": big, "2": {"id": 2}})
        assert empty.matching_ids({"match_phrase": {"plot": {"query": "needle"}}}) == {"1"}
        assert backend.multi_get(empty.alias, ["1"])["1"] == big

    def test_a_document_beyond_any_limit_is_refused_alone(self, empty: Index) -> None:
        """Servers have a limit of 100 MB per request; a backend without a limit stores it."""
        text = b'{"extra": "' + b"x" * (101 * MEGABYTE) + b'"}'
        huge = BulkAction(empty.write_alias, "2", 1, text)
        results = empty.bulk([empty.action("1", {"id": 1}), huge, empty.action("3", {"id": 3})])
        assert [result.action.id for result in results] == ["1", "2", "3"]
        assert (results[0].error, results[2].error) == (None, None)
        if results[1].error is not None:
            assert results[1].status == 413
            assert not results[1].indexed
            assert set(empty.state()) == {"1", "3"}

    def test_keywords_beyond_their_limit_are_kept_and_not_indexed(self, empty: Index) -> None:
        empty.write({"1": {"title": "x" * 8191}, "2": {"title": "y" * 8192}})
        assert empty.matching_ids({"exists": {"field": "title.keyword"}}) == {"1"}
        assert empty.matching_ids({"term": {"title.keyword": "x" * 8191}}) == {"1"}
        assert empty.matching_ids({"exists": {"field": "title"}}) == {"1", "2"}
        assert empty.state()["2"] == {"title": "y" * 8192}

    # Reads by key

    def test_documents_are_read_by_key(self, backend: Backend, films: Index) -> None:
        documents = backend.multi_get(films.alias, ["2", "nobody", "11"])
        assert documents == {
            "2": document("2", FILMS["2"]),
            "nobody": None,
            "11": document("11", FILMS["11"]),
        }

    def test_no_keys_read_nothing(self, backend: Backend, films: Index) -> None:
        assert backend.multi_get(films.alias, []) == {}

    def test_many_keys_are_read_at_once(self, backend: Backend, films: Index) -> None:
        keys = [str(number) for number in range(3000)]
        documents = backend.multi_get(films.alias, keys)
        assert list(documents) == keys
        assert {key for key, source in documents.items() if source is not None} == set(FILMS)
