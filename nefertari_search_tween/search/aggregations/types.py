"""Every type of aggregation: its options, and whether it may have sub-aggregations.

Names and meanings are Elasticsearch's. A server that does not have a type rejects it by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from nefertari_search_tween.search.aggregations import options as o
from nefertari_search_tween.search.aggregations.filters import named_queries, query
from nefertari_search_tween.search.aggregations.options import Option

#: an option that is converted once sibling or sub-aggregations are known
LATER: Option = lambda param, value: value  # noqa: E731 - one of the table's entries

METRIC = "metric"
BUCKET = "bucket"
BUCKETS = "buckets"
PIPELINE = "pipeline"

DEFAULT_SIZE = 10
# Elasticsearch's maximum of documents from one bucket (index.max_inner_result_window).
MAX_HITS = 100


@dataclass(frozen=True)
class AggregationType:
    """One type of aggregation.

    :param category: METRIC (numbers), BUCKET or BUCKETS (may hold others), PIPELINE (works on the
        results of others).
    :param options: by name, in the order in which they are converted.
    :param whole: the option that is the whole body, None if the body is an object of options.
    :param size: the option that limits the number of buckets, and its default.
    :param needs_inner: servers reject it without sub-aggregations.
    :param one_level: works on the documents themselves only.
    :param closed: why it can have no sub-aggregations although it has buckets.
    """

    category: str
    options: Mapping[str, Option] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    whole: Optional[Option] = None
    size: tuple[str, int] = ("", 1)
    needs_inner: bool = False
    one_level: bool = False
    closed: str = ""


def _metric(*required: str, **options: Option) -> AggregationType:
    return AggregationType(METRIC, options, required)


def _of_field(kinds: frozenset[str] = o.NUMBERS, /, **options: Option) -> AggregationType:
    all_options = {"field": o.field(kinds), "missing": o.field_value, **options}
    return AggregationType(METRIC, all_options, ("field",))


def _pipeline(path: str = "buckets_path", **options: Option) -> AggregationType:
    all_options = {path: LATER, "gap_policy": _GAPS, "format": o.text, **options}
    return AggregationType(PIPELINE, all_options, (path,) if path == "buckets_path" else ())


_ANY = o.SEARCHABLE
_GAPS = o.choice("skip", "insert_zeros", "keep_values")
_PERCENTS = o.many(o.number(0, 100), commas=True)
_TDIGEST = o.shape(
    {
        "compression": o.number(1, 10_000),
        "execution_hint": o.choice("default", "high_accuracy"),
    }
)
_HDR = o.shape({"number_of_significant_value_digits": o.whole(0, 5)})
_ESTIMATES: dict[str, Option] = {"keyed": o.flag, "tdigest": _TDIGEST, "hdr": _HDR}
_WEIGHED = o.shape({"field": o.field(o.NUMBERS), "missing": o.number()}, ("field",))
_BOUNDS = o.shape({"min": o.number(), "max": o.number()})
_DATE_BOUNDS = o.shape({"min": o.text, "max": o.text})
_UNITS = ("minute", "hour", "day", "week", "month", "quarter", "year")
CALENDAR_UNITS = (*_UNITS, "1m", "1h", "1d", "1w", "1M", "1q", "1y")
_CALENDAR = o.choice(*CALENDAR_UNITS)
_FIXED = o.matching(r"[1-9]\d{0,11}(ms|s|m|h|d)", "a number and ms, s, m, h or d (30d)")
_OFFSET = o.matching(r"[+-]?\d{1,12}(ms|s|m|h|d)", "a number and ms, s, m, h or d (+6h)")
_ZONE = o.matching(r"[A-Za-z0-9_+:/-]{1,40}", "a time zone (Europe/Berlin, +01:00)")
_NAMED_SIZE = ("size", DEFAULT_SIZE)
_CHOSEN: dict[str, Option] = {"include": o.chosen_terms, "exclude": o.chosen_terms}
_SHARDS: dict[str, Option] = {"shard_size": o.size, "shard_min_doc_count": o.whole(0)}
_HINTS: dict[str, Option] = {
    "execution_hint": o.choice("map", "global_ordinals"),
    "collect_mode": o.choice("depth_first", "breadth_first"),
}


_HEURISTIC = o.shape({"include_negatives": o.flag, "background_is_superset": o.flag})
_SIGNIFICANT: dict[str, Option] = {
    "size": o.size,
    "min_doc_count": o.min_doc_count,
    **_SHARDS,
    **_CHOSEN,
    "background_filter": query,
    "jlh": o.shape({}),
    "mutual_information": _HEURISTIC,
    "chi_square": _HEURISTIC,
    "gnd": _HEURISTIC,
    "percentage": o.shape({}),
}

_METRICS: dict[str, AggregationType] = {
    **{
        name: _of_field(format=o.text)
        for name in ("avg", "sum", "min", "max", "stats", "median_absolute_deviation")
    },
    "extended_stats": _of_field(sigma=o.number(0, 1000), format=o.text),
    "value_count": _of_field(_ANY),
    "cardinality": _of_field(_ANY, precision_threshold=o.whole(0, 40_000)),
    "percentiles": _of_field(o.NUMBERS, percents=_PERCENTS, format=o.text, **_ESTIMATES),
    "percentile_ranks": AggregationType(
        METRIC,
        {
            "field": o.field(o.NUMBERS),
            "values": o.many(o.number(), commas=True),
            "missing": o.field_value,
            "format": o.text,
            **_ESTIMATES,
        },
        ("field", "values"),
    ),
    "weighted_avg": _metric("value", "weight", value=_WEIGHED, weight=_WEIGHED, format=o.text),
    "boxplot": _of_field(compression=o.number(1, 10_000)),
    "string_stats": _of_field(o.TEXTS, show_distribution=o.flag),
    "matrix_stats": _metric(
        "fields",
        fields=o.many(o.field(frozenset({"integer", "float"})), commas=True),
        mode=o.choice("avg", "min", "max", "sum", "median"),
    ),
    "rate": _metric(
        unit=o.choice("second", *_UNITS),
        field=o.field(o.NUMBERS),
        mode=o.choice("sum", "value_count"),
        format=o.text,
    ),
    "top_metrics": _metric(
        "metrics",
        "sort",
        metrics=o.many(o.shape({"field": o.field()}, ("field",))),
        sort=o.sort,
        size=o.whole(1, 10),
    ),
    "top_hits": AggregationType(
        METRIC,
        {
            "size": o.whole(0, MAX_HITS),
            "from": o.whole(0, MAX_HITS),
            "sort": o.sort,
            "_source": o.source,
            "track_scores": o.flag,
        },
        size=("size", 3),
    ),
}

_SINGLE: dict[str, AggregationType] = {
    "filter": AggregationType(BUCKET, whole=query),
    "missing": AggregationType(BUCKET, {"field": o.field()}, ("field",)),
    "global": AggregationType(BUCKET),
    "nested": AggregationType(BUCKET, {"path": o.path}, ("path",)),
    "reverse_nested": AggregationType(BUCKET, {"path": o.path}),
    "sampler": AggregationType(BUCKET, {"shard_size": o.size}, needs_inner=True),
    "diversified_sampler": AggregationType(
        BUCKET,
        {
            "field": o.field(),
            "shard_size": o.size,
            "max_docs_per_value": o.whole(1, 10_000),
            "execution_hint": o.choice("map", "global_ordinals", "bytes_hash"),
        },
        ("field",),
        needs_inner=True,
    ),
    "random_sampler": AggregationType(
        BUCKET,
        {"probability": o.number(0, 1, above=0), "seed": o.whole(0), "shard_seed": o.whole(0)},
        ("probability",),
        needs_inner=True,
    ),
}

_TERMS: dict[str, Option] = {
    "field": o.field(),
    "size": o.size,
    "order": LATER,
    "min_doc_count": o.min_doc_count,
    "missing": o.field_value,
    "format": o.text,
    "show_term_doc_count_error": o.flag,
    **_CHOSEN,
    **_SHARDS,
    **_HINTS,
}
_HISTOGRAM: dict[str, Option] = {
    "min_doc_count": o.whole(0),
    "missing": o.field_value,
    "order": LATER,
    "keyed": o.flag,
    "format": o.text,
}
_DATES: dict[str, Option] = {
    "field": o.field(o.DATES),
    "calendar_interval": _CALENDAR,
    "fixed_interval": _FIXED,
    "offset": _OFFSET,
    "time_zone": _ZONE,
}
_RANGED: dict[str, Option] = {"keyed": o.flag, "format": o.text, "missing": o.field_value}
_SOURCE: dict[str, Option] = {
    "order": o.choice("asc", "desc"),
    "missing_bucket": o.flag,
    "missing_order": o.choice("first", "last", "default"),
}
_MANY: dict[str, AggregationType] = {
    "terms": AggregationType(BUCKETS, _TERMS, ("field",), size=_NAMED_SIZE),
    "multi_terms": AggregationType(
        BUCKETS,
        {
            "terms": o.many(o.shape({"field": o.field(), "missing": o.text}, ("field",))),
            "size": o.size,
            "order": LATER,
            "min_doc_count": o.min_doc_count,
            **_SHARDS,
            "collect_mode": _HINTS["collect_mode"],
        },
        ("terms",),
        size=_NAMED_SIZE,
    ),
    "rare_terms": AggregationType(
        BUCKETS,
        {
            "field": o.field(),
            "max_doc_count": o.whole(1, 100),
            "precision": o.number(0.00001, 1),
            "missing": o.field_value,
            **_CHOSEN,
        },
        ("field",),
    ),
    "significant_terms": AggregationType(
        BUCKETS,
        {"field": o.field(), **_SIGNIFICANT, "execution_hint": _HINTS["execution_hint"]},
        ("field",),
        size=_NAMED_SIZE,
        one_level=True,
    ),
    "significant_text": AggregationType(
        BUCKETS,
        {"field": o.words_field, **_SIGNIFICANT, "filter_duplicate_text": o.flag},
        ("field",),
        size=_NAMED_SIZE,
        one_level=True,
    ),
    "range": AggregationType(
        BUCKETS,
        {
            "field": o.field(o.NUMBERS),
            "ranges": o.many(o.shape({"key": o.text, "from": o.number(), "to": o.number()})),
            **_RANGED,
        },
        ("field", "ranges"),
    ),
    "date_range": AggregationType(
        BUCKETS,
        {
            "field": o.field(o.DATES),
            "ranges": o.many(o.shape({"key": o.text, "from": o.text, "to": o.text})),
            "time_zone": _ZONE,
            **_RANGED,
        },
        ("field", "ranges"),
    ),
    "histogram": AggregationType(
        BUCKETS,
        {
            "field": o.field(o.NUMBERS),
            "interval": o.number(above=0),
            "offset": o.number(),
            "extended_bounds": _BOUNDS,
            "hard_bounds": _BOUNDS,
            **_HISTOGRAM,
        },
        ("field", "interval"),
    ),
    "date_histogram": AggregationType(
        BUCKETS,
        {**_DATES, "extended_bounds": _DATE_BOUNDS, "hard_bounds": _DATE_BOUNDS, **_HISTOGRAM},
        ("field",),
    ),
    "auto_date_histogram": AggregationType(
        BUCKETS,
        {
            "field": o.field(o.DATES),
            "buckets": o.size,
            "minimum_interval": o.choice("second", "minute", "hour", "day", "month", "year"),
            "time_zone": _ZONE,
            "format": o.text,
            "missing": o.field_value,
        },
        ("field",),
        size=("buckets", DEFAULT_SIZE),
    ),
    "variable_width_histogram": AggregationType(
        BUCKETS,
        {
            "field": o.field(o.NUMBERS),
            "buckets": o.size,
            "shard_size": o.whole(2, 1_000_000),
            "initial_buffer": o.whole(1, 1_000_000),
        },
        ("field",),
        size=("buckets", DEFAULT_SIZE),
        # Both servers, seen on 8.19 and 2.19; elastic/elasticsearch#117216, open.
        closed="servers give them documents of other buckets",
    ),
    "composite": AggregationType(
        BUCKETS,
        {
            "sources": o.sources(
                {
                    "terms": o.shape({"field": o.field(), **_SOURCE}, ("field",)),
                    "histogram": o.shape(
                        {"field": o.field(o.NUMBERS), "interval": o.number(above=0), **_SOURCE},
                        ("field", "interval"),
                    ),
                    "date_histogram": o.shape({**_DATES, "format": o.text, **_SOURCE}, ("field",)),
                }
            ),
            "size": o.size,
            "after": o.after_key,
        },
        ("sources",),
        size=_NAMED_SIZE,
    ),
    "filters": AggregationType(
        BUCKETS,
        {
            "filters": named_queries,
            "other_bucket": o.flag,
            "other_bucket_key": o.text,
            "keyed": o.flag,
        },
        ("filters",),
    ),
    "adjacency_matrix": AggregationType(
        BUCKETS, {"filters": named_queries, "separator": o.text}, ("filters",)
    ),
}

_PIPELINES: dict[str, AggregationType] = {
    **{name: _pipeline() for name in ("avg_bucket", "sum_bucket", "min_bucket", "max_bucket")},
    "stats_bucket": _pipeline(),
    "extended_stats_bucket": _pipeline(sigma=o.number(0, 1000)),
    "percentiles_bucket": _pipeline(percents=_PERCENTS, keyed=o.flag),
    "derivative": _pipeline(unit=_CALENDAR),
    "cumulative_sum": _pipeline(),
    "cumulative_cardinality": _pipeline(),
    "serial_diff": _pipeline(lag=o.whole(1, 10_000)),
    "moving_percentiles": _pipeline(window=o.whole(1, 10_000), shift=o.whole(-10_000, 10_000)),
    "normalize": _pipeline(
        method=o.choice(
            "rescale_0_1", "rescale_0_100", "percent_of_sum", "mean", "z-score", "softmax"
        )
    ),
    "bucket_sort": _pipeline("sort", **{"from": o.whole(0), "size": o.size}),
}

KINDS: dict[str, AggregationType] = {**_METRICS, **_SINGLE, **_MANY, **_PIPELINES}
