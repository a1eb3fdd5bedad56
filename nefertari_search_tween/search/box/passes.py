"""Looks for the text of a search box again, less strictly, where too little has all of its words.

First for words with typos as well, then also for words that are written as one or as two, and at
last for documents with most of the words: one search finds how many that are, because it scores
each document by the number of words that it has. The response says what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Optional

from nefertari_search_tween.exceptions import BadQuery, TooManyClauses
from nefertari_search_tween.search.box.query import MAX_SIMILAR_WORDS, MAX_SPLIT_WORDS, Attempt
from nefertari_search_tween.search.box.suggestions import DOCUMENTS, corrected
from nefertari_search_tween.search.multi.merge import Hit
from nefertari_search_tween.search.query.search_read import Search, SearchQuery
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.sorting import SCORE

#: hits, their total number, and milliseconds
Results = tuple[list[Hit], int, int]

_BEST = {"from": 0, "sort": [{SCORE: {"order": "desc"}}]}
_COUNT = {"from": 0, "size": 0, "_source": False}


@dataclass(frozen=True)
class BoxPasses:
    """The searches for one text.

    :param run: returns the results of a query.
    :param build: makes the query of a request.
    :param respond: returns the backend's responses to searches in the indices of a query; what
        else it is called with translates rejections.
    """

    run: Callable[[SearchQuery], Results]
    build: Callable[[SearchRequest], SearchQuery]
    respond: Callable[..., list[dict[str, Any]]]

    def first_with_hits(self, query: SearchQuery) -> tuple[SearchQuery, Results]:
        """Return *query* with its results, or the first less strict one that has enough."""
        box = query.request.box
        if box is None or not query.is_of_request:
            return query, self.run(query)
        query, results = self._strict(query)
        enough = query.request.settings.similar_below
        if results[1] >= max(enough, 1) or not box.words or not query.request.may_relax:
            return query, results
        # What a person types is short; the work is that of each word in each field.
        similar = enough and len(box.words) <= MAX_SIMILAR_WORDS
        changes: list[dict[str, Any]] = [{"similar": True}] if similar else []
        if enough and len(box.words) <= MAX_SPLIT_WORDS:
            changes = [{"joined": True}, *changes, {"similar": True, "joined": True}]
        for change in changes:
            other = self._again(query, **change)
            more = self._unless_too_large(other)
            if more is not None and more[1] > results[1]:
                return other, (more[0], more[1], results[2] + more[2])
        if results[1] or len(box.words) < 2:
            return query, results
        return self._most_words(query, results, [{}, {"similar": True}] if similar else [{}])

    def _strict(self, query: SearchQuery) -> tuple[SearchQuery, Results]:
        """Return *query* for so many words as the backend takes, and its results."""
        while True:
            try:
                return query, self.run(query)
            except BadQuery as error:
                # Each word counts in every field, and servers take a number of clauses at most.
                _require_too_large(error)
                words = _searched(query.request)
                if words < 2:
                    raise
                query = self._again(query, most_words=words // 2)

    def _most_words(
        self, query: SearchQuery, nothing: Results, changes: list[dict[str, Any]]
    ) -> tuple[SearchQuery, Results]:
        """Return the query for documents with most of the words, and its results.

        :param changes: how words may differ, the strictest first: that counts if another one finds
            no more words.
        """
        most, best = 0, query
        for change in changes:
            counting = self._again(query, counting=True, **change)
            searches = _searches(counting, size=1, **_BEST)
            try:
                responses = self.respond(counting, searches)
            except BadQuery as error:
                _require_too_large(error)
                continue
            hits = [hit for response in responses for hit in response["hits"]["hits"]]
            words = max((round(hit["_score"]) for hit in hits), default=0)
            if words > most:
                most, best = words, self._again(query, needed=words, **change)
        results = self._unless_too_large(best) if most else None
        return (query, nothing) if results is None else (best, results)

    def _unless_too_large(self, query: SearchQuery) -> Optional[Results]:
        try:
            return self.run(query)
        except BadQuery as error:
            _require_too_large(error)
            return None

    def _again(self, query: SearchQuery, **changes: Any) -> SearchQuery:
        attempt = query.request.attempt._replace(**changes)
        built = self.build(replace(query.request, attempt=attempt))
        return replace(built, count_only=query.count_only)

    def suggestions(self, query: SearchQuery) -> list[str]:
        """Return texts that may have been meant where similar words were found: each finds
        something by itself, whatever was similar."""
        request = query.request
        attempt = request.attempt
        if request.box is None or request.position or not (attempt.similar or attempt.joined):
            return []
        searches = [
            (index, {**body, "_source": part.searched_fields})
            for (index, body), part in zip(_searches(query, size=DOCUMENTS, **_BEST), query.parts)
        ]
        hits = [
            hit for response in self.respond(query, searches) for hit in response["hits"]["hits"]
        ]
        hits.sort(key=lambda hit: -hit["_score"])
        suggestions = []
        for text in corrected(request.box, (hit.get("_source", {}) for hit in hits)):
            exact = self.build(replace(request, attempt=Attempt(text=text)))
            responses = self.respond(exact, _searches(exact, **_COUNT))
            if any(response["hits"]["total"]["value"] for response in responses):
                suggestions.append(text)
        return suggestions


def _require_too_large(error: BadQuery) -> None:
    """Raise *error* unless the backend takes only fewer clauses."""
    if not isinstance(error.__cause__, TooManyClauses):
        raise error


def _searches(query: SearchQuery, **changes: Any) -> list[Search]:
    changes.setdefault("_source", False)
    searches = []
    for part in query.parts:
        body = {**part.body, **changes}
        if not body["size"]:
            body.pop("sort", None)
        searches.append((part.index, body))
    return searches


def _searched(request: SearchRequest) -> int:
    return min(len(request.box.words), request.attempt.most_words) if request.box else 0


def box_facts(request: SearchRequest, total: int) -> dict[str, Any]:
    """Return what the response says of the words of the search box.

    :returns: how many there are, how many each result has at least, how many were not looked for
        because there are too many, and whether similar ones were.
    """
    assert request.box is not None
    words, searched = len(request.box.words), _searched(request)
    needed = searched if request.attempt.needed is None else request.attempt.needed
    return {
        "words": words,
        "matched": needed if total else 0,
        "ignored": words - searched,
        "similar": request.attempt.similar or request.attempt.joined,
    }
