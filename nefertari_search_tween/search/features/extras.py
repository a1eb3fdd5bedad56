"""What the response of a search has beside the page: of the search box, facets, the next page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nefertari_search_tween.search.box.passes import BoxPasses, box_facts
from nefertari_search_tween.search.context import FACETS
from nefertari_search_tween.search.features.facets.count import FacetCounts
from nefertari_search_tween.search.query.search_read import SearchQuery


def extras(
    query: SearchQuery, passes: BoxPasses, hits: Sequence[dict[str, Any]], total: int
) -> dict[str, Any]:
    """Return the members of the response of *query* that its request asks for.

    :param passes: the searches that led to it.
    :param hits: of the page.
    :raises BadQuery: facets that can't be understood.
    """
    request = query.request
    result: dict[str, Any] = {}
    if request.box is not None:
        result["query"] = box_facts(request, total)
        result["suggestions"] = passes.suggestions(query)
    if request.is_walk and hits:
        result["next"] = query.next_page(hits)
    if FACETS in request.params:
        result["facets"] = FacetCounts(passes.build, passes.respond).of(query)
    return result
