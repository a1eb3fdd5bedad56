"""The query DSL -> nodes (see nodes.py)."""

from __future__ import annotations

import json
from typing import Any, Optional

from nefertari_search_tween.backends.embedded.errors import reject_unknown, rejected, unsupported
from nefertari_search_tween.backends.embedded.query.full_text import FullText
from nefertari_search_tween.backends.embedded.query.nested import Nested
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    Boost,
    Condition,
    DisMax,
    MatchAll,
    MatchNone,
    Node,
)
from nefertari_search_tween.backends.embedded.query.options import (
    field_options,
    parse_minimum,
    pop_boost,
    with_boost,
)
from nefertari_search_tween.backends.embedded.sql import IN_JSON, Sql
from nefertari_search_tween.backends.embedded.storage.fields import Level, Malformed

MAX_DEPTH = 100
# Documents that are excluded by their numbers.
MAX_LISTED = 100
#: what parts of a query raise that are not what they should be
MALFORMED = (Malformed, KeyError, TypeError, ValueError, AttributeError, OverflowError)
#: query on one field -> the option that a bare value is short for
SHORT_FORMS = {
    **dict.fromkeys(("term", "fuzzy", "wildcard", "prefix", "regexp"), "value"),
    **dict.fromkeys(("match", "match_phrase", "match_phrase_prefix"), "query"),
    "range": None,
}


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
        if method is None:
            raise unsupported(f"query '{name}'")
        if not isinstance(body, dict):
            raise rejected(f"[{name}] query malformed: {body!r:.200}", "parsing_exception")
        self.deadline.step()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise rejected(f"queries nested deeper than {MAX_DEPTH}")
        try:
            if name in SHORT_FORMS:
                field, options = field_options(name, body, SHORT_FORMS[name])
                boost = pop_boost(options)
                node = method(field, options, level)
            else:
                options = dict(body)
                boost = pop_boost(options)
                node = method(options, level)
            # What a method has not taken out is unknown.
            reject_unknown(options, (), f"the query '{name}'")
            return with_boost(node, boost)
        except RecursionError as error:
            raise rejected("queries or patterns nested too deeply") from error
        except MALFORMED as error:
            raise rejected(f"[{name}] query malformed: {error!r}", "parsing_exception") from error
        finally:
            self._depth -= 1

    # Compound queries

    def _parse_match_all(self, options: Any, level: Level) -> Node:
        return MatchAll(level)

    def _parse_match_none(self, options: Any, level: Level) -> Node:
        return MatchNone(level)

    def _parse_bool(self, options: Any, level: Level) -> Node:
        def clauses(name: str) -> list[Node]:
            value = options.pop(name, None) or []
            queries = value if isinstance(value, list) else [value]
            return [self.parse(each, level) for each in queries]

        must, should, filters = clauses("must"), clauses("should"), clauses("filter")
        # Terms that must not occur are not highlighted.
        searched, self.searched_terms = self.searched_terms, {}
        must_not = clauses("must_not")
        self.searched_terms = searched
        option = options.pop("minimum_should_match", None)
        if option is None:
            minimum = 1 if should and not must and not filters else 0
        else:
            minimum = parse_minimum(option, len(should))
            if should and not must and not filters:
                minimum = max(minimum, 1)
        if minimum > len(should):
            return MatchNone(level)
        if not (must or should or filters or must_not):
            return MatchAll(level)
        # Without what changes nothing, which most searches have.
        filters = [node for node in filters if not isinstance(node, MatchAll)]
        must_not = [node for node in map(self._excluded, must_not) if node is not None]
        if not (must or should or filters or must_not):
            return MatchAll(level, 0.0)
        alone = [*must, *should]
        if len(alone) == 1 and minimum == len(should) and not (filters or must_not):
            return alone[0]
        return Bool(level, must, should, filters, must_not, minimum)

    def _excluded(self, node: Node) -> Optional[Node]:
        """Return the exclusion *node* in its shortest form, None if it excludes nothing.

        Every search excludes the objects that the backend rejected, of which there are hardly any.
        """
        condition = node.query if isinstance(node, Boost) else node
        if not isinstance(condition, Condition) or not condition.is_indexed:
            return node
        sql = f"SELECT d.doc FROM {node.level.table} d WHERE " + condition.where("d")
        docs = [doc for (doc,) in (sql + f" LIMIT {MAX_LISTED + 1}").run(self.connection)]
        if len(docs) > MAX_LISTED:
            return node
        listed = Sql(f".doc IN {IN_JSON}", (json.dumps(docs),))
        return Condition(node.level, lambda alias: alias + listed, by_number=True) if docs else None

    def _parse_dis_max(self, options: Any, level: Level) -> Node:
        queries = [self.parse(each, level) for each in options.pop("queries")]
        return DisMax(level, queries, float(options.pop("tie_breaker", 0.0)))

    def _parse_constant_score(self, options: Any, level: Level) -> Node:
        return Boost(self.parse(options.pop("filter"), level), 1.0, flat=True)

    def _parse_nested(self, options: Any, level: Level) -> Node:
        path = options.pop("path")
        inner = self.index.levels.get(path)
        query = options.pop("query")
        mode = options.pop("score_mode", "avg")
        unmapped = options.pop("ignore_unmapped", False)
        if mode != "none" and mode not in Nested.MODES:
            raise rejected(f"[nested] score_mode [{mode}] is unknown", "parsing_exception")
        if inner is None:
            if unmapped:
                return MatchNone(level)
            raise rejected(f"[nested] failed to find nested object under path [{path}]")
        if level.path not in (each.path for each in inner.ancestors):
            return MatchNone(level)
        return Nested(level, self.parse(query, inner), mode)

    def _parse_multi_match(self, options: Any, level: Level) -> Node:
        fields = options.pop("fields")
        kind = options.pop("type", "best_fields")
        tie_breaker = options.pop("tie_breaker", 0.0)
        if kind not in ("best_fields", "most_fields", "phrase"):
            raise unsupported(f"multi_match type '{kind}'")
        leaf = "match_phrase" if kind == "phrase" else "match"
        queries = []
        for each in fields:
            name, _, weight = each.partition("^")
            if "*" in name:
                raise unsupported("wildcards in the fields of a multi_match")
            query = {leaf: {name: {**options, "boost": float(weight or 1)}}}
            queries.append(self.parse(query, level))
        options.clear()
        if kind == "most_fields":
            return Bool(level, [], queries, [], [], 1)
        return DisMax(level, queries, float(tie_breaker))
