"""Views and who may use them."""

from __future__ import annotations

from nefertari.acl import CollectionACL, GuestACL
from nefertari.polymorphic import PolymorphicACL, PolymorphicESView
from nefertari.view import BaseView
from pyramid.security import Allow, Authenticated

from tests.apps.multi_collection.models import Guard, Painter, Painting, Ticket, Vase


class MuseumView(BaseView):
    def index(self, **kwargs):
        return self.get_collection_es()

    def show(self, **kwargs):
        return self.Model.get_item(**{self.Model.pk_field(): kwargs["id"]})

    def create(self, **kwargs):
        return self.Model(**self._json_params).save(self.request)


class VisitorACL(GuestACL):
    """For everybody."""

    def __init__(self, request):
        super().__init__(request)
        self.item_model = {
            "painters": Painter,
            "paintings": Painting,
            "vases": Vase,
            "tickets": Ticket,
        }.get(request.path.split("/")[1])


class StaffACL(CollectionACL):
    """For users only."""

    __acl__ = (
        (Allow, "g:admin", ("view", "options")),
        (Allow, Authenticated, ("view", "options")),
    )
    item_model = Guard


class TwoCollections:
    """An application's own name for two collections."""

    def get_collections(self):
        return {"painters", "vases"}


class TwoCollectionsACL(TwoCollections, PolymorphicACL):
    pass


class TwoCollectionsView(TwoCollections, PolymorphicESView):
    def index(self):
        self._query_params.setdefault("_sort", "name")
        return super().index("painters,vases")


def includeme(config):
    root = config.get_root_resource()
    root.add("all", "everything", view=TwoCollectionsView, factory=TwoCollectionsACL)
    painters = root.add(
        "painter", "painters", view=view_of(Painter), factory=VisitorACL, id_name="id"
    )
    # Only the paintings of one painter.
    painters.add("work", "works", view=view_of(Painting), factory=VisitorACL, id_name="work_id")
    for member, collection, model in (
        ("painting", "paintings", Painting),
        ("vase", "vases", Vase),
        ("ticket", "tickets", Ticket),
    ):
        root.add(member, collection, view=view_of(model), factory=VisitorACL, id_name="id")
    root.add("guard", "guards", view=view_of(Guard), factory=StaffACL, auth=True, id_name="id")
    # Has no model.
    tables = type("TablesView", (BaseView,), {"index": lambda self: []})
    root.add("table", "tables", view=tables, factory=VisitorACL)


def view_of(model):
    return type(f"{model.__name__}View", (MuseumView,), {"Model": model})
