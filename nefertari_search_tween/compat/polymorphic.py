"""Replacement of ``nefertari.polymorphic``: ``GET /users,stories``, on the mirrors.

It has the same names and methods, so that applications may subclass them. The differences: an
unknown collection is a 404 (it was ignored, or searched everything), the names are one segment of
the path (an item whose id has a comma is an item), and a caller who may not read one of the
collections reads none, whether or not this resource itself requires a permission.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Optional

from nefertari.acl import CollectionACL
from nefertari.json_httpexceptions import JHTTPForbidden, JHTTPNotFound
from nefertari.view import BaseView
from pyramid.security import ALL_PERMISSIONS, DENY_ALL, Allow

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.elasticsearch import ES

DEFAULT_LIMIT = 20
ADMINS = "g:admin"
PERMITTED = "_nefertari_search_permitted"


def includeme(config: Any) -> None:
    """Add the resource of several collections: one segment of a path, with a comma in it."""
    config.get_root_resource().add(
        "nef_polymorphic",
        r"{collections:[^/]+,[^/]*}",
        view=PolymorphicESView,
        factory=PolymorphicACL,
    )


class PolymorphicHelperMixin:
    """Finds the resources of a request, for the ACL and the view of several collections."""

    request: Any

    def get_collections(self) -> set[str]:
        """Return the names of the requested collections."""
        return {name.strip() for name in self.request.matchdict["collections"].split(",")}

    def get_resources(self, collections: Collection[str]) -> set[Any]:
        """Return the resources of *collections*: the top-level ones that nefertari links to.

        A resource below an object (``/users/1/stories``) contains that object's items only, and
        can't be requested without it.

        :raises JHTTPNotFound: there is no collection of a name.
        """
        resources: dict[str, Any] = {
            resource.collection_name: resource
            for resource in self.request.registry._model_collections.values()
            if resource.collection_name and resource.parent.is_root and not resource.prefix
        }
        unknown = sorted(name for name in collections if name not in resources)
        if unknown:
            name = unknown[0][:60]
            raise JHTTPNotFound(f"There is no collection '{name}' that can be read with others")
        return {resources[name] for name in collections}


class PolymorphicACL(PolymorphicHelperMixin, CollectionACL):
    """Permits reads to callers who may read each of the collections."""

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        if "id" in request.matchdict:
            # The path continues after the names: nefertari's resources have items, this has none.
            raise JHTTPNotFound("There are no single objects of several collections")
        self.set_collections_acl()

    def _get_least_permissions_aces(self, resources: Iterable[Any]) -> Optional[Sequence[Any]]:
        """Return entries that permit viewing, None if the caller may not view all *resources*."""
        if not all(may_view(self.request, resource) for resource in resources):
            return None
        return [(Allow, principal, "view") for principal in self.request.effective_principals]

    def set_collections_acl(self) -> None:
        """Set the ACL for the requested collections; nothing is inherited.

        :raises JHTTPNotFound: one of them does not exist.
        """
        resources = self.get_resources(self.get_collections())
        allowed = self._get_least_permissions_aces(resources)
        self.__acl__ = ((Allow, ADMINS, ALL_PERMISSIONS), *(allowed or ()), DENY_ALL)


class PolymorphicESView(PolymorphicHelperMixin, BaseView):
    """The collection of all objects of several collections, searched."""

    #: tells the router that these requests are for several collections
    is_multi_collection = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # As in nefertari, the name of the view's model is that of all models.
        self.Model = class_named(",".join(self.determine_types()))

    def _run_init_actions(self) -> None:
        self.setup_default_wrappers()
        self.set_public_limits()

    def determine_types(self) -> list[str]:
        """Return the names of the mirrored models of the requested collections.

        :raises JHTTPNotFound: one of them does not exist, or no model has a mirror.
        :raises JHTTPForbidden: the caller may not view all of them.
        """
        resources = self.get_resources(self.get_collections())
        # Even if this resource requires no permission, one of the collections may.
        if ADMINS not in self.request.effective_principals and not all(
            may_view(self.request, resource) for resource in resources
        ):
            raise JHTTPForbidden("One of the collections may not be viewed")
        mirrors = CURRENT.require().mirrors
        names = {ES.src2type(resource.view.Model.__name__) for resource in resources}
        types = sorted(name for name in names if name in mirrors)
        if not types:
            raise JHTTPNotFound("None of the collections can be searched")
        return types

    def index(self, collections: str) -> Any:
        """Return the objects of all requested collections that match the query string."""
        self._query_params.process_int_param("_limit", DEFAULT_LIMIT)
        return self.get_collection_es()


@lru_cache(maxsize=128)
def class_named(names: str) -> type:
    """Return a class of this name, because a model's event subscribers check for their class."""
    return type(names, (), {})


def may_view(request: Any, resource: Any) -> bool:
    """Return True if the caller of *request* may read the collection of *resource*."""
    permitted = _permitted(request.registry).get(resource.action_route_map["index"])
    if permitted is None:
        return True
    factory = resource.view._factory
    return bool(permitted(None if factory is None else factory(request), request))


def _permitted(registry: Any) -> dict[str, Any]:
    """Return the permission checks of collections, by name of route; collected once."""
    permitted: Optional[dict[str, Any]] = getattr(registry, PERMITTED, None)
    if permitted is None:
        permitted = {}
        for each in registry.introspector.get_category("views"):
            view = each["introspectable"]
            if view["attr"] == "index" and view["route_name"] is not None:
                decide = getattr(view.get("derived_callable"), "__permitted__", None)
                permitted[view["route_name"]] = decide
        setattr(registry, PERMITTED, permitted)
    return permitted
