"""All cases, as one class to derive from."""

from __future__ import annotations

from nefertari_search_tween.backends.conformance.aggregations import AggregationCases
from nefertari_search_tween.backends.conformance.faults import FaultCases
from nefertari_search_tween.backends.conformance.indices import IndexCases
from nefertari_search_tween.backends.conformance.multi_search import MultiSearchCases
from nefertari_search_tween.backends.conformance.paging import PagingCases
from nefertari_search_tween.backends.conformance.queries import QueryCases
from nefertari_search_tween.backends.conformance.versions import (
    ConditionalWriteCases,
    VersionCases,
)
from nefertari_search_tween.backends.conformance.writes import WriteCases


class BackendConformance(
    IndexCases,
    WriteCases,
    VersionCases,
    ConditionalWriteCases,
    QueryCases,
    PagingCases,
    MultiSearchCases,
    AggregationCases,
    FaultCases,
):
    """All cases, in the order in which a new backend will want to pass them."""
