"""The conditions on every object that a search may show: attached here, and proved before it runs.

They are those of the view, of its subclass of ``ES`` and of item ACLs. Why no search can show
anything of another object:

A response is made of documents in three ways: hits and their total; aggregations; and parts of the
body that have a set of documents of their own (``suggest``, ``knn``, a global ``rescore`` ...).

* Hits are what the query matches. A ``bool`` matches no more than each of its ``must`` and
  ``filter`` clauses does, and with ``minimum_should_match`` no more than all of its ``should``
  clauses together. So the query is below a condition if it is the condition, if it is a ``bool``
  and one of those clauses is below it, or all alternatives are. Nothing else is taken for proved.
* An aggregation counts the documents of the bucket that contains it, which at the top level is what
  the query matches. That holds for the types in :data:`WITHIN_BUCKET` and is not assumed of any
  other: ``global`` counts the whole index, so there must be a filter below the conditions around
  all that is inside of it; the background of ``significant_terms`` and ``significant_text`` is the
  whole index but for its filter; and buckets of terms with a ``min_doc_count`` of 0 list terms of
  documents that are in no bucket.
* Of the body only the parts in :data:`OF_HITS` are sent, which show or order hits.

Scores weigh terms by how rare they are in the index (docs/privacy.rst).

The proof looks at the very body that is sent, so it holds however that was built. It costs a walk
over a small object, and does not run where there are no conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nefertari_search_tween.documents.format import STUBS
from nefertari_search_tween.exceptions import SearchRejected
from nefertari_search_tween.search.query.clauses import MATCH_NONE, Query

#: the conditions on the documents of each index that a search reads
Visible = Mapping[str, Sequence[Query]]

#: parts of a body that show or order the documents that its query matches
OF_HITS = frozenset(
    {
        *("query", "post_filter", "min_score", "from", "size", "sort", "search_after"),
        *("_source", "fields", "highlight", "explain", "version", "seq_no_primary_term"),
        *("track_scores", "track_total_hits", "timeout", "terminate_after", "profile", "stats"),
    }
)
AGGREGATIONS = ("aggs", "aggregations")
#: types of aggregations that compare with the documents of the whole index
WITH_BACKGROUND = frozenset({"significant_terms", "significant_text"})
#: types of aggregations whose buckets are the terms of a field: not only those of its documents,
#: if buckets without documents are requested
OF_TERMS = frozenset({"terms", "multi_terms", "rare_terms", *WITH_BACKGROUND})
#: types of aggregations that see only documents of the bucket around them, and those nested in
#: these documents, or what was computed of them
WITHIN_BUCKET = frozenset(
    {
        # numbers
        *("avg", "sum", "min", "max", "stats", "extended_stats", "median_absolute_deviation"),
        *("value_count", "cardinality", "percentiles", "percentile_ranks", "weighted_avg"),
        *("boxplot", "string_stats", "matrix_stats", "rate"),
        # documents
        *("top_metrics", "top_hits"),
        # parts of the bucket
        *("filter", "filters", "adjacency_matrix", "missing", "nested", "reverse_nested"),
        *("sampler", "diversified_sampler", "random_sampler"),
        *("range", "date_range", "histogram", "date_histogram", "auto_date_histogram"),
        *("variable_width_histogram", "composite"),
        *OF_TERMS,
        # results of other aggregations
        *("avg_bucket", "sum_bucket", "min_bucket", "max_bucket", "stats_bucket"),
        *("extended_stats_bucket", "percentiles_bucket", "derivative", "cumulative_sum"),
        *("cumulative_cardinality", "serial_diff", "moving_percentiles", "normalize"),
        "bucket_sort",
    }
)


def visible_objects(filters: Sequence[Query], must: Sequence[Query] = ()) -> Query:
    """Return the query for the objects that meet *filters* and *must*, without the stubs of
    documents that the backend rejected."""
    return {
        "bool": {
            **({"must": list(must)} if must else {}),
            **({"filter": list(filters)} if filters else {}),
            "must_not": [STUBS],
        }
    }


def of_index(alias: str, queries: Sequence[Query]) -> Query:
    """Return the query for those documents of one of several indices that meet *queries*."""
    return {"bool": {"filter": [_in_index(alias), *queries]}}


def require_visible(searches: Iterable[tuple[str, dict[str, Any]]], visible: Visible) -> None:
    """Prove that *searches* show nothing of documents that do not meet their conditions.

    :param searches: indices, joined by commas, and bodies.
    :raises SearchRejected: there is no proof.
    """
    for indices, body in searches:
        names = indices.split(",")
        if any(visible[name] for name in names):
            _Proof([_alternative(name, visible[name], len(names) > 1) for name in names]).of(body)


def _in_index(alias: str) -> Query:
    return {"terms": {"_index": [alias]}}


def _alternative(name: str, conditions: Sequence[Query], is_multi: bool) -> list[Query]:
    return [_in_index(name), *conditions] if is_multi else list(conditions)


class _Proof:
    """The proof for one body.

    :param alternatives: a document is visible if it meets all conditions of one of them.
    """

    def __init__(self, alternatives: list[list[Query]]) -> None:
        self.alternatives = alternatives

    def of(self, body: dict[str, Any]) -> None:
        for name in body:
            if name not in OF_HITS and name not in AGGREGATIONS:
                raise _escape(name)
        if not self._below(body.get("query", {"match_all": {}})):
            raise _escape("query")
        self._aggregations(body)

    def _aggregations(self, part: dict[str, Any]) -> None:
        """Prove it for the aggregations in *part*: a body, or an aggregation."""
        for key in AGGREGATIONS:
            for name, aggregation in part.get(key, {}).items():
                self._aggregation(name, aggregation)

    def _aggregation(self, name: str, aggregation: dict[str, Any]) -> None:
        for kind, options in aggregation.items():
            if kind in ("meta", *AGGREGATIONS):
                continue
            if kind == "global":
                inner = [each for key in AGGREGATIONS for each in aggregation.get(key, {}).values()]
                # Its own number of documents is not shown (see aggregations/response.py).
                proved = bool(inner) and all(self._below(each.get("filter", {})) for each in inner)
            elif kind in WITH_BACKGROUND:
                proved = self._below(options.get("background_filter", {}))
            else:
                proved = kind in WITHIN_BUCKET
            if not proved or (kind in OF_TERMS and options.get("min_doc_count", 1) == 0):
                raise _escape(name)
        self._aggregations(aggregation)

    def _below(self, query: Query) -> bool:
        """Return True if every document that *query* matches is known to be visible."""
        if query == MATCH_NONE or any(
            all(_implies(query, each) for each in conditions) for conditions in self.alternatives
        ):
            return True
        if any(self._below(each) for each in _required(query)):
            return True
        options = query.get("bool", {})
        alternatives = options.get("should") or []
        one_must = options.get("minimum_should_match") == 1
        return bool(alternatives) and one_must and all(map(self._below, alternatives))


def _implies(query: Query, condition: Query) -> bool:
    """Return True if every document that *query* matches is known to meet *condition*."""
    return query == condition or any(_implies(each, condition) for each in _required(query))


def _required(query: Query) -> list[Query]:
    """Return queries that every document meets that *query* matches."""
    options = query.get("bool", {})
    clauses = []
    for name in ("must", "filter"):
        part = options.get(name, [])
        clauses += part if isinstance(part, list) else [part]
    return clauses


def _escape(part: str) -> SearchRejected:
    return SearchRejected(
        f"'{part[:60]}' of this search would show objects beyond those of the view"
    )
