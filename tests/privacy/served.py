"""One application on one database, in a process of its own: its engine is the process's."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from pyramid.interfaces import IRoutesMapper

from nefertari_search_tween.search.context import MULTI_COLLECTION

#: model -> key -> field -> value; of a relationship to one object that object's key
State = dict[str, dict[Any, dict[str, Any]]]
HOST = "members.example"
#: status of a request whose exception no view of the application turned into a response
RAISED = 599
SAFE = ("GET", "HEAD", "OPTIONS")
#: headers in which two responses to the same request may differ
OF_THE_MOMENT = {"Date", "Expires", "Last-Modified", "Server-Timing", "Content-Length", "X-Tables"}
_MOMENT = re.compile(r'"(timestamp|took)": ("[^"]*"|[0-9]+)')


@dataclass(frozen=True)
class Request:
    """A request as it is sent.

    :param headers: those of the caller, and ``Accept``.
    :param body: a JSON object, sent with methods that write.
    """

    path: str
    query: str = ""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: Optional[dict[str, Any]] = None

    @property
    def url(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def __str__(self) -> str:
        headers = "".join(f" [{name}: {value}]" for name, value in self.headers if value)
        body = "" if self.body is None else f" {json.dumps(self.body)}"
        return f"{self.method} {self.url}{headers}{body}"


class Answer(NamedTuple):
    """What came back.

    :param changed: how many objects of the database the request has changed.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str
    changed: int

    @property
    def engine(self) -> str:
        return dict(self.headers).get("X-Search-Engine", "")

    @property
    def lasting(self) -> Answer:
        """The same without what no two responses have in common."""
        headers = [each for each in self.headers if each[0] not in OF_THE_MOMENT]
        return self._replace(headers=tuple(headers), text=_MOMENT.sub(r'"\1": 0', self.text))


@dataclass(frozen=True)
class FieldShape:
    """A field of a model.

    :param kind: the name of its class.
    :param model: that a relationship leads to.
    :param stored: it is written on its own, which a key or the other side of a relationship is not.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    stored: bool = True

    @property
    def is_reference(self) -> bool:
        return bool(self.model)


@dataclass(frozen=True)
class ModelShape:
    """What a model says about itself.

    :param numbered: its keys are numbers that the database counts.
    :param by_rendering: fields that its ``to_dict`` shows to admins only, while its lists of fields
        let everybody filter and sort by them.
    """

    name: str
    pk: str
    numbered: bool
    fields: dict[str, FieldShape]
    public: frozenset[str]
    auth: frozenset[str]
    nested: frozenset[str]
    by_rendering: frozenset[str]
    has_acl: bool

    def visible(self, authenticated: bool) -> frozenset[str]:
        """The fields that a caller who is no admin may see."""
        return (self.auth if authenticated else self.public) - self.by_rendering


@dataclass(frozen=True)
class Collection:
    """A collection of the application, or several at once.

    :param path: its route, ``/members/{username}/stories``.
    :param item: the route of one of its objects, or ''.
    :param models: of its objects.
    :param parents: placeholders of the route, and the model whose keys they take.
    :param narrowing: field and value of all objects that it shows, as templates of
        placeholders and ``{caller}``.
    :param narrows_writes: the same objects are all that may be updated or deleted in it.
    """

    path: str
    item: str
    models: tuple[str, ...]
    parents: dict[str, str] = field(default_factory=dict)
    narrowing: dict[str, str] = field(default_factory=dict)
    narrows_writes: bool = False


@dataclass(frozen=True)
class Shape:
    """What an application consists of.

    :param object_ids: keys are not numbers, but MongoDB's.
    :param public_limit: how many objects of a collection anonymous callers may see.
    """

    models: dict[str, ModelShape]
    collections: list[Collection]
    object_ids: bool
    public_limit: int


class Served:
    """The application.

    :param ini: its ini file.
    :param options: variables of that.
    """

    def __init__(self, ini: str, options: dict[str, str]) -> None:
        from pyramid.paster import get_app

        self.app = get_app(ini, options=options)
        self.registry = self.app.registry
        from nefertari import engine

        self.on_mongodb = engine.BaseDocument.__module__.startswith("nefertari_mongodb")
        self.classes = dict(self._own_mirrors())
        self.shape = Shape(
            {name: self._model_shape(name) for name in self.classes},
            list(self._collections()),
            self.on_mongodb,
            int(self.registry.settings.get("public_max_limit", 100)),
        )
        self.state: State = self.snapshot(self.shape.models)

    def _own_mirrors(self) -> Iterator[tuple[str, Any]]:
        """Mirrors of the models that collections show, and of those that these relate to."""
        mirrors = self.registry.nefertari_search.mirrors
        resources = self.registry._resources_map.values()
        names = {getattr(getattr(each.view, "Model", None), "__name__", "") for each in resources}
        grown = -1
        while len(names) > grown:
            grown = len(names)
            for mirror in mirrors:
                if mirror.name in names:
                    fields = mirror.document_cls.fields().values()
                    names |= {each.document for each in fields if each.kind == "relationship"}
        for mirror in sorted(mirrors, key=lambda each: str(each.name)):
            # Tokens and the like are the framework's.
            if mirror.name in names and self._model(mirror).__module__.startswith("tests.apps."):
                yield mirror.name, mirror

    @staticmethod
    def _model(mirror: Any) -> Any:
        return mirror.model if mirror.model is not None else mirror.document_cls

    # What there is

    def _model_shape(self, name: str) -> ModelShape:
        model = self._model(self.classes[name])
        document_cls = self.classes[name].document_cls
        lists = [
            frozenset(getattr(model, each, None) or ())
            for each in ("_public_fields", "_auth_fields", "_hidden_fields")
        ]
        fields, own_fields = dict(self._field_shapes(document_cls)), document_cls.fields()
        return ModelShape(
            name,
            model.pk_field(),
            # In a mirror, MongoDB's ids are texts.
            type((model._fields if self.on_mongodb else own_fields)[model.pk_field()]).__name__
            == "IdField",
            fields,
            lists[0] - lists[2],
            lists[1] - lists[2],
            frozenset(model._nested_relationships),
            self._by_rendering(model),
            model.has_field("_acl"),
        )

    def _by_rendering(self, model: Any) -> frozenset[str]:
        # If that is trusted, searches show what it leaves out (docs/privacy.rst).
        trusted = self.registry.settings.get("nefertari_search.trusted_hooks", "").split()
        if f"{model.__module__}.{model.__name__}.to_dict" in trusted:
            return frozenset()
        return frozenset(getattr(model, "by_rendering", ()))

    def _field_shapes(self, document_cls: Any) -> Iterator[tuple[str, FieldShape]]:
        fields = document_cls.fields()
        has_keys = any(type(each).__name__ == "ForeignKeyField" for each in fields.values())
        for name, each in fields.items():
            kind, options, model = type(each).__name__, dict(each._init_kwargs), ""
            stored = name != document_cls.pk_field() and name != "_acl"
            if kind == "Relationship":
                model = each.document
                # One side is written: the foreign key where there is one, or the reference to one.
                is_back = "backref_name" not in options and not each.uselist
                stored = is_back and not has_keys and model in self.classes
            elif kind == "ForeignKeyField":
                model = options["ref_document"]
                stored = stored and model in self.classes
            plain = {key: options[key] for key in ("unique", "required") if options.get(key)}
            # nefertari_mongodb calls those of a list's items otherwise.
            choices = options.get("choices") or options.get("list_choices")
            if choices:
                plain["choices"] = choices
            yield name, FieldShape(kind, plain, model, stored)

    def _collections(self) -> Iterator[Collection]:
        mapper = self.registry.queryUtility(IRoutesMapper)
        paths = {route.name: _template(route.path) for route in mapper.get_routes()}
        models = {self._model(mirror): name for name, mirror in self.classes.items()}
        collections: dict[str, Collection] = {}
        has_multi = False
        for resource in set(self.registry._resources_map.values()):
            has_multi = has_multi or getattr(resource.view, MULTI_COLLECTION, False)
            model = getattr(resource.view, "Model", None)
            route = resource.action_route_map.get("index")
            if route is None or model not in models:
                continue
            item = resource.action_route_map.get("show", route)
            collections[paths[route]] = Collection(
                paths[route],
                "" if item == route else paths[item],
                (models[model],),
                self._parents(resource, paths[route]),
                {**getattr(model, "narrowing", {}), **getattr(resource.view, "narrowing", {})},
                getattr(resource.view, "narrows_writes", hasattr(model, "narrowing")),
            )
        ordered = [collections[path] for path in sorted(collections)]
        yield from ordered
        # Several at once are named by the collection that is a model's own.
        own = {f"/{each.collection_name}" for each in self.registry._model_collections.values()}
        plain = [each for each in ordered if each.path in own]
        if has_multi:
            for one, other in zip(plain, [*plain[1:], plain[0]]):
                yield Collection(f"{one.path},{other.path[1:]}", "", (*one.models, *other.models))

    @staticmethod
    def _parents(resource: Any, path: str) -> dict[str, str]:
        """Placeholders of a nested resource's route, and the models whose keys they take."""
        models = []
        parent = resource.parent
        while parent is not None and not parent.is_root:
            model = getattr(parent.view, "Model", None)
            models.insert(0, "" if model is None else model.__name__)
            parent = parent.parent
        return dict(zip(re.findall(r"{(\w+)}", path), models))

    # What it holds

    def snapshot(self, models: Iterable[str]) -> State:
        """All objects of *models*, as the database has them."""
        state: State = {}
        for name in models:
            shape = self.shape.models[name]
            objects: dict[Any, dict[str, Any]] = {}
            for each in self._model(self.classes[name]).get_collection(_query_secondary=False):
                objects[self._key(getattr(each, shape.pk))] = {
                    field_name: self._value_of(getattr(each, field_name))
                    for field_name, field_shape in shape.fields.items()
                    if field_shape.stored or field_name == "_acl"
                }
            state[name] = objects
        self._end(commit=False)
        return state

    def reach(self, target: State) -> State:
        """Write what *target* has and the database has not; models that it lacks stay.

        :returns: what the database holds then.
        """
        references = []
        for name, objects in target.items():
            model, shape = self._model(self.classes[name]), self.shape.models[name]
            for key, values in objects.items():
                before = self.state[name].get(key)
                changes = {
                    each: value
                    for each, value in values.items()
                    if before is None or before.get(each) != value
                }
                links = {
                    each: changes.pop(each) for each in list(changes) if self._links(shape, each)
                }
                if before is None:
                    # One by one: MongoDB's documents convert what their constructor is given.
                    item = model(**{shape.pk: key})
                    for each, value in changes.items():
                        setattr(item, each, value)
                    item.save()
                elif changes:
                    self._set(name, key, changes)
                if any(value is not None or before is not None for value in links.values()):
                    references.append((name, key, links))
        for name, key, links in references:
            links = {each: self._reference(name, each, value) for each, value in links.items()}
            self._set(name, key, links)
        for name, objects in target.items():
            for key in self.state[name].keys() - objects.keys():
                self._object(name, key).delete()
        self._end(commit=True)
        self.state = {**self.state, **self.snapshot(target)}
        return self.state

    def _set(self, name: str, key: Any, values: dict[str, Any]) -> None:
        # Not by `update`: it adds to lists.
        item = self._object(name, key)
        for each, value in values.items():
            setattr(item, each, value)
        item.save()

    @staticmethod
    def _links(shape: ModelShape, name: str) -> bool:
        each = shape.fields.get(name)
        return each is not None and each.is_reference

    def _object(self, name: str, key: Any) -> Any:
        model = self._model(self.classes[name])
        return model.get_item(**{model.pk_field(): key, "_query_secondary": False})

    def _reference(self, name: str, field_name: str, key: Any) -> Any:
        each = self.shape.models[name].fields[field_name]
        if key is None or each.kind == "ForeignKeyField":
            return key
        return self._object(each.model, key)

    def _value_of(self, value: Any) -> Any:
        if hasattr(value, "pk_field"):
            return self._key(getattr(value, value.pk_field()))
        if isinstance(value, (list, tuple)):
            return [self._value_of(each) for each in value]
        if isinstance(value, dict):
            return {str(name): self._value_of(each) for name, each in value.items()}
        return value

    @staticmethod
    def _key(value: Any) -> Any:
        return value if isinstance(value, (int, str)) else str(value)

    def _end(self, commit: bool) -> None:
        import transaction

        (transaction.commit if commit else transaction.abort)()

    # What it answers

    def ask(self, request: Request) -> Answer:
        from pyramid.request import Request as WebRequest

        headers = dict(request.headers)
        blank = WebRequest.blank(request.url, method=request.method, headers=headers)
        blank.host = HOST
        if request.body is not None:
            blank.content_type = "application/json"
            blank.body = json.dumps(request.body).encode()
        try:
            response = blank.get_response(self.app)
            status, text = response.status_int, response.body.decode("utf-8", "replace")
            pairs = tuple(sorted(response.headers.items()))
        except Exception as error:  # noqa: BLE001 - the caller judges it
            status, pairs, text = RAISED, (), f"{type(error).__name__}: {error}"
        changed = 0
        if request.method not in SAFE or "_m=" in request.query:
            self._end(commit=False)
            after, before = self.snapshot(self.shape.models), self.state
            if after != before:
                self.state = after
                changed = sum(
                    after[name].get(key) != before[name].get(key)
                    for name in after
                    for key in after[name].keys() | before[name].keys()
                )
                self.reach(before)
        return Answer(status, pairs, text, changed)


def _template(path: str) -> str:
    """A route's path with its placeholders, without their patterns."""
    return re.sub(r"{(\w+)(:[^}]*)?}", r"{\1}", f"/{path.strip('/')}")


def serve(connection: Any, ini: str, options: dict[str, str]) -> None:
    """Run the application, and do what comes over *connection* until it is closed."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    served = Served(ini, options)
    connection.send(served.shape)
    with contextlib.suppress(EOFError):
        while True:
            work, argument = connection.recv()
            if work == "ask":
                connection.send([served.ask(each) for each in argument])
            else:
                connection.send(served.reach(argument))
