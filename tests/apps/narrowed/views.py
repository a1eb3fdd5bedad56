"""Ways in which a view narrows its collection to what its caller owns."""

from __future__ import annotations

from nefertari.elasticsearch import ES
from nefertari.polymorphic import PolymorphicACL, PolymorphicESView
from nefertari.view import BaseView
from pyramid.security import Allow, Everyone

from nefertari_search_tween import QueryText
from tests.apps.narrowed.models import Leaflet, Volume, Writer


class OpenACL:
    __acl__ = ((Allow, Everyone, ("view", "options", "update", "delete")),)

    def __init__(self, request):
        self.request = request

    def __getitem__(self, key):
        return self


class WayView(BaseView):
    """A view of volumes; subclasses narrow it.

    :ivar who: whose volumes they are.
    """

    Model = Volume

    @property
    def who(self):
        return str(self.request.remote_user)

    def narrowed(self):
        raise NotImplementedError

    def index(self, **kwargs):
        return self.narrowed()


class ParameterView(WayView):
    """A parameter of a search view."""

    def narrowed(self):
        self._query_params["owner"] = self.who
        return self.get_collection_es()

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.narrowed())
        return self.Model._update_many(items, self._json_params, self.request)


class ListView(WayView):
    """A list of values: of the view's own, and what the caller typed beside it."""

    def narrowed(self):
        self._query_params["owner"] = [self.who]
        return self.get_collection_es()


class TupleView(WayView):
    def narrowed(self):
        self._query_params["owner"] = (self.who, self.who)
        return self.get_collection_es()


class OtherNameView(WayView):
    """A value that the caller typed as another parameter."""

    def narrowed(self):
        self._query_params["owner"] = self._query_params.pop("who")
        return self.get_collection_es()


class OtherNamesView(WayView):
    """Several of them, as a list."""

    def narrowed(self):
        self._query_params.pop("who")
        self._query_params["owner"] = self.request.params.getall("who")
        return self.get_collection_es()


class ChangedView(WayView):
    """What the caller typed under the same name, changed."""

    def narrowed(self):
        self._query_params["owner"] = "" + self._query_params["owner"].strip()
        return self.get_collection_es()


class PathView(WayView):
    """A part of the path."""

    def index(self, **kwargs):
        self._query_params["owner"] = kwargs["who"]
        return self.get_collection_es()


class ClassView(WayView):
    """The class that searches, called by the view."""

    def narrowed(self):
        return ES("Volume").get_collection(**{**self._query_params, "owner": self.who})


class ModelView(WayView):
    """The model's own collection."""

    def narrowed(self):
        self._query_params["owner"] = self.who
        return self.Model.get_collection(**self._query_params)


class ModelOtherNameView(WayView):
    def narrowed(self):
        self._query_params["owner"] = self._query_params.pop("who")
        return self.Model.get_collection(**self._query_params)


class BodyView(WayView):
    """A query in the search server's language."""

    def narrowed(self):
        body = {"query": {"term": {"owner.keyword": self.who}}}
        return ES("Volume").get_collection(**{**self._query_params, "body": body})


class BodyAndParameterView(WayView):
    """Such a query beside a parameter."""

    def narrowed(self):
        params = {**self._query_params, "owner": self.who}
        return ES("Volume").get_collection(**{**params, "body": {"query": {"match_all": {}}}})


class Narrowed(ES):
    """Adds a condition to what it searches."""

    def build_search_params(self, params):
        who = params.pop("_who")
        built = super().build_search_params(params)
        must = [{"term": {"owner.keyword": who}}, built["body"]["query"]]
        built["body"] = {"query": {"bool": {"must": must}}}
        return built


class SubclassView(WayView):
    def narrowed(self):
        return Narrowed("Volume").get_collection(**{**self._query_params, "_who": self.who})


class Forgetful(ES):
    """Replaces what it searches."""

    def build_search_params(self, params):
        built = super().build_search_params(params)
        built["body"] = {"query": {"match_all": {}}}
        return built


class ForgetfulView(WayView):
    def narrowed(self):
        self._query_params["owner"] = self.who
        return Forgetful("Volume").get_collection(**self._query_params)


class NestedView(WayView):
    """A field of nested documents."""

    def narrowed(self):
        self._query_params["writer.name"] = f"writer of {self.who}"
        return self.get_collection_es()


class MarkedView(WayView):
    """Query syntax on purpose: a phrase."""

    def narrowed(self):
        self._query_params["prose"] = QueryText(f'"words of {self.who}"')
        return self.get_collection_es()


class QueryView(WayView):
    """The parameter ``q``, which is a query in any case."""

    def narrowed(self):
        self._query_params["q"] = f'prose:"words of {self.who}"'
        return self.get_collection_es()


class KeysView(WayView):
    """The keys of what it may show, as Ramses does."""

    def narrowed(self):
        from pyramid_sqlalchemy import Session

        own = Session().query(Volume).filter(Volume.owner == self.who)
        self._query_params["id"] = [str(each.id) for each in own]
        return self.get_collection_es()


class OpenView(WayView):
    """Not narrowed at all."""

    def narrowed(self):
        return self.get_collection_es()


class ValueView(WayView):
    """One condition on a field and with a value that a test sets."""

    conditions: dict = {}

    def narrowed(self):
        self._query_params.update(self.conditions)
        return self.get_collection_es()


class PairView(PolymorphicESView):
    """Two collections."""

    def get_collections(self):
        return {"volumes", "leaflets"}

    def index(self):
        self._query_params["owner"] = str(self.request.remote_user)
        return super().index("volumes,leaflets")


class PairACL(PolymorphicACL):
    def get_collections(self):
        return {"volumes", "leaflets"}


class OuterView(WayView):
    """Asks a narrowed view by a subrequest, whose view aggregates."""

    def _setup_aggregation(self, aggregator=None):
        pass

    def narrowed(self):
        from pyramid.request import Request

        inner = Request.blank(f"/parameters?{self.request.query_string}")
        inner.environ["REMOTE_USER"] = self.who
        return self.request.invoke_subrequest(inner)


class ItemView(WayView):
    """One document by its key, and a condition."""

    def narrowed(self):
        key = self._query_params["key"]
        return [ES("Volume").get_item(id=key, owner=self.who)]


class CountView(WayView):
    def narrowed(self):
        params = {**self._query_params, "owner": self.who}
        es = ES("Volume")
        return [{"_type": "Count", "_pk": "1", "n": es.do_count(es.build_search_params(params))}]


class SecondView(WayView):
    """What another view's model searches, in a request of its own."""

    def narrowed(self):
        return ES("Leaflet").get_collection(owner=self.who)


#: collections of volumes, by the name of the way
WAYS = {
    "parameter": ParameterView,
    "list": ListView,
    "tuple": TupleView,
    "other_name": OtherNameView,
    "name_list": OtherNamesView,
    "changed": ChangedView,
    "class": ClassView,
    "model": ModelView,
    "model_other_name": ModelOtherNameView,
    "body": BodyView,
    "body_and_parameter": BodyAndParameterView,
    "subclass": SubclassView,
    "forgetful": ForgetfulView,
    "nested": NestedView,
    "marked": MarkedView,
    "query": QueryView,
    "keys": KeysView,
    "open": OpenView,
    "value": ValueView,
    "outer": OuterView,
    "item": ItemView,
    "count": CountView,
    "second": SecondView,
}


def includeme(config):
    root = config.get_root_resource()
    root.add("pair", "pairs", view=PairView, factory=PairACL)
    for name, view in WAYS.items():
        root.add(name, f"{name}s", view=view, factory=OpenACL, id_name="id")
    owners = root.add("who", "owners", view=_view_of(Writer), factory=OpenACL, id_name="who")
    owners.add("path", "paths", view=PathView, factory=OpenACL, id_name="id")
    for member, collection, model in (
        ("writer", "writers", Writer),
        ("leaflet", "leaflets", Leaflet),
        ("volume", "volumes", Volume),
    ):
        root.add(member, collection, view=_view_of(model), factory=OpenACL, id_name="id")


def _view_of(model):
    return type(f"{model.__name__}View", (OpenView,), {"Model": model})
