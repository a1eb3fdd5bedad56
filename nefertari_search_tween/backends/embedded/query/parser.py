"""The query DSL -> nodes (see nodes.py)."""

from __future__ import annotations

from typing import Any, Optional

from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.full_text import FullText
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    Boost,
    DisMax,
    MatchAll,
    MatchNone,
    Nested,
    Node,
)
from nefertari_search_tween.backends.embedded.query.options import (
    parse_minimum,
    pop_boost,
    reject_unknown,
    with_boost,
)
from nefertari_search_tween.backends.embedded.storage.fields import Level

MAX_DEPTH = 100


class QueryParser(FullText):
    """Parses any query, compound ones included."""

    def parse(self, query: Any, level: Optional[Level] = None) -> Node:
        """Return the node of *query*.

        :raises BackendRejected: it is malformed or unsupported.
        """
        level = level or self.index.root.level
        if not isinstance(query, dict) or len(query) != 1:
            if query == {}:
                raise rejected("query malformed, empty clause found", "parsing_exception")
            raise rejected(
                f"a query is an object with one key: {query!r:.200}", "parsing_exception"
            )
        ((name, body),) = query.items()
        method = getattr(self, f"_parse_{name}", None)
        if method is None or not isinstance(body, dict):
            if method is not None:
                raise rejected(f"[{name}] query malformed: {body!r:.200}", "parsing_exception")
            raise unsupported(f"query '{name}'")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise rejected(f"queries nested deeper than {MAX_DEPTH}")
        try:
            return method(dict(body), level)
        except RecursionError as error:
            raise rejected("queries or patterns nested too deeply") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise rejected(f"[{name}] query malformed: {error!r}", "parsing_exception") from error
        finally:
            self._depth -= 1

    # Compound queries

    def _parse_match_all(self, body: Any, level: Level) -> Node:
        boost = pop_boost(body)
        reject_unknown("match_all", body)
        return with_boost(MatchAll(level), boost)

    def _parse_match_none(self, body: Any, level: Level) -> Node:
        pop_boost(body)
        reject_unknown("match_none", body)
        return MatchNone(level)

    def _parse_bool(self, body: Any, level: Level) -> Node:
        def clauses(name: str) -> list[Node]:
            value = body.pop(name, None) or []
            if name == "must_not":
                searched, self.searched_terms = self.searched_terms, {}
            nodes = [
                self.parse(each, level) for each in (value if isinstance(value, list) else [value])
            ]
            if name == "must_not":
                self.searched_terms = searched
            return nodes

        must, should = clauses("must"), clauses("should")
        filters, must_not = clauses("filter"), clauses("must_not")
        boost = pop_boost(body)
        option = body.pop("minimum_should_match", None)
        reject_unknown("bool", body)
        if option is None:
            minimum = 1 if should and not must and not filters else 0
        else:
            minimum = parse_minimum(option, len(should))
            if should and not must and not filters:
                minimum = max(minimum, 1)
        if minimum > len(should):
            return MatchNone(level)
        if not (must or should or filters or must_not):
            return with_boost(MatchAll(level), boost)
        return with_boost(Bool(level, must, should, filters, must_not, minimum), boost)

    def _parse_dis_max(self, body: Any, level: Level) -> Node:
        queries = [self.parse(each, level) for each in body.pop("queries")]
        tie_breaker = float(body.pop("tie_breaker", 0.0))
        boost = pop_boost(body)
        reject_unknown("dis_max", body)
        return with_boost(DisMax(level, queries, tie_breaker), boost)

    def _parse_constant_score(self, body: Any, level: Level) -> Node:
        node = self.parse(body.pop("filter"), level)
        boost = pop_boost(body)
        reject_unknown("constant_score", body)
        return Boost(node, boost, flat=True)

    def _parse_nested(self, body: Any, level: Level) -> Node:
        path = body.pop("path")
        inner = self.index.levels.get(path)
        query = body.pop("query")
        mode = body.pop("score_mode", "avg")
        boost = pop_boost(body)
        unmapped = body.pop("ignore_unmapped", False)
        reject_unknown("nested", body)
        if mode != "none" and mode not in Nested.MODES:
            raise rejected(f"[nested] score_mode [{mode}] is unknown", "parsing_exception")
        if inner is None:
            if unmapped:
                return MatchNone(level)
            raise rejected(f"[nested] failed to find nested object under path [{path}]")
        if not _inside(inner, level):
            return MatchNone(level)
        return with_boost(Nested(level, self.parse(query, inner), mode), boost)

    def _parse_multi_match(self, body: Any, level: Level) -> Node:
        fields = body.pop("fields")
        kind = body.pop("type", "best_fields")
        tie_breaker = body.pop("tie_breaker", 0.0)
        boost = pop_boost(body)
        if kind not in ("best_fields", "most_fields", "phrase"):
            raise unsupported(f"multi_match type '{kind}'")
        leaf = "match_phrase" if kind == "phrase" else "match"
        queries = []
        for each in fields:
            name, _, weight = each.partition("^")
            if "*" in name:
                raise unsupported("wildcards in the fields of a multi_match")
            query = {leaf: {name: {**body, "boost": float(weight or 1)}}}
            queries.append(self.parse(query, level))
        if kind == "most_fields":
            return with_boost(Bool(level, [], queries, [], [], 1), boost)
        return with_boost(DisMax(level, queries, float(tie_breaker)), boost)


def _inside(inner: Level, outer: Level) -> bool:
    level: Optional[Level] = inner.parent
    while level is not None:
        if level.path == outer.path:
            return True
        level = level.parent
    return False
