"""Types of aggregations that are not supported, and why."""

from __future__ import annotations

_SCRIPT = "it runs scripts, which are never run"
_PLACES = "no field of nefertari holds places"
_LEARNING = "it needs machine learning, which this package does not use"
UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys(("scripted_metric", "bucket_script", "bucket_selector", "moving_fn"), _SCRIPT),
    **dict.fromkeys(
        (
            *("geo_distance", "geohash_grid", "geohex_grid", "geotile_grid", "geo_bounds"),
            *("geo_centroid", "geo_line", "cartesian_bounds", "cartesian_centroid"),
        ),
        _PLACES,
    ),
    **dict.fromkeys(("ip_range", "ip_prefix"), "no field of nefertari holds addresses"),
    **dict.fromkeys(("children", "parent"), "relationships are nested documents (nested)"),
    **dict.fromkeys(
        (
            *("categorize_text", "inference", "bucket_correlation", "bucket_count_ks_test"),
            *("change_point", "frequent_item_sets"),
        ),
        _LEARNING,
    ),
    "time_series": "mirrors are no time series",
    "t_test": "ask for the stats of both populations (filters, extended_stats)",
    "moving_avg": "servers have it no more (moving_percentiles)",
}
