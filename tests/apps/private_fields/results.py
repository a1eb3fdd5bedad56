"""Views that return results of every shape, and renderers that print all they get.

Headers of the request choose the shape and the renderer; every action returns the same.
"""

from __future__ import annotations

from nefertari.acl import CollectionACL
from nefertari.json_httpexceptions import JHTTPBadRequest
from nefertari.renderers import JsonRendererFactory, NefertariJsonRendererFactory
from nefertari.view import BaseView
from pyramid.security import ALL_PERMISSIONS, Allow, Everyone

from tests.apps.private_fields.models import Story

SHAPE = "X-Shape"
RENDERER = "X-Renderer"


def _first():
    return next(iter(Story.get_collection(_sort=["id"], _limit=1)))


SHAPES = {
    "query": Story.get_collection,
    "rows": lambda: Story.get_collection(_fields=["title", "note", "rank"]),
    "excluded": lambda: Story.get_collection(_fields=["-title"]),
    "list": lambda: list(Story.get_collection()),
    "tuple": lambda: tuple(Story.get_collection()),
    "generator": lambda: (each for each in Story.get_collection()),
    "object": _first,
    "dicts": lambda: [each.to_dict() for each in Story.get_collection()],
    "in a dict": lambda: {"first": _first(), "all": list(Story.get_collection())},
    "in lists": lambda: [[_first()], (_first(),)],
    "with data": lambda: {**_first().to_dict(), "data": [1]},
    "unknown": lambda: {"unknown": object()},
}


class OpenToAllACL(CollectionACL):
    __acl__ = ((Allow, Everyone, ALL_PERMISSIONS),)
    item_model = Story

    def __getitem__(self, key):
        """Return this: the view finds the item."""
        return self


class ShapesView(BaseView):
    """Returns what the headers ask for."""

    Model = Story

    def fill_null_values(self):
        """Nothing is stored."""

    def index(self, **kwargs):
        if RENDERER in self.request.headers:
            self.request.override_renderer = self.request.headers[RENDERER]
        return SHAPES[self.request.headers[SHAPE]]()

    show = create = update = replace = delete = update_many = delete_many = index


class SelectedView(BaseView):
    """Writes that select stories, and only count them."""

    Model = Story

    def fill_null_values(self):
        """Nothing is stored."""

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def update_many(self, **kwargs):
        return len(list(self.Model.get_collection(**self._query_params)))

    delete_many = update_many


class SearchedView(SelectedView):
    """The same by a search."""

    def index(self, **kwargs):
        return self.get_collection_es()

    def update_many(self, **kwargs):
        return len(self.get_collection_es())

    delete_many = update_many


class RaisedView(BaseView):
    """Raises errors: of its own, of a library, and its own that quote a library's."""

    Model = Story

    def index(self, **kwargs):
        text, kind = self._query_params["text"], self._query_params.get("kind")
        if kind is None:
            raise ValueError(text)
        try:
            return [int(text)]
        except ValueError as error:
            if kind == "library":
                raise
            raised = JHTTPBadRequest if kind == "response" else RuntimeError
            raise raised(f"It failed: {error}") from error


def printed(value, depth=0):
    """Return all that can be read of *value*."""
    texts = [repr(value)]
    if depth > 4 or isinstance(value, str):
        return texts
    if isinstance(value, dict):
        members = list(value.values())
    elif hasattr(value, "to_dict"):
        members = [value.to_dict(), dict(vars(value))]
    else:
        members = list(value) if hasattr(value, "__iter__") else []
    return texts + [text for each in members for text in printed(each, depth + 1)]


def nosy(info):
    """Make a renderer that knows nothing of nefertari."""
    return lambda value, system: "\n".join(printed(value))


class OwnAfterCalls(NefertariJsonRendererFactory):
    """Does something of its own where nefertari filters."""

    def run_after_calls(self, value, system):
        return {"printed": printed(value)}


class CallsAgain(NefertariJsonRendererFactory):
    """Runs nefertari's after-calls, and then prints the original."""

    def run_after_calls(self, value, system):
        super().run_after_calls(value, system)
        return {"printed": printed(value)}


class PlainJson(JsonRendererFactory):
    """Runs no after-calls of nefertari's."""


def declared(info):
    """Make a renderer that filters by itself: it shows keys alone."""

    def render(value, system):
        return " ".join(f"{type(each).__name__}:{getattr(each, each.pk_field())}" for each in value)

    return render


declared.applies_privacy = True
RENDERERS = {
    "nosy": nosy,
    "own_after_calls": OwnAfterCalls,
    "calls_again": CallsAgain,
    "plain_json": PlainJson,
    "declared": declared,
}


def includeme(config):
    for name, factory in RENDERERS.items():
        config.add_renderer(name, factory)
    root = config.get_root_resource()
    for member, view in (("shape", ShapesView), ("selected", SelectedView), ("hit", SearchedView)):
        root.add(member, f"{member}s", view=view, factory=OpenToAllACL, id_name="id")
    root.add("raise", "raised", view=RaisedView, factory=OpenToAllACL, id_name="id")
