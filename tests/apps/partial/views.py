"""Each view says by ``narrowing`` what its collection shows, and narrows itself by that.

Templates are filled with the caller's name and with what stands in the URL.
"""

from __future__ import annotations

from nefertari.acl import CollectionACL
from pyramid.security import ALL_PERMISSIONS, Allow, Everyone

from tests.apps.item_acls import name_of
from tests.apps.partial.models import Ledger, Note, Parcel
from tests.apps.views import PlainView


class OpenACL(CollectionACL):
    """Everyone reads, editors update."""

    __acl__ = (
        (Allow, "g:admin", ALL_PERMISSIONS),
        (Allow, Everyone, ("view", "options")),
        (Allow, "g:editor", ("update", "delete")),
    )


class WholeView(PlainView):
    """The whole collection, by the database's parameters."""

    narrowing = {}
    narrows_writes = True

    def index(self, **kwargs):
        return self.selected(**kwargs)

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.selected(**kwargs))
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.filter_objects(self.selected(**kwargs))
        return self.Model._delete_many(items, self.request)

    def selected(self, **kwargs):
        self.narrow(**kwargs)
        return self.Model.get_collection(**self._query_params)

    def narrow(self, **kwargs):
        for name, template in self.narrowing.items():
            value = template.format(caller=name_of(self.request), **kwargs)
            self._query_params[name] = value


class FoundView(WholeView):
    """The same over a search."""

    def selected(self, **kwargs):
        self.narrow(**kwargs)
        return self.get_collection_es()


OPEN, OWN, BY_URL = {"shelf": "open"}, {"owner": "{caller}"}, {"owner": "{owner}"}


def includeme(config):
    root = config.get_root_resource()
    for member, collection, base, model, narrowing in (
        ("open_parcel", "open_parcels", WholeView, Parcel, OPEN),
        ("found_open_parcel", "found_open_parcels", FoundView, Parcel, OPEN),
        ("own_parcel", "own_parcels", WholeView, Parcel, OWN),
        ("found_own_parcel", "found_own_parcels", FoundView, Parcel, OWN),
        ("found_ledger", "found_ledgers", FoundView, Ledger, {}),
        # The last ones of a model are those that objects link to.
        ("ledger", "ledgers", WholeView, Ledger, {}),
        ("note", "notes", WholeView, Note, {}),
        ("parcel", "parcels", WholeView, Parcel, {}),
    ):
        root.add(
            member,
            collection,
            view=_view(collection, base, model, narrowing),
            factory=_acl(model),
            id_name="id",
        )
    for collection, base in (("owners", WholeView), ("found_owners", FoundView)):
        owners = root.add(
            collection[:-1],
            collection,
            view=_view(collection, WholeView, Note, {}),
            factory=_acl(Note),
            id_name="owner",
        )
        view = _view(f"{collection}_parcels", base, Parcel, BY_URL)
        owners.add("parcel", "parcels", view=view, factory=_acl(Parcel), id_name="id")


def _view(name, base, model, narrowing):
    return type(f"{name.title()}View", (base,), {"Model": model, "narrowing": narrowing})


def _acl(model):
    return type(f"{model.__name__}ACL", (OpenACL,), {"item_model": model})
