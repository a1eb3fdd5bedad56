"""A request for aggregations -> what the backend is asked, and how its answer is to be read."""

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
    KINDS,
    LATER,
    MAX_HITS,
    METRIC,
    PIPELINE,
    AggregationType,
)
from nefertari_search_tween.search.aggregations.unsupported import UNSUPPORTED
from nefertari_search_tween.search.query import clauses

# Aggregations within aggregations, and all of one request.
MAX_DEPTH = 10
MAX_COUNT = 100
_INNER = ("aggs", "aggregations")
# What a server forbids in names, and what stands beside the results of those inside.
_FORBIDDEN_CHARACTERS = frozenset("[]>.")
_TAKEN = frozenset(
    [
        *("key", "key_as_string", "doc_count", "buckets", "meta", "from", "to", "min", "max"),
        *("from_as_string", "to_as_string", "min_as_string", "max_as_string", "bg_count"),
        *("score", "after_key", "sum_other_doc_count", "doc_count_error_upper_bound", "interval"),
        *_INNER,
    ]
)
# Their names of before Elasticsearch 8.
_CALENDAR = frozenset(
    [
        *("minute", "hour", "day", "week", "month", "quarter", "year"),
        *("1m", "1h", "1d", "1w", "1M", "1q", "1y"),
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
    """Where an aggregation stands.

    :param path: of the documents that it would look at, by the aggregations around it.
    :param stated: the same, as the caller said it (by ``nested``): the fields of other
        aggregations may have led elsewhere.
    :param times: how many buckets it is repeated in.
    :param depth: how many aggregations are around it.
    """

    path: Optional[str]
    stated: Optional[str]
    times: int
    depth: int


class Builder:
    """Reads one request.

    :raises BadQuery: something in it can't be understood; the message names the parameter.
    """

    def __init__(self, inquiry: AggregationContext) -> None:
        self.inquiry = inquiry

    def build(self, tree: Any, root: str) -> tuple[dict[str, Any], dict[str, Part]]:
        """The aggregations of *tree*.

        :param root: the parameter that all names begin with.
        :returns: what the backend is asked, and how its answer is to be read.
        :raises JHTTPForbidden: it names fields that the caller may not see.
        """
        if not isinstance(tree, dict) or not tree:
            raise OptionPath(self.inquiry, root).bad(
                "aggregations are expected (_aggs.NAME.TYPE.field=FIELD)"
            )
        found = self._level(tree, root, Nesting(None, None, 1, 0))
        if self.inquiry.refused:
            names = ", ".join(dict.fromkeys(self.inquiry.refused))
            raise JHTTPForbidden(f"Not enough permissions to aggregate on fields: {names}")
        return found

    def _level(
        self, tree: dict[str, Any], where: str, around: Nesting
    ) -> tuple[dict[str, Any], dict[str, Part]]:
        """Aggregations beside each other, inside of what is *around* them."""
        asked: dict[str, Any] = {}
        parts: dict[str, Part] = {}
        specs = [self._spec(name, body, where, around.depth) for name, body in tree.items()]
        # Pipelines name others, which have to be known.
        for spec in sorted(specs, key=lambda spec: KINDS[spec.kind].gives == PIPELINE):
            place = OptionPath(self.inquiry, f"{where}.{spec.name}.{spec.kind}")
            kind = KINDS[spec.kind]
            if kind.gives == PIPELINE:
                asked[spec.name] = {spec.kind: self._pipeline(spec, place, kind, parts)}
                parts[spec.name] = Part(spec.kind, path=around.path)
            else:
                asked[spec.name], parts[spec.name] = self._one(spec, place, kind, around)
            if spec.meta is not None:
                _innermost(asked[spec.name], spec.name, parts[spec.name])["meta"] = spec.meta
        return asked, parts

    def _spec(self, name: str, body: Any, where: str, depth: int) -> Spec:
        place = OptionPath(self.inquiry, f"{where}.{name}")
        self.inquiry.count += 1
        if self.inquiry.count > MAX_COUNT:
            raise place.bad(f"more than {MAX_COUNT} aggregations in one request")
        if depth >= MAX_DEPTH:
            raise place.bad(f"aggregations nested deeper than {MAX_DEPTH}")
        if not name or len(name) > o.MAX_TEXT or _FORBIDDEN_CHARACTERS & set(name):
            raise place.bad("an aggregation needs a name, without [ ] > and dots")
        if depth and name in _TAKEN:
            raise place.bad(f"'{name}' is a name of what a bucket has of its own")
        if not isinstance(body, dict):
            raise place.bad(f"a type is expected: {where}.{name}.terms.field=FIELD, say")
        body = dict(body)
        meta = body.pop("meta", None)
        if meta is not None and not isinstance(meta, dict):
            raise place.at("meta").bad("an object is expected")
        named = [each for each in _INNER if each in body]
        if len(named) > 1:
            raise place.bad("aggs and aggregations are the same: one of them is expected")
        inner = body.pop(named[0]) if named else {}
        if named and (not isinstance(inner, dict) or not inner):
            raise place.at(named[0]).bad("aggregations are expected")
        if len(body) != 1:
            raise place.bad(f"one type is expected, not {len(body)}: {', '.join(body) or 'none'}")
        ((kind, options),) = body.items()
        self._check_kind(place.at(kind), kind, bool(inner))
        self.inquiry.kinds.setdefault(kind, f"{place.where}.{kind}")
        return Spec(name, kind, options, inner, named[0] if named else "aggs", meta)

    def _check_kind(self, place: OptionPath, name: str, inner: bool) -> None:
        if name in UNSUPPORTED:
            raise place.bad(f"there are no aggregations of type '{name}' here: {UNSUPPORTED[name]}")
        kind = KINDS.get(name)
        if kind is None:
            raise place.bad(f"there is no aggregation of type '{name[:60]}'")
        if inner and kind.gives in (METRIC, PIPELINE):
            raise place.bad("it can't have aggregations inside")
        if inner and kind.closed:
            raise place.bad(f"it can't have aggregations inside: {kind.closed}")
        if kind.hollow and not inner:
            raise place.bad("it needs aggregations inside")

    # One aggregation

    def _one(
        self, spec: Spec, place: OptionPath, kind: AggregationType, around: Nesting
    ) -> tuple[dict[str, Any], Part]:
        if kind.whole is not None:
            options = kind.whole(place, spec.body)
        else:
            options = o.read(place, _renamed(spec, place), dict(kind.options), kind.required)
        at = self._level_of(spec.kind, kind, place, around)
        sorts = len(options.get("sort", ())) if spec.kind == "top_hits" else 0
        kind_name, options, inside = self._special(spec.kind, place, options, at)
        wrappers = self._climb(around.path, at)
        only = self.inquiry.only(place.targets)
        if only is not None:
            wrappers.insert(0, {"filter": only})
        if spec.kind == "global":
            if around.depth:
                raise place.bad("it stands outside of all others")
            # All objects, but none that the view keeps from the caller.
            wrappers, kind_name, options = [{"global": {}}], "filter", self.inquiry.base
        times = self._times(kind, place, options, around.times)
        asked: dict[str, Any] = {kind_name: options}
        part = Part(spec.kind, len(wrappers), path=inside, sorts=sorts)
        if spec.inner:
            where = f"{place.where.rpartition('.')[0]}.{spec.inner_name}"
            stated = inside if spec.kind in ("nested", "reverse_nested") else around.stated
            within = Nesting(inside, stated, times, around.depth + 1)
            asked["aggs"], part.inner = self._level(spec.inner, where, within)
        if kind.options.get("order") is LATER and "order" in options:
            options["order"] = orders(place.at("order"), options["order"], part.inner)
        for wrapper in reversed(wrappers):
            asked = {**wrapper, "aggs": {spec.name: asked}}
        return asked, part

    def _level_of(
        self, name: str, kind: AggregationType, place: OptionPath, around: Nesting
    ) -> Optional[str]:
        """Path of the documents that an aggregation has to look at, given those around it."""
        path = around.path
        paths = [target.path for target in place.targets if target.kind != FORBIDDEN]
        if name == "global":
            return None
        if name == "nested":
            # From the documents that hold these.
            outer = ancestors(paths[0] if paths else None)
            return common(path, outer[1] if len(outer) > 1 else None)
        if name == "reverse_nested":
            return path
        if name == "top_hits":
            return around.stated
        if name in ("filter", "filters", "adjacency_matrix", "missing"):
            for each in paths:
                path = common(path, each)
            return path
        if len(set(paths)) > 1:
            raise place.bad(
                "fields of different documents can't be combined: "
                + ", ".join(sorted({target.name for target in place.targets}))
            )
        at = paths[0] if paths else path
        if kind.one_level and at is not None:
            raise place.bad("it does not work on nested documents")
        return at

    @staticmethod
    def _climb(path: Optional[str], at: Optional[str]) -> list[dict[str, Any]]:
        """The aggregations that lead from documents of *path* to those of *at*."""
        found: list[dict[str, Any]] = []
        shared = common(path, at)
        if shared != path:
            found.append({"reverse_nested": {} if shared is None else {"path": shared}})
        if shared != at:
            found.append({"nested": {"path": at}})
        return found

    def _special(
        self, name: str, place: OptionPath, options: Any, at: Optional[str]
    ) -> tuple[str, Any, Optional[str]]:
        """Type and options as the backend needs them, and the documents that are inside."""
        if name == "missing":
            absent = {"bool": {"must_not": [present(place.targets[0])]}}
            return "filter", relative(absent, at), at
        if name == "filter":
            return name, relative(options, at), at
        if name in ("filters", "adjacency_matrix"):
            given = options["filters"]
            options["filters"] = (
                [relative(each, at) for each in given]
                if isinstance(given, list)
                else {key: relative(each, at) for key, each in given.items()}
            )
        elif name == "nested":
            target = place.targets[0]
            if target.path == at and target.kind != FORBIDDEN:
                raise place.bad(f"these already are documents of '{at}'")
            return name, options, options["path"]
        elif name == "reverse_nested":
            return name, options, self._back(place, options, at)
        elif name in ("significant_terms", "significant_text"):
            asked = [options["background_filter"]] if "background_filter" in options else []
            only = self.inquiry.only(place.targets)
            asked += [] if only is None else [only]
            # What is usual is counted among the objects that the caller may see; OpenSearch
            # would count nested documents among them, which have no key of this name.
            every = [{"exists": {"field": "_pk"}}, self.inquiry.base]
            options["background_filter"] = {"bool": {"filter": [*every, *asked]}}
        elif name == "top_hits":
            self._top_hits(place, options, at)
        elif name == "date_histogram" and (
            ("calendar_interval" in options) == ("fixed_interval" in options)
        ):
            raise place.bad("calendar_interval or fixed_interval is expected")
        return name, options, at

    @staticmethod
    def _back(place: OptionPath, options: dict[str, Any], at: Optional[str]) -> Optional[str]:
        if at is None:
            raise place.bad("it stands inside of nested documents")
        wanted: Optional[str] = options.get("path")
        if wanted is not None and wanted not in ancestors(at)[1:]:
            raise place.at("path").bad(f"'{wanted}' does not hold '{at}'")
        return wanted

    def _top_hits(self, place: OptionPath, options: dict[str, Any], at: Optional[str]) -> None:
        if options.get("from", 0) + options.get("size", 3) > MAX_HITS:
            raise place.bad(f"it shows the first {MAX_HITS} of a bucket only")
        for clause, target in zip(
            (each for each in options.get("sort", []) if "_score" not in each), place.targets
        ):
            if target.path != at and target.kind != FORBIDDEN:
                if at not in ancestors(target.path):
                    raise place.at("sort").bad(f"'{target.name}' is no field of '{at}'")
                clause[target.sort_key]["nested"] = {"path": target.path}
        # Equal ones in an order that stays: their own is that of the last change of each.
        if "sort" not in options:
            options.update(sort=[{"_score": {"order": "desc"}}], track_scores=True)
        tie = self.inquiry.names.tie_breaker if at is None else f"{at}._pk"
        options["sort"].append({tie: {"order": "asc"}})
        shown = options.get("_source")
        if isinstance(shown, dict) and "includes" in shown:
            # What tells whose rules a document is shown by.
            prefix = "" if at is None else f"{at}."
            shown["includes"] = [*shown["includes"], f"{prefix}_type", f"{prefix}_pk"]

    def _times(self, kind: AggregationType, place: OptionPath, options: Any, times: int) -> int:
        """How many buckets (or hits) there will be, at most, as far as sizes say it."""
        option, size = kind.size
        if option:
            size = options.get(option, size)
        elif kind.gives == BUCKETS:
            listed = options.get("filters", options.get("ranges", ()))
            size = max(1, len(listed))
        most = self.inquiry.settings.max_buckets
        if times * size > most:
            raise (place.at(option) if option else place).bad(
                f"{times * size} buckets in all, {most} are allowed (nefertari_search.max_buckets)"
            )
        return times * max(1, size)

    # Pipelines

    @staticmethod
    def _pipeline(
        spec: Spec, place: OptionPath, kind: AggregationType, parts: dict[str, Part]
    ) -> Any:
        options = o.read(place, spec.body, dict(kind.options), kind.required)
        if "buckets_path" in options:
            inside = place.at("buckets_path")
            options["buckets_path"] = resolve_bucket_path(inside, options["buckets_path"], parts)
        if "sort" in options:
            options["sort"] = sorts(place.at("sort"), options["sort"], parts)
        return options


def _renamed(spec: Spec, place: OptionPath) -> Any:
    """The options by the names that they have today."""
    body = spec.body
    if spec.kind != "date_histogram" or not isinstance(body, dict) or "interval" not in body:
        return body
    body = dict(body)
    interval = o.text(place.at("interval"), body.pop("interval"))
    if interval in _CALENDAR:
        return {**body, "calendar_interval": interval}
    return {**body, "fixed_interval": "1s" if interval == "second" else interval}


def _innermost(asked: dict[str, Any], name: str, part: Part) -> dict[str, Any]:
    for _ in range(part.wraps):
        asked = asked["aggs"][name]
    return asked


def base_query(exact_filters: list[clauses.Query], stubs: clauses.Query) -> clauses.Query:
    """What holds for every object that a caller may see: the view's own filters, and that it is
    one (*stubs* stand for those that the backend refused)."""
    found: clauses.Query = {"must_not": [stubs]}
    if exact_filters:
        found["filter"] = exact_filters
    return {"bool": found}
