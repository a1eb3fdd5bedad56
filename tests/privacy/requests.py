"""Random requests: every parameter, operator and spelling, method and renderer that there is.

What is known to nefertari, to this package or to an engine is read from there, so that a parameter
that is new is asked, too.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from nefertari import RESERVED_PARAMS

from nefertari_search_tween.search import context, get_collection
from nefertari_search_tween.search.aggregations import filters, types, unsupported
from nefertari_search_tween.search.privacy import ALWAYS_VISIBLE
from nefertari_search_tween.search.query import transparent_read
from tests.apps.item_acls import PRINCIPALS
from tests.privacy.content import as_text, key_of, values_of
from tests.privacy.differences import NEW_OBJECT, Caller, Target
from tests.privacy.served import ModelShape, Request, Shape
from tests.support import random_requests
from tests.support.random_requests import JUNK, LIMITS

Params = list[tuple[str, str]]

#: what options need besides the field that is looked for; an option that is not here, and is
#: required, fails the suite
REQUIRED = {
    "field": "field={f}",
    "fields": "fields={f}",
    "ranges": "ranges.0.from=3",
    "interval": "interval=1",
    "filters": "filters.x.exists.field={f}",
    "sources": "sources.0.s.terms.field={f}",
    "terms": "terms.0.field={f}&%s.terms.1.field=_pk",
    "path": "path={f}",
    "buckets_path": "buckets_path=b>c",
    "value": "value.field={f}",
    "weight": "weight.field={f}",
    "metrics": "metrics.0.field={f}",
    "sort": "sort.0.{f}=asc",
    "mode": "mode=mean",
    "values": "values=3",
    "probability": "probability=0.9",
}
ACCEPTS = (
    *("", "application/json", "text/plain", "text/html", "*/*", "application/xml"),
    *("text/plain, application/json;q=0.5", "application/json, text/plain;q=0.1", "text/*"),
)
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
#: that write all objects that a request selects
MANY = ("PUT", "PATCH", "DELETE")
TUNNEL = "_m"
#: of MongoDB; a dot before them is what MongoEngine's queries let through. Not ``$mod``: FerretDB
#: 1.24 panics at any value of it that is no list, and every database of the run is gone with it.
OPERATORS = (
    *("$gt", "$gte", "$lt", "$lte", "$ne", "$in", "$nin", "$exists", "$regex", "$not", "$size"),
    *("$all", "$elemMatch", "$type", "$where", "$expr", "$or"),
)


def parameters_of(function: Any) -> set[str]:
    """Parameters that the code of an engine's ``get_collection`` takes out of what it is given."""
    # Another application of this process may have taken its target.
    original = getattr(function, "intercepts", function)
    source = inspect.getsource(original)
    names = set(re.findall(r"""params\.pop\(['"](\w+)['"]""", source))
    return names | set(re.findall(r"""['"](\w+)['"] in params""", source))


def known_parameters() -> list[str]:
    """All reserved names: nefertari's, this package's and the engines'."""
    from nefertari_sqla.documents import BaseMixin

    names = {*RESERVED_PARAMS, *transparent_read._KNOWN, *context.NUMBERS, *context.AGGREGATIONS}
    names |= {context.FLAG, *context.SEARCH_PARAMETERS, get_collection.OVERRIDE, *ALWAYS_VISIBLE}
    names |= parameters_of(BaseMixin.get_collection)
    return sorted(names | {"_raise_on_empty", "body", "_principals", "_self", "_score", "_acl"})


def modifiers() -> list[str]:
    """What may stand behind a field's name."""
    from mongoengine.queryset import transform

    of_mongoengine = {*transform.COMPARISON_OPERATORS, *transform.STRING_OPERATORS} - {"mod"}
    names = {*transparent_read._MODIFIERS, *(f"__{each}" for each in of_mongoengine)}
    names |= {f"{sign}{each}" for each in OPERATORS for sign in (".", "__")}
    return sorted(names | {".keyword", ".x", "__not__in", ".0", "__0", "__", "."})


MODIFIERS = modifiers()
IN_MONGODB = [f".{each}" for each in OPERATORS]
PARAMETERS = known_parameters()
#: parameters that say nothing of which objects are asked for, nor of their order
UNFILTERED = sorted(
    {*PARAMETERS}
    - {
        "q",
        context.BOX,
        "body",
        "_sort",
        "_search_fields",
        "_principals",
        "_self",
        "_score",
        "_acl",
    }
    - {*context.PRESENCE}
    - {*ALWAYS_VISIBLE, *context.AGGREGATIONS}
)


class Grammar:
    """Requests of one caller to one target.

    :param reads_only: none that writes is among them.
    :param sorted_only: all say their order: that of the scores differs.
    :param items_too: single objects are asked for, too.
    :param focus: model and name of a field that many of them name.
    :param pages_only: only pages and numbers of the whole collection are asked for, by key.
    """

    def __init__(
        self,
        shape: Shape,
        target: Target,
        caller: Caller,
        reads_only: bool = False,
        sorted_only: bool = False,
        items_too: bool = False,
        focus: tuple[str, str] = ("", ""),
        pages_only: bool = False,
    ) -> None:
        self.target = target
        self.caller = caller
        self.reads_only = reads_only
        self.sorted_only = sorted_only
        self.items_too = items_too
        self.shape = shape
        self.focus = focus
        self.pages_only = pages_only
        self.texts: dict[str, list[str]] = {}
        self.focused: set[str] = set()
        for model in target.collection.models:
            self._add_fields(model, "", 2)
        self.visible = {
            name: texts for name, texts in self.texts.items() if self._sees(name.split("."))
        } or {"_pk": ["1"]}
        self.any_name = st.sampled_from(sorted(self.texts))
        columns = [name for name, texts in self.visible.items() if texts]
        self.visible_name = st.sampled_from(sorted(columns or self.visible))
        self.focused_name = hidden = (
            st.sampled_from(sorted(self.focused)) if self.focused else self.any_name
        )
        self.name = _weighted((self.visible_name, 4), (self.any_name, 1), (hidden, 1))
        self.probed_name = _weighted((self.visible_name, 1), (hidden, 1))

    def _add_fields(self, model: str, prefix: str, depth: int) -> None:
        shape = self.shape.models[model]
        for name, field in shape.fields.items():
            if (model, name) == self.focus:
                self.focused.add(prefix + name)
            if field.kind == "Relationship":
                self.texts.setdefault(prefix + name, [])
                if depth and field.model in self.shape.models and name in shape.nested:
                    self._add_fields(field.model, f"{prefix}{name}.", depth - 1)
            elif name == shape.pk or field.is_reference:
                keys = self.keys(self.shape.models.get(field.model, shape))
                self.texts.setdefault(prefix + name, [str(each) for each in keys])
            elif name == "_acl":
                self.texts.setdefault(prefix + name, [])
            else:
                values = values_of(self.shape, model, name, "ann")
                self.texts[prefix + name] = [as_text(each) for each in values if each is not None]

    def _sees(self, parts: list[str]) -> bool:
        """Whether the caller may see a field, by the rules of each model on its way."""
        for model in self.target.collection.models:
            shape = self.shape.models[model]
            for number, part in enumerate(parts):
                if part not in shape.visible(bool(self.caller.name)):
                    break
                if number + 1 < len(parts):
                    shape = self.shape.models[shape.fields[part].model]
            else:
                return True
        return False

    # Parts

    @functools.cache  # noqa: B019 - a grammar lives as long as its run
    def value(self, name: str) -> st.SearchStrategy[str]:
        return _weighted(
            (st.sampled_from(self.texts.get(name) or ["1"]), 8), (st.sampled_from(JUNK), 1)
        )

    @functools.cached_property
    def filter(self) -> st.SearchStrategy[Params]:
        return self.name.flatmap(lambda name: self.value(name).map(lambda value: [(name, value)]))

    @functools.cached_property
    def modified(self) -> st.SearchStrategy[Params]:
        return st.tuples(self.probed_name, st.sampled_from(MODIFIERS)).flatmap(
            lambda pair: self.value(pair[0]).map(lambda value: [(f"{pair[0]}{pair[1]}", value)])
        )

    @functools.cached_property
    def probe(self) -> st.SearchStrategy[Params]:
        """One condition, on what differs."""
        modifiers = st.sampled_from(MODIFIERS)
        if self.shape.object_ids:
            modifiers = _weighted((modifiers, 1), (st.sampled_from(IN_MONGODB), 3))
        return st.tuples(self.focused_name, modifiers).flatmap(
            lambda pair: self.value(pair[0]).map(lambda value: [("".join(pair), value)])
        )

    @functools.cached_property
    def relationships(self) -> st.SearchStrategy[Params]:
        """Objects as their related objects, by either database."""
        names = [name for name, texts in self.visible.items() if not texts and "." not in name]
        fields = st.sampled_from(sorted(names) or ["_pk"]).map(lambda name: ("_fields", name))
        flags = _weighted((st.just([(context.FLAG, "false")]), 2), (st.just([]), 1))
        return st.tuples(fields, flags).map(lambda pair: [pair[0], *pair[1]])

    @functools.cached_property
    def reserved(self) -> st.SearchStrategy[Params]:
        value = _weighted(
            (st.sampled_from(["", "1", "true", "false", "0"]), 3),
            (self.name, 2),
            (st.tuples(st.just("-"), self.name).map("".join), 1),
            (self.lucene, 1),
        )
        return st.tuples(st.sampled_from(PARAMETERS), value).map(lambda pair: [pair])

    @functools.cached_property
    def lucene(self) -> st.SearchStrategy[str]:
        @functools.cache
        def term(name: str) -> st.SearchStrategy[str]:
            return self.value(name).flatmap(
                lambda value: st.sampled_from(
                    [
                        *(value, value.partition(" ")[0] or "x", f'"{value}"', "*"),
                        *(f"{value[:2]}*", f"*{value[-2:]}", f"[{value} TO *]", f"{value}~"),
                        *(f"/{value[:2]}.*/", f"NOT {value}", f"({value} OR zzz)"),
                    ]
                )
            )

        plain = self.name.flatmap(term)
        qualified = self.name.flatmap(lambda name: term(name).map(lambda text: f"{name}:{text}"))
        presence = st.tuples(self.presence, self.name).map(":".join)
        one = _weighted((plain, 2), (qualified, 2), (presence, 1))
        return _weighted(
            (one, 4),
            (
                st.tuples(one, st.sampled_from([" AND ", " OR ", " AND NOT ", " "]), one).map(
                    "".join
                ),
                1,
            ),
        )

    @functools.cached_property
    def box(self) -> st.SearchStrategy[Params]:
        """Texts of a search box: values, parts of them, with typos."""

        @functools.cache
        def words(name: str) -> st.SearchStrategy[str]:
            return self.value(name).flatmap(
                lambda value: st.sampled_from(
                    [
                        *(value, value[:-1], value[:2] + value[3:], f"{value}x", f'"{value}"'),
                        *(f"-{value}", value[::-1], value.replace(" ", ""), f"{value[:3]} {value}"),
                    ]
                )
            )

        one = self.probed_name.flatmap(words)
        text = _weighted((one, 3), (st.tuples(one, st.just(" "), one).map("".join), 1))
        return text.map(lambda each: [(context.BOX, each)])

    @functools.cached_property
    def presence(self) -> st.SearchStrategy[str]:
        return st.sampled_from(context.PRESENCE)

    @functools.cached_property
    def search(self) -> st.SearchStrategy[Params]:
        typed = self.lucene
        flag = st.just((context.FLAG, "true"))
        fields = st.lists(self.name, min_size=1, max_size=2).map(
            lambda names: ("_search_fields", ",".join(names))
        )
        extras = st.tuples(
            st.sampled_from(context.EXTRAS), st.lists(self.probed_name, min_size=1, max_size=2)
        ).map(lambda pair: (pair[0], ",".join(pair[1])))
        return st.one_of(
            typed.map(lambda text: [("q", text)]),
            st.tuples(typed.map(lambda text: ("q", text)), extras).map(list),
            st.tuples(self.box, extras).map(lambda two: [*two[0], two[1]]),
            st.tuples(self.name, typed, extras).map(lambda three: [three[:2], three[2]]),
            self.box,
            st.tuples(self.box, fields).map(lambda two: [*two[0], two[1]]),
            st.tuples(typed.map(lambda text: ("q", text)), fields).map(list),
            flag.map(lambda pair: [pair]),
            st.tuples(flag, self.name, typed).map(lambda three: [three[0], (three[1], three[2])]),
            st.tuples(self.name, typed).map(lambda pair: [pair]),
            st.tuples(self.presence, self.probed_name).map(lambda pair: [pair]),
            st.just([(context.FLAG, "false")]),
        )

    # Aggregations

    @functools.cache  # noqa: B019 - a grammar lives as long as its run
    def aggregation(self, here: str, depth: int) -> st.SearchStrategy[Params]:
        """One aggregation, and perhaps others below it."""

        @functools.cache
        def of_type(name: str) -> st.SearchStrategy[Params]:
            kind = types.KINDS.get(name)
            if kind is None:
                return self.name.map(lambda field: [(f"{here}.{name}.field", field)])
            options = [REQUIRED[each] for each in kind.required]
            if kind.whole is not None:
                parts = self.inner_query(f"{here}.{name}")
            else:
                optional = self._option(kind)
                parts = st.tuples(self.name, _rarely(optional.map(lambda each: [each]), [], 3)).map(
                    lambda pair: (
                        _filled([*options, *pair[1]], f"{here}.{name}", pair[0])
                        or [(f"{here}.{name}", "")]
                    )
                )
            if depth == 0 or kind.category in (types.METRIC, types.PIPELINE) or kind.closed:
                return parts
            below = self.aggregation(f"{here}.aggs.t", depth - 1)
            share = 1 if kind.needs_inner or name in ("global", "nested") else 3
            return st.tuples(parts, _rarely(below, [], share)).map(
                lambda pair: [*pair[0], *pair[1]]
            )

        names = st.sampled_from(sorted(types.KINDS))
        common = st.sampled_from(["terms", "global", "top_hits", "filter", "value_count", "nested"])
        odd = st.sampled_from([*sorted(unsupported.UNSUPPORTED), "nothing"])
        return _weighted((names, 4), (common, 3), (odd, 1)).flatmap(of_type)

    def _option(self, kind: types.AggregationType) -> st.SearchStrategy[str]:
        option = st.sampled_from([*kind.options, "script", "unknown"])
        form = st.sampled_from(
            ["{o}={f}", "{o}.0.{f}=asc", "{o}.0.s.terms.field={f}", "{o}=1", "{o}=true", "{o}=*"]
        )
        return st.tuples(option, form).map(lambda pair: pair[1].replace("{o}", pair[0]))

    @functools.cache  # noqa: B019 - a grammar lives as long as its run
    def inner_query(self, here: str) -> st.SearchStrategy[Params]:
        """A query inside of an aggregation."""
        query = st.sampled_from(sorted(filters._QUERIES))
        form = st.sampled_from(
            [
                "{f}={v}",
                "field={f}",
                "query={f}:{v}",
                "{f}.gte={v}",
                "query={v}",
                "must_not.0.exists.field={f}",
            ]
        )
        return st.tuples(query, form, self.name).flatmap(
            lambda three: self.value(three[2]).map(
                lambda value: _filled(
                    [three[1].replace("{v}", value)], f"{here}.{three[0]}", three[2]
                )
            )
        )

    @functools.cached_property
    def aggregations(self) -> st.SearchStrategy[Params]:
        root = st.sampled_from(context.AGGREGATIONS)
        one = root.flatmap(lambda name: self.aggregation(f"{name}.a", 2))
        return _weighted(
            (one, 4),
            (st.tuples(one, self.search).map(lambda two: [*two[0], *two[1]]), 1),
            (self.outside, 1),
        )

    @functools.cached_property
    def outside(self) -> st.SearchStrategy[Params]:
        """An aggregation of more objects than the request selects."""
        kind = st.sampled_from(["terms", "value_count", "missing", "cardinality"])
        return st.tuples(st.sampled_from(context.AGGREGATIONS), kind, self.visible_name).map(
            lambda three: [
                (f"{three[0]}.a.global", ""),
                (f"{three[0]}.a.aggs.t.{three[1]}.field", three[2]),
            ]
        )

    # The whole

    @functools.cached_property
    def pages(self) -> st.SearchStrategy[Params]:
        """Parameters that filter nothing."""
        number = st.tuples(st.sampled_from(sorted(context.NUMBERS)), st.sampled_from(LIMITS))
        texts = st.sampled_from(["", "1", "true", "false", "0"])
        other = st.tuples(st.sampled_from(UNFILTERED), texts)
        one = _weighted((number, 4), (other, 1))
        pages = st.lists(one, min_size=1, max_size=3, unique_by=lambda pair: pair[0])
        return _weighted((pages, 4), (self.first_hits, 1))

    @functools.cached_property
    def first_hits(self) -> st.SearchStrategy[Params]:
        """The first objects of the collection by an aggregation."""
        root = st.sampled_from(context.AGGREGATIONS)
        return st.tuples(root, st.sampled_from(LIMITS)).map(
            lambda pair: [
                (f"{pair[0]}.a.top_hits.size", pair[1]),
                (f"{pair[0]}.a.top_hits.sort.0.{self.model.pk}", "asc"),
            ]
        )

    @functools.cached_property
    def params(self) -> st.SearchStrategy[Params]:
        if self.pages_only:
            return self.pages
        any_params = random_requests.requests(self.texts, LIMITS)
        usual = any_params
        if any(self.visible.values()):
            usual = random_requests.requests(self.visible, LIMITS)
        plain = _weighted((usual, 3), (any_params, 1))
        extra = _weighted(
            (self.search, 3),
            (self.aggregations, 3),
            (self.modified, 2),
            (self.reserved, 2),
            (self.filter, 1),
            (self.relationships, 1),
        )
        return _weighted(
            (plain, 3),
            (extra, 3),
            (st.tuples(plain, extra).map(lambda two: [*two[1], *two[0]]), 2),
            (st.tuples(extra, extra).map(lambda two: [*two[1], *two[0]]), 1),
            # Objects are counted wherever they are joined.
            (self.relationships, 1 if self.sorted_only else 0),
        )

    @functools.cached_property
    def requests(self) -> st.SearchStrategy[Request]:
        parts: st.SearchStrategy[Any] = st.tuples(st.just("GET"), self.params, st.just({}))
        if not self.reads_only:
            # Those who belong to a group may write.
            share = 4 if "," in self.caller.principals else 1
            write = st.tuples(st.sampled_from(METHODS), self.params, self.body(self.name))
            # The response says how many objects were selected.
            probe = st.tuples(st.sampled_from(MANY), self.probe, self.body(self.visible_name))
            parts = _weighted((parts, 8), (write, share), (probe, share))
        path = st.just(self.target.collection.path)
        if self.target.collection.item and self.items_too:
            path = _weighted((path, 6), (st.just(self.target.collection.item), 1))
        return st.builds(
            self._request,
            path,
            parts,
            _rarely(st.booleans(), False, 2),
            _weighted((st.sampled_from(ACCEPTS[:2]), 3), (st.sampled_from(ACCEPTS), 1)),
            _weighted((st.just(0), 4), (st.integers(1, 2**16), 1)),
            st.sampled_from([str(each) for each in self.keys(self.model)]),
        )

    @property
    def model(self) -> ModelShape:
        return self.shape.models[self.target.collection.models[0]]

    def keys(self, model: ModelShape) -> list[Any]:
        return [key_of(model, number, self.shape.object_ids) for number in (1, 2, 3)]

    def body(self, names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
        return names.flatmap(
            lambda name: self.value(name).map(lambda value: {name.partition(".")[0]: value})
        )

    def _request(
        self,
        path: str,
        parts: tuple[str, Params, dict[str, Any]],
        is_tunnelled: bool,
        accept: str,
        spelling: int,
        key: str,
    ) -> Request:
        model = self.model
        method, params, body = parts
        for name, value in self.target.parents:
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        path = re.sub(r"{\w+}", key, path)
        params = [(name, value) for name, value in params if "\x00" not in name + value]
        if self.sorted_only and not any(name == "_sort" for name, _ in params):
            params = [*params, ("_sort", model.pk)]
        headers = ((PRINCIPALS, self.caller.principals), ("Accept", accept))
        if method == "POST":
            # The next free key is that of nobody.
            new = NEW_OBJECT + 1
            body = {**body, model.pk: f"{new:024x}" if self.shape.object_ids else new}
        if is_tunnelled and method != "GET":
            written = [(name, str(value)) for name, value in body.items()]
            params = [*params, *written, (TUNNEL, method)]
            return Request(path, encoded(params, spelling), "GET", headers)
        written_body = body if method in ("POST", "PUT", "PATCH") else None
        return Request(path, encoded(params, spelling), method, headers, written_body)


def encoded(params: Params, spelling: int) -> str:
    """A query string.

    :param spelling: bits that say which characters of names are percent-encoded although they
        need not be.
    """
    pieces = []
    for name, value in params:
        letters = [
            f"%{ord(letter):02x}"
            if ord(letter) < 128 and spelling >> (at % 16) & 1
            else quote(letter, safe="$._-")
            for at, letter in enumerate(name)
        ]
        pieces.append(f"{''.join(letters)}={quote(value, safe='')}")
    return "&".join(pieces)


def _filled(forms: Iterable[str], here: str, field: str) -> Params:
    params: Params = []
    for form in forms:
        for piece in form.replace("{f}", field).replace("%s", here).split("&"):
            name, _, value = piece.partition("=")
            params.append((name if name.startswith(here) else f"{here}.{name}", value))
    return params


def _weighted(*strategies: tuple[st.SearchStrategy[Any], int]) -> st.SearchStrategy[Any]:
    """Draw from each as often as its number says."""
    return st.sampled_from([each for each, count in strategies for _ in range(count)]).flatmap(
        lambda each: each
    )


def _rarely(rare: st.SearchStrategy[Any], usual: Any, one_of: int) -> st.SearchStrategy[Any]:
    return _weighted((rare, 1), (st.just(usual), one_of - 1)) if one_of > 1 else rare
