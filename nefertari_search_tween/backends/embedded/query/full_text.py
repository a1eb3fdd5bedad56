"""Queries on texts: words, phrases, near words, patterns."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    MatchAll,
    MatchNone,
    Node,
    Phrase,
    Terms,
)
from nefertari_search_tween.backends.embedded.query.options import (
    boost_of,
    edits_of,
    escaped,
    field_options,
    fuzzy_options,
    least_of,
    no_analyzer,
    no_more,
    weighted,
)
from nefertari_search_tween.backends.embedded.query.term_level import TermQueries
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level, text_of
from nefertari_search_tween.backends.embedded.text import (
    automata,
    derivatives,
    regexp_parser,
    tokenizer,
)
from nefertari_search_tween.exceptions import BackendRejected


class FullText(TermQueries):
    """The full text queries."""

    def _parse_match_phrase(self, body: Any, level: Level) -> Node:
        name, options = field_options("match_phrase", body, "query")
        value = options.pop("query")
        slop = int(options.pop("slop", 0))
        boost = boost_of(options)
        nothing = options.pop("zero_terms_query", "none")
        no_analyzer(options)
        no_more("match_phrase", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            return weighted(self._exact(field, [value]), boost)
        return weighted(self._phrase(field, text_of(value), slop, nothing), boost)

    def _phrase(self, field: Field, text: str, slop: int, nothing: str) -> Node:
        terms = tokenizer.terms(text)
        if not terms:
            return MatchAll(field.level) if nothing == "all" else MatchNone(field.level)
        self._seek(field, terms)
        if len(terms) == 1:
            return Terms(self.index, self.stats, field, [(terms[0], 1.0)])
        return Phrase(self.index, self.stats, field, terms, slop)

    def _parse_match_phrase_prefix(self, body: Any, level: Level) -> Node:
        raise unsupported("query 'match_phrase_prefix'")

    def _parse_match(self, body: Any, level: Level) -> Node:
        name, options = field_options("match", body, "query")
        value = options.pop("query")
        operator = str(options.pop("operator", "or")).lower()
        if operator not in ("and", "or"):
            raise refused(f"operator needs to be either AND or OR, but not [{operator}]")
        every = operator == "and"
        fuzziness = options.pop("fuzziness", None)
        fuzzy = fuzzy_options(options)
        least = options.pop("minimum_should_match", None)
        lenient = options.pop("lenient", False)
        nothing = options.pop("zero_terms_query", "none")
        boost = boost_of(options)
        no_analyzer(options)
        no_more("match", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            if fuzziness is not None and field.kind == "keyword":
                return weighted(self._fuzzy(field, text_of(value), fuzziness, fuzzy), boost)
            try:
                return weighted(self._exact(field, [value]), boost)
            except BackendRejected:
                if lenient:
                    return MatchNone(level)
                raise
        terms = tokenizer.terms(text_of(value))
        if not terms:
            return MatchAll(level) if nothing == "all" else MatchNone(level)
        if fuzziness is None:
            self._seek(field, terms)
            nodes: list[Node] = [
                Terms(self.index, self.stats, field, [(term, 1.0)]) for term in terms
            ]
        else:
            nodes = [self._fuzzy(field, term, fuzziness, fuzzy) for term in terms]
        if len(nodes) == 1:
            return weighted(nodes[0], boost)
        if every:
            return weighted(Bool(level, nodes, [], [], [], 0), boost)
        needed = 1 if least is None else max(1, least_of(least, len(nodes)))
        return weighted(Bool(level, [], nodes, [], [], needed), boost)

    # Patterns

    def _parse_fuzzy(self, body: Any, level: Level) -> Node:
        name, options = field_options("fuzzy", body, "value")
        value = text_of(options.pop("value"))
        fuzziness = options.pop("fuzziness", "AUTO")
        fuzzy = fuzzy_options(options)
        boost = boost_of(options)
        no_more("fuzzy", options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return weighted(self._fuzzy(field, value, fuzziness, fuzzy), boost)

    def _fuzzy(self, field: Field, word: str, fuzziness: Any, options: tuple[int, int]) -> Node:
        prefix, expansions = options
        edits = edits_of(fuzziness, word)
        if edits == 0:
            return self._exact(field, [word])
        automaton = automata.Edits(word, edits)
        found = []
        for term in automata.matching(self._vocabulary(field), automaton, self.check):
            if term[:prefix] != word[:prefix]:
                continue
            distance = automaton.distance(term)
            shortest = min(len(term), len(word))
            share = 1.0 if distance == 0 else 1.0 - distance / shortest if shortest else 0.0
            if share > 0:
                found.append((term, share))
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        del found[expansions:]
        if not found:
            return MatchNone(field.level)
        if field.kind != "text":
            return self._exact(field, [term for term, _ in found])
        self._seek(field, [term for term, _ in found])
        return Terms(self.index, self.stats, field, found)

    def _parse_wildcard(self, body: Any, level: Level) -> Node:
        name, options = field_options("wildcard", body, "value")
        if "wildcard" in options:
            options["value"] = options.pop("wildcard")
        value = text_of(options.pop("value"))
        folded = bool(options.pop("case_insensitive", False))
        boost = boost_of(options)
        options.pop("rewrite", None)
        no_more("wildcard", options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        prefix = "" if folded else automata.literal_prefix(value, "*?\\")
        return weighted(self._pattern(field, derivatives.wildcard(value), prefix, folded), boost)

    def _parse_prefix(self, body: Any, level: Level) -> Node:
        name, options = field_options("prefix", body, "value")
        value = escaped(text_of(options.pop("value")))
        folded = bool(options.pop("case_insensitive", False))
        boost = boost_of(options)
        options.pop("rewrite", None)
        no_more("prefix", options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return weighted(self._pattern(field, derivatives.wildcard(value + "*"), "", folded), boost)

    def _parse_regexp(self, body: Any, level: Level) -> Node:
        name, options = field_options("regexp", body, "value")
        value = text_of(options.pop("value"))
        folded = bool(options.pop("case_insensitive", False))
        if str(options.pop("flags", "ALL")).upper() not in ("ALL", ""):
            raise unsupported("flags of a regexp")
        options.pop("max_determinized_states", None)
        options.pop("rewrite", None)
        boost = boost_of(options)
        no_more("regexp", options)
        expression = regexp_parser.regular_expression(value)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return weighted(self._pattern(field, expression, "", folded), boost)
