"""A request for aggregations -> the backend's request, and how to read its response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPForbidden

from nefertari_search_tween.search.aggregations import options as o
from nefertari_search_tween.search.aggregations.bucket_paths import (
    Part,
    orders,
    resolve_bucket_path,
    sorts,
)
from nefertari_search_tween.search.aggregations.context import (
    FORBIDDEN,
    AggregationContext,
    OptionPath,
    ancestors,
    common,
)
from nefertari_search_tween.search.aggregations.filters import present, relative
from nefertari_search_tween.search.aggregations.types import (
    BUCKETS,
    CALENDAR_UNITS,
    KINDS,
    LATER,
    MAX_HITS,
    METRIC,
    PIPELINE,
    AggregationType,
)
from nefertari_search_tween.search.aggregations.unsupported import UNSUPPORTED

# Aggregations within aggregations, and all of one request.
MAX_DEPTH = 10
MAX_COUNT = 100
_INNER = ("aggs", "aggregations")
# Characters that servers forbid in names, and keys that a bucket has beside sub-aggregations.
_FORBIDDEN_CHARACTERS = frozenset("[]>.")
_RESERVED = frozenset(
    [
        *("key", "key_as_string", "doc_count", "buckets", "meta", "from", "to", "min", "max"),
        *("from_as_string", "to_as_string", "min_as_string", "max_as_string", "bg_count"),
        *("score", "after_key", "sum_other_doc_count", "doc_count_error_upper_bound", "interval"),
        *_INNER,
    ]
)


@dataclass
class Spec:
    """One aggregation as the caller wrote it, in its parts."""

    name: str
    kind: str
    body: Any
    inner: dict[str, Any]
    inner_name: str
    meta: Any


@dataclass(frozen=True)
class Nesting:
    """What encloses an aggregation.

    :param path: of the nested documents that the enclosing aggregations lead to.
    :param stated: the same as the caller wrote it (by ``nested``): the fields of enclosing
        aggregations may have led elsewhere.
    :param buckets: the number of buckets that it is repeated in.
    :param depth: the number of enclosing aggregations.
    :param scored: documents have scores: all but those of ``global``, which no query found.
    """

    path: Optional[str]
    stated: Optional[str]
    buckets: int
    depth: int
    scored: bool = True


class Builder:
    """Translates one request.

    :raises BadQuery: the request can't be understood; the message names the parameter.
    """

    def __init__(self, context: AggregationContext) -> None:
        self.context = context

    def build(self, tree: Any, root: str) -> tuple[dict[str, Any], dict[str, Part]]:
        """Translate the aggregations of *tree*.

        :param root: the parameter that all names begin with.
        :returns: the backend's request, and how to read its response.
        :raises JHTTPForbidden: it names fields that the caller may not see.
        """
        if not isinstance(tree, dict) or not tree:
            raise OptionPath(self.context, root).error(
                "aggregations are expected (_aggs.NAME.TYPE.field=FIELD)"
            )
        request = self._level(tree, root, Nesting(None, None, 1, 0))
        if self.context.forbidden:
            names = ", ".join(dict.fromkeys(self.context.forbidden))
            raise JHTTPForbidden(f"Not enough permissions to aggregate on fields: {names}")
        return request

    def _level(
        self, tree: dict[str, Any], where: str, nesting: Nesting
    ) -> tuple[dict[str, Any], dict[str, Part]]:
        """Translate sibling aggregations."""
        request: dict[str, Any] = {}
        parts: dict[str, Part] = {}
        specs = [self._spec(name, body, where, nesting.depth) for name, body in tree.items()]
        # Pipelines name siblings, which must have been translated before.
        for spec in sorted(specs, key=lambda spec: KINDS[spec.kind].category == PIPELINE):
            param = OptionPath(self.context, f"{where}.{spec.name}.{spec.kind}")
            kind = KINDS[spec.kind]
            if kind.category == PIPELINE:
                request[spec.name] = {spec.kind: self._pipeline_options(spec, param, kind, parts)}
                parts[spec.name] = Part(spec.kind, path=nesting.path)
            else:
                request[spec.name], parts[spec.name] = self._aggregation(spec, param, kind, nesting)
            if spec.meta is not None:
                innermost = request[spec.name]
                for _ in range(parts[spec.name].wraps):
                    innermost = innermost["aggs"][spec.name]
                innermost["meta"] = spec.meta
        return request, parts

    def _spec(self, name: str, body: Any, where: str, depth: int) -> Spec:
        param = OptionPath(self.context, f"{where}.{name}")
        self.context.count += 1
        if self.context.count > MAX_COUNT:
            raise param.error(f"more than {MAX_COUNT} aggregations in one request")
        if depth >= MAX_DEPTH:
            raise param.error(f"aggregations nested deeper than {MAX_DEPTH}")
        if not name or len(name) > o.MAX_TEXT or _FORBIDDEN_CHARACTERS & set(name):
            raise param.error("an aggregation needs a name, without [ ] > and dots")
        if depth and name in _RESERVED:
            raise param.error(f"'{name}' is a reserved name in buckets")
        if not isinstance(body, dict):
            raise param.error(f"a type is expected: {where}.{name}.terms.field=FIELD, say")
        body = dict(body)
        meta = body.pop("meta", None)
        if meta is not None and not isinstance(meta, dict):
            raise param.at("meta").error("an object is expected")
        keys = [each for each in _INNER if each in body]
        if len(keys) > 1:
            raise param.error("aggs and aggregations are the same: one of them is expected")
        inner = body.pop(keys[0]) if keys else {}
        if keys and (not isinstance(inner, dict) or not inner):
            raise param.at(keys[0]).error("aggregations are expected")
        if len(body) != 1:
            raise param.error(f"one type is expected, not {len(body)}: {', '.join(body) or 'none'}")
        ((kind, options),) = body.items()
        self._check_kind(param.at(kind), kind, bool(inner))
        self.context.kinds.setdefault(kind, f"{param.where}.{kind}")
        return Spec(name, kind, options, inner, keys[0] if keys else "aggs", meta)

    def _check_kind(self, param: OptionPath, name: str, inner: bool) -> None:
        if name in UNSUPPORTED:
            raise param.error(
                f"there are no aggregations of type '{name}' here: {UNSUPPORTED[name]}"
            )
        kind = KINDS.get(name)
        if kind is None:
            raise param.error(f"there is no aggregation of type '{name[:60]}'")
        if inner and kind.category in (METRIC, PIPELINE):
            raise param.error("it can't have aggregations inside")
        if inner and kind.closed:
            raise param.error(f"it can't have aggregations inside: {kind.closed}")
        if kind.needs_inner and not inner:
            raise param.error("it needs aggregations inside")

    # One aggregation

    def _aggregation(
        self, spec: Spec, param: OptionPath, kind: AggregationType, nesting: Nesting
    ) -> tuple[dict[str, Any], Part]:
        if kind.whole is not None:
            options = kind.whole(param, spec.body)
        else:
            options = o.read(param, _renamed(spec, param), kind.options, kind.required)
        at = self._document_path(spec.kind, kind, param, nesting)
        sorts = len(options.get("sort", ())) if spec.kind == "top_hits" else 0
        if not nesting.scored:
            self._without_scores(spec.kind, param, options)
        kind_name, options, inside = self._adapt(spec.kind, param, options, at)
        wrappers = self._wrappers(nesting.path, at)
        only = self.context.fields.objects_having(param.targets)
        if only is not None:
            wrappers.insert(0, {"filter": only})
        if spec.kind in ("global", "random_sampler") and nesting.depth:
            raise param.error("it must be at the top level")
        if spec.kind == "global":
            # All objects, except those that the view hides from the caller.
            wrappers, kind_name, options = [{"global": {}}], "filter", self.context.base
        buckets = self._bucket_count(kind, param, options, nesting.buckets)
        request: dict[str, Any] = {kind_name: options}
        part = Part(spec.kind, len(wrappers), path=inside, sorts=sorts)
        if spec.inner:
            where = f"{param.where.rpartition('.')[0]}.{spec.inner_name}"
            stated = inside if spec.kind in ("nested", "reverse_nested") else nesting.stated
            scored = nesting.scored and spec.kind != "global"
            within = Nesting(inside, stated, buckets, nesting.depth + 1, scored)
            request["aggs"], part.inner = self._level(spec.inner, where, within)
        if kind.options.get("order") is LATER and "order" in options:
            options["order"] = orders(param.at("order"), options["order"], part.inner)
        for wrapper in reversed(wrappers):
            request = {**wrapper, "aggs": {spec.name: request}}
        return request, part

    def _document_path(
        self, name: str, kind: AggregationType, param: OptionPath, nesting: Nesting
    ) -> Optional[str]:
        """Return the path of the documents that an aggregation works on."""
        path = nesting.path
        paths = [target.path for target in param.targets if target.kind != FORBIDDEN]
        if name == "global":
            return None
        if name == "nested":
            # From the documents that embed these.
            outer = ancestors(paths[0] if paths else None)
            return common(path, outer[1] if len(outer) > 1 else None)
        if name == "reverse_nested":
            return path
        if name == "top_hits":
            return nesting.stated
        if name in ("filter", "filters", "adjacency_matrix", "missing"):
            for each in paths:
                path = common(path, each)
            return path
        if len(set(paths)) > 1:
            raise param.error(
                "fields of different documents can't be combined: "
                + ", ".join(sorted({target.name for target in param.targets}))
            )
        at = paths[0] if paths else path
        if kind.one_level and at is not None:
            raise param.error("it does not work on nested documents")
        return at

    @staticmethod
    def _wrappers(path: Optional[str], at: Optional[str]) -> list[dict[str, Any]]:
        """Return the aggregations that lead from documents of *path* to those of *at*."""
        wrappers: list[dict[str, Any]] = []
        shared = common(path, at)
        if shared != path:
            wrappers.append({"reverse_nested": {} if shared is None else {"path": shared}})
        if shared != at:
            wrappers.append({"nested": {"path": at}})
        return wrappers

    def _adapt(
        self, name: str, param: OptionPath, options: Any, at: Optional[str]
    ) -> tuple[str, Any, Optional[str]]:
        """Return type and options as the backend needs them, and the path of inner documents."""
        if name == "missing":
            absent = {"bool": {"must_not": [present(param.targets[0])]}}
            return "filter", relative(absent, at), at
        if name == "filter":
            return name, relative(options, at), at
        if name in ("filters", "adjacency_matrix"):
            filters = options["filters"]
            options["filters"] = (
                [relative(each, at) for each in filters]
                if isinstance(filters, list)
                else {key: relative(each, at) for key, each in filters.items()}
            )
        elif name == "nested":
            target = param.targets[0]
            if target.path == at and target.kind != FORBIDDEN:
                raise param.error(f"these already are documents of '{at}'")
            return name, options, options["path"]
        elif name == "reverse_nested":
            return name, options, self._reverse_path(param, options, at)
        elif name in ("significant_terms", "significant_text"):
            conditions = [options["background_filter"]] if "background_filter" in options else []
            only = self.context.fields.objects_having(param.targets)
            conditions += [] if only is None else [only]
            # The background is the objects that the caller may see; OpenSearch would also count
            # nested documents, which have no key of this name.
            every = [{"exists": {"field": "_pk"}}, self.context.base]
            options["background_filter"] = {"bool": {"filter": [*every, *conditions]}}
        elif name == "top_hits":
            self._top_hits(param, options, at)
        elif name == "date_histogram" and (
            ("calendar_interval" in options) == ("fixed_interval" in options)
        ):
            raise param.error("calendar_interval or fixed_interval is expected")
        return name, options, at

    @staticmethod
    def _reverse_path(
        param: OptionPath, options: dict[str, Any], at: Optional[str]
    ) -> Optional[str]:
        if at is None:
            raise param.error("it must be inside of nested documents")
        path: Optional[str] = options.get("path")
        if path is not None and path not in ancestors(at)[1:]:
            raise param.at("path").error(f"'{path}' does not hold '{at}'")
        return path

    @staticmethod
    def _without_scores(name: str, param: OptionPath, options: dict[str, Any]) -> None:
        """Adapt options to documents without scores; servers reject requests for them there."""
        if any("_score" in each for each in options.get("sort", ())):
            raise param.at("sort").error(
                "there are no scores inside of 'global', because no query found its documents"
            )
        if name == "top_hits":
            options.setdefault("sort", [])
            options["track_scores"] = False

    def _top_hits(self, param: OptionPath, options: dict[str, Any], at: Optional[str]) -> None:
        if options.get("from", 0) + options.get("size", 3) > MAX_HITS:
            raise param.error(f"it shows the first {MAX_HITS} of a bucket only")
        context = self.context
        untrusted = sorted(context.visible.own_renderings - set(context.settings.trusted_hooks))
        if untrusted:
            raise param.error(
                f"documents are shown as {untrusted[0]} renders them, which an aggregation can't do"
            )
        if context.max_documents is not None:
            # As nefertari limits a collection: nothing is shown beyond this position.
            rest = max(0, context.max_documents - options.get("from", 0))
            options["size"] = min(options.get("size", 3), rest)
        for clause, target in zip(
            (each for each in options.get("sort", []) if "_score" not in each), param.targets
        ):
            if target.path != at and target.kind != FORBIDDEN:
                if at not in ancestors(target.path):
                    raise param.at("sort").error(f"'{target.name}' is no field of '{at}'")
                clause[target.sort_key]["nested"] = {"path": target.path}
        # A stable order of equal documents: their own depends on when each was last changed.
        if "sort" not in options:
            options.update(sort=[{"_score": {"order": "desc"}}], track_scores=True)
        tie_breaker = self.context.fields.tie_breaker if at is None else f"{at}._pk"
        options["sort"].append({tie_breaker: {"order": "asc"}})
        source = options.get("_source")
        if isinstance(source, dict) and "includes" in source:
            # They tell which model's privacy rules apply to a document.
            prefix = "" if at is None else f"{at}."
            source["includes"] = [*source["includes"], f"{prefix}_type", f"{prefix}_pk"]

    def _bucket_count(
        self, kind: AggregationType, param: OptionPath, options: Any, buckets: int
    ) -> int:
        """Return the maximum number of buckets (or hits), as far as sizes determine it."""
        option, size = kind.size
        if option:
            size = options.get(option, size)
        elif kind.category == BUCKETS:
            members = options.get("filters", options.get("ranges", ()))
            size = max(1, len(members))
        maximum = self.context.settings.max_buckets
        if buckets * size > maximum:
            raise (param.at(option) if option else param).error(
                f"{buckets * size} buckets in all, {maximum} are allowed "
                "(nefertari_search.max_buckets)"
            )
        return buckets * max(1, size)

    # Pipelines

    @staticmethod
    def _pipeline_options(
        spec: Spec, param: OptionPath, kind: AggregationType, parts: dict[str, Part]
    ) -> Any:
        options = o.read(param, spec.body, kind.options, kind.required)
        if "buckets_path" in options:
            inside = param.at("buckets_path")
            options["buckets_path"] = resolve_bucket_path(inside, options["buckets_path"], parts)
        if "sort" in options:
            options["sort"] = sorts(param.at("sort"), options["sort"], parts)
        return options


def _renamed(spec: Spec, param: OptionPath) -> Any:
    """Return the options by their current names."""
    body = spec.body
    if spec.kind != "date_histogram" or not isinstance(body, dict) or "interval" not in body:
        return body
    body = dict(body)
    interval = o.text(param.at("interval"), body.pop("interval"))
    # Elasticsearch 8 replaced it by two options.
    if interval in CALENDAR_UNITS:
        return {**body, "calendar_interval": interval}
    return {**body, "fixed_interval": "1s" if interval == "second" else interval}
