"""Makes the query of a search box for one model.

A word may be in any field, and counts by the field where it scores best; so the words of one text
may be in several ("kubrick shining": a director and a title). That is the cross-field search of
``multi_match``, which has no equal for fields with different analyzers or of nested documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple, Optional

from nefertari_search_tween.search.box.words import BoxText
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.any_field import Weighted, any_field
from nefertari_search_tween.search.query.clauses import MATCH_NONE, Query
from nefertari_search_tween.search.query.fields import SearchField
from nefertari_search_tween.settings.synonyms import Synonyms

# What it counts, beside the words, that they are one phrase of a text.
PHRASE_BOOST = 2.0
# What a word counts that is like the typed one, or begins with it, and what it counts beside them
# that none was mistyped.
SIMILAR_BOOST = 0.5
BEGINNING_BOOST = 3.0
# What a phrase that goes on counts beside one that does not: about as much as its words.
PHRASE_BEGINNING_BOOST = 4.0
MAX_PHRASE_WORDS = 6
EXACT_BOOST = 1000.0
# Words that are split, and how many there may be: each is several phrases in each field.
MAX_SIMILAR_WORDS = 12
MAX_SPLIT_LENGTH = 16
MAX_SPLIT_WORDS = 4


class Attempt(NamedTuple):
    """How a text is looked for.

    :param needed: how many of its words must be found; None: all.
    :param counting: score each document by the number of words that it has, and by nothing else.
    :param most_words: how many words count, from the first one.
    :param similar: words with a typo are found.
    :param joined: two words may be written as one, and one as two.
    :param text: looked for instead of that of the request.
    """

    needed: Optional[int] = None
    counting: bool = False
    most_words: int = 64
    similar: bool = False
    joined: bool = False
    text: Optional[str] = None


ALL_WORDS = Attempt()


def box_query(
    box: BoxText, fields: Sequence[Weighted], attempt: Attempt, synonyms: Synonyms
) -> Query:
    """Return the query for documents that have what *box* asks for in *fields*."""
    typed = box.words[: attempt.most_words]
    exact = [
        _in_any_of(fields, [*_meanings(typed, index, synonyms)]) for index in range(len(typed))
    ]
    words = [_alternatives(box, index, each, fields, attempt) for index, each in enumerate(exact)]
    excluded = [_in_any(fields, _phrase(each)) for each in box.excluded[: attempt.most_words]]
    query: Query = {"must_not": excluded} if excluded else {}
    if attempt.counting:
        query["should"] = [{"constant_score": {"filter": each}} for each in words]
        query["minimum_should_match"] = 1
        return {"bool": query}
    if attempt.needed is not None:
        query["should"] = words
        query["minimum_should_match"] = attempt.needed
    else:
        query["must"] = clauses.all_of(words) if words else [{"match_all": {}}]
    should = []
    if len(words) > 1:
        texts = [(target, weight * PHRASE_BOOST) for target, weight in _text_fields(fields)]
        should.append(_in_any(texts, _phrase(box.text)))
        if box.goes_on and len(words) <= MAX_PHRASE_WORDS:
            texts = [(target, weight * PHRASE_BEGINNING_BOOST) for target, weight in texts]
            should.append(
                _in_any(
                    texts,
                    lambda target, boost: clauses.phrase_beginning(target, box.text, boost),
                )
            )
    if attempt.similar and words:
        all_exact = {"bool": {"filter": clauses.all_of(exact)}}
        should.append({"constant_score": {"filter": all_exact, "boost": EXACT_BOOST}})
    return {"bool": {"must": [{"bool": query}], "should": should}} if should else {"bool": query}


def _meanings(typed: Sequence[str], index: int, synonyms: Synonyms) -> Iterator[str]:
    """Yield the word at *index* and its synonyms."""
    texts, replaced = synonyms.of(typed, index)
    if not replaced:
        yield typed[index]
    yield from texts


def _in_any_of(fields: Sequence[Weighted], texts: Sequence[str]) -> Query:
    return clauses.best_of([_in_any(fields, _phrase(each)) for each in texts])


def _alternatives(
    box: BoxText, index: int, exact: Query, fields: Sequence[Weighted], attempt: Attempt
) -> Query:
    """Return the query for the word at *index*, as it is typed or otherwise."""
    typed = box.words[: attempt.most_words]
    word = typed[index]
    queries = [exact]
    if box.goes_on and index + 1 == len(box.words) and word.isalnum():
        texts = [(target, weight * BEGINNING_BOOST) for target, weight in _text_fields(fields)]
        queries.append(_in_any(texts, lambda target, boost: clauses.beginning(target, word, boost)))
    if attempt.similar and word.isalpha():
        texts = [(target, weight * SIMILAR_BOOST) for target, weight in _text_fields(fields)]
        queries.append(_in_any(texts, lambda target, boost: clauses.similar(target, word, boost)))
    if attempt.joined:
        for text in other_spellings(typed, index):
            queries.append(_in_any(_text_fields(fields), _phrase(text)))
    return clauses.best_of(queries)


def other_spellings(words: Sequence[str], index: int) -> Iterator[str]:
    """Yield the word at *index* joined with its neighbours, and split in two."""
    word = words[index]
    if index:
        yield words[index - 1] + word
    if index + 1 < len(words):
        yield word + words[index + 1]
    if len(word) <= MAX_SPLIT_LENGTH and word.isalnum():
        for position in range(1, len(word)):
            yield f"{word[:position]} {word[position:]}"


def _text_fields(fields: Sequence[Weighted]) -> list[Weighted]:
    return [each for each in fields if each[0].kind == "text"]


def _in_any(fields: Sequence[Weighted], make: Callable[[SearchField, float], Query]) -> Query:
    query, _ = any_field(fields, make)
    return MATCH_NONE if query is None else query


def _phrase(text: str) -> Callable[[SearchField, float], Query]:
    """Return what makes the query for *text*, a word or several, in a field."""
    return lambda target, boost: clauses.phrase(target, text, 0, boost, accents=False)
